"""Whose groups, rights or tokens have changed, told to the gateway, which believes for 30 seconds what it knows.

Whatever makes the change (a page, JupyterHub's API, the command line, a directory at the log-in), it goes through the
hub's one session of its database: what a commit has changed there is told, and nothing else has to remember to.
Best effort, and quick: a gateway that does not answer within those 30 seconds knows nothing old any more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import urlsplit

from jupyterhub import orm
from sqlalchemy import event, inspect
from sqlalchemy.orm import Session
from tornado.httpclient import AsyncHTTPClient, HTTPError

from cellar_hub.resolver import near_url

LLM = "custom:llm:chat"
ASKS = frozenset((LLM, "inherit"))
"""Scopes of a token by which the gateway may know somebody."""
BELIEVED = 30.0  # seconds; `cellar_hub.identity.POSITIVE`
AGAIN = 1.0  # seconds
MOST = 20  # people that are told one by one; more are told as everybody

IS_RIGHTS = '"rights": true'
EVERYBODY = json.dumps({"rights": True})


def user_changed(name: str) -> str:
    return json.dumps({"user": name, "rights": True})


class Rights:
    """`db`: the hub's session. `url`: the gateway's second port; it is not among the workspaces' addresses (`pool`)."""

    def __init__(self, db: Session, url: str, token: str, pool: IPv4Network, log: logging.Logger) -> None:
        self._url, self._pool, self._log = url, pool, log
        self._headers = {
            "Authorization": f"token {token}",
            "Content-Type": "application/json",
            "Host": urlsplit(url).netloc,
        }
        self._flushed: dict[str, None] = {}  # of the transaction under way
        self.due: dict[str, float] = {}  # bodies for /revoke, since when
        self._news = asyncio.Event()
        self._db = db

    def listen(self) -> None:
        event.listen(self._db, "after_flush", self._after_flush)
        event.listen(self._db, "after_commit", self._after_commit)
        event.listen(self._db, "after_rollback", self._after_rollback)

    async def keep_telling(self) -> None:
        """Until cancelled."""
        self.listen()
        while True:
            await self._news.wait()
            self._news.clear()
            while self.due:
                try:
                    is_done = await self._tell(next(iter(self.due)))
                except Exception:  # noqa: BLE001 - whatever it was, the next change must be told
                    self._log.exception("the gateway could not be told that rights have changed")
                    is_done = False
                if not is_done:
                    await asyncio.sleep(AGAIN)

    # -- the session

    def _after_flush(self, session: Session, _: Any) -> None:
        """What has changed is still known here. Whatever goes wrong with the looking, the hub must write on."""
        try:
            found = list(changed(session.new, session.dirty, session.deleted))
        except Exception:  # noqa: BLE001 - or nothing could be written any more
            self._log.exception("who has changed is not known: the gateway is told that everybody may have")
            found = [EVERYBODY]
        if sum(IS_RIGHTS in each for each in found) > MOST:
            found = [EVERYBODY, *(each for each in found if IS_RIGHTS not in each)]
        self._flushed |= dict.fromkeys(found)

    def _after_commit(self, _: Session) -> None:
        now = time.monotonic()
        self.due |= dict.fromkeys(self._flushed, now)
        self._flushed.clear()
        if self.due:
            self._news.set()

    def _after_rollback(self, _: Session) -> None:
        self._flushed.clear()

    # -- the gateway

    async def _tell(self, what: str) -> bool:
        """Whether it needs to be told no more."""
        since = self.due[what]
        try:
            where = await asyncio.to_thread(near_url, self._url, self._pool)
            await AsyncHTTPClient().fetch(
                f"{where}/revoke",
                method="POST",
                body=what,
                headers=self._headers,
                connect_timeout=2,
                request_timeout=3,
            )
        except (HTTPError, OSError) as error:
            if time.monotonic() - since < BELIEVED and not (isinstance(error, HTTPError) and error.code == 400):
                return False
            self._log.warning("the gateway was not told that rights have changed: %s", error)
        if self.due.get(what) == since:  # else it has changed once more meanwhile
            del self.due[what]
        return True


def changed(new: Iterable[Any], dirty: Iterable[Any], deleted: Iterable[Any]) -> Iterator[str]:
    """What to tell of a flush: bodies for the gateway's /revoke."""
    for each in (*new, *dirty):
        if isinstance(each, orm.User) and _differs(each, "admin", "groups", "roles"):
            yield user_changed(each.name)
        elif isinstance(each, orm.Group):
            yield from (user_changed(user.name) for user in _moved(each, "users"))
            if _differs(each, "roles"):
                yield EVERYBODY
        elif isinstance(each, orm.Role):
            yield from (user_changed(user.name) for user in _moved(each, "users"))
            if _differs(each, "scopes", "groups"):
                yield EVERYBODY
    gone = {each for each in deleted if isinstance(each, orm.User)}
    for each in deleted:
        if isinstance(each, orm.User):
            yield json.dumps({"user": each.name})
        elif isinstance(each, orm.Group):
            yield from (user_changed(user.name) for user in each.users) if _is_small(each) else (EVERYBODY,)
        elif isinstance(each, orm.Role):
            yield EVERYBODY
        elif isinstance(each, orm.APIToken) and each.user not in gone and ASKS.intersection(each.scopes or ()):
            yield json.dumps({"token_id": each.api_id})


def _differs(of: Any, *fields: str) -> bool:
    attributes = inspect(of).attrs
    return any(attributes[each].history.has_changes() for each in fields)


def _moved(of: Any, field: str) -> list[Any]:
    """Who came, and who went."""
    history = inspect(of).attrs[field].history
    return [*(history.added or ()), *(history.deleted or ())]


def _is_small(group: Any) -> bool:
    """Whether its members are known without asking the database in the midst of a flush."""
    return "users" not in inspect(group).unloaded and len(group.users) <= MOST
