"""Groups that a directory gives somebody, or takes from them, told to the audit as `user.groups`.

It does so at a log-in, or when the hub asks it again, and JupyterHub writes it afterwards: so what is told is what a
commit has changed, and where nothing has changed there is nothing to tell. Where groups are the hub's own, whoever
changes them has told it (`watching`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any

from jupyterhub import orm
from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

LONGEST = 255  # characters that the audit keeps of one value

Said = tuple[tuple[str, str], ...]


class Membership:
    """`tell`: whose groups have changed, and what is to be said of it."""

    def __init__(self, db: Session, tell: Callable[[str, Said], None], log: logging.Logger) -> None:
        self._tell, self._log = tell, log
        self._flushed: list[tuple[str, Said]] = []  # of the transaction under way
        event.listen(db, "after_flush", self._after_flush)
        event.listen(db, "after_commit", self._after_commit)
        event.listen(db, "after_rollback", self._after_rollback)

    def _after_flush(self, session: Session, _: Any) -> None:
        """Whatever goes wrong with the looking, the hub must write on."""
        try:
            for each in (*session.new, *session.dirty):
                if isinstance(each, orm.User):
                    self._flushed += [(each.name, said) for said in changes_of(each)]
        except Exception:  # noqa: BLE001 - or nobody could log in any more
            self._log.exception("groups that have changed could not be told to the audit")

    def _after_commit(self, _: Session) -> None:
        found, self._flushed = self._flushed, []
        for name, said in found:
            self._tell(name, said)

    def _after_rollback(self, _: Session) -> None:
        self._flushed.clear()


def changes_of(user: orm.User) -> Iterator[Said]:
    """What a flush changes of somebody's groups: one event's details, or several where the names are too many."""
    history = inspect(user).attrs.groups.history
    joined, left = (lines(each.name for each in groups or ()) for groups in (history.added, history.deleted))
    for pair in zip_longest(joined, left, fillvalue=""):
        yield tuple((how, names) for how, names in zip(("joined", "left"), pair, strict=True) if names)


def lines(names: Iterable[str]) -> Iterator[str]:
    """The names, as many in each line as the audit keeps of one value. Pure."""
    line = ""
    for name in sorted(names):
        if line and len(line) + len(name) + 2 > LONGEST:
            yield line
            line = ""
        line += f", {name}" if line else name
    if line:
        yield line
