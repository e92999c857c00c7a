"""Whom a provider of OpenID Connect meant by a name, and when it last said so.

Names are claims, and lie in the provider's hands: two that differ in capitals alone are one name here, and a name that
somebody has left may be given to somebody else. Who it is stands in `sub`, which a provider gives to one person for
ever. Of another provider it says nothing: the administrator who names a new one trusts it with the names.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from .tables import VOUCHED, make_tables, write

OURS = VOUCHED.c
LONGEST = 255  # characters of a `sub`, by the standard


class Vouched:
    """`provider`: its address; `also`: by which it may have been known before. Committed by the caller."""

    def __init__(self, db: Session, provider: str) -> None:
        self._db, self._provider = db, provider
        self.also = provider
        make_tables(db)

    def is_another(self, name: str, subject: str) -> bool:
        """Whether somebody else came by this name before. Of whom a provider that has said who it was says so no more,
        nobody knows that it is not."""
        its_own = OURS.provider.in_((self._provider, self.also))
        query = select(OURS.subject).where(OURS.name == name, its_own)
        before: str | None = self._db.execute(query).scalar()
        return bool(before) and before != subject

    def keep(self, name: str, subject: str, now: float) -> None:
        values: dict[str, Any] = {"provider": self._provider, "subject": subject, "last": now}
        if not write(self._db, update(VOUCHED).where(OURS.name == name).values(**values)):
            write(self._db, insert(VOUCHED).values(name=name, **values))

    def last(self, name: str) -> float | None:
        """When the provider last vouched for them, in seconds of the epoch; None: it is not known."""
        found: float | None = self._db.execute(select(OURS.last).where(OURS.name == name)).scalar()
        return found

    def forget(self, name: str) -> None:
        """By an administrator's word: whoever comes next by this name is its user."""
        write(self._db, delete(VOUCHED).where(OURS.name == name))
