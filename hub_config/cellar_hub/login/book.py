"""Who has an account, and in which state it is: for every kind of log-in, in JupyterHub's database.

Local passwords lie in NativeAuthenticator's table. Nobody gets in by a row of that table alone who is blocked in ours,
and who waits in ours is not authorised in that one: whichever of them is read, the answer is no.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from jupyterhub import orm
from nativeauthenticator.orm import UserInfo
from sqlalchemy import ColumnElement, Select, Subquery, case, delete, func, insert, literal, null, select, update
from sqlalchemy.orm import Session

from cellar_hub.accounts import State

from .tables import ACCOUNTS, make_tables, write

USERS = orm.User.__table__
LOCAL = UserInfo.__table__
OURS = ACCOUNTS.c


class Account(msgspec.Struct, frozen=True):
    """`since`: seconds of the epoch, None when nobody knows. `note`: what they wrote who signed up."""

    name: str
    state: State
    since: float | None
    note: str


class Book:
    """`is_local`: accounts are those with a password here; else the hub's users, and whom an administrator named.
    The session is the hub's own; each method that changes something ends with a commit."""

    def __init__(self, db: Session, is_local: bool, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._is_local = is_local
        self._clock = clock
        make_tables(db)
        LOCAL.create(db.get_bind(), checkfirst=True)

    def find(self, name: str) -> Account | None:
        ours = self._db.execute(select(OURS.state, OURS.since, OURS.note).where(OURS.name == name)).first()
        if self._is_local:
            there = self._db.execute(select(LOCAL.c.is_authorized).where(LOCAL.c.username == name)).first()
        else:
            there = self._db.execute(select(literal(True)).where(USERS.c.name == name)).first()
        if ours is None:
            return Account(name, "allowed" if there[0] else "blocked", None, "") if there else None
        state: State = ours.state
        if there and self._is_local:  # as `_state` says it to the database
            state = "allowed" if there[0] and state != "blocked" else "waiting" if state == "waiting" else "blocked"
        return Account(name, state, ours.since, ours.note)

    def state(self, name: str) -> State | None:
        """None: there is no such account."""
        found = self.find(name)
        return found.state if found else None

    def may_log_in(self, name: str) -> bool:
        state = self.state(name)
        return state == "allowed" or (state is None and not self._is_local)

    def is_last_admin(self, name: str) -> bool:
        """Whether without them nobody would administer the hub who may log in."""
        admins = list(self._db.execute(select(USERS.c.name).where(USERS.c.admin)).scalars())
        return [each for each in admins if self.may_log_in(each)] == [name]

    def is_named(self, name: str) -> bool:
        """Whether an administrator lets them in by name."""
        query = select(OURS.named).where(OURS.name == name, OURS.state == "allowed")
        return bool(self._db.execute(query).scalar())

    def listed(
        self, state: str = "", part: str = "", offset: int = 0, limit: int = 100, names: Sequence[str] = ()
    ) -> tuple[int, list[Account]]:
        """How many there are, and some of them by name. `part`: of their names. `names`: of these alone."""
        found = self._all()
        query = select(found)
        if state:
            query = query.where(found.c.state == state)
        if names:
            query = query.where(found.c.name.in_(names))
        if part:
            query = query.where(found.c.name.contains(part.lower(), autoescape=True))
        total = self._db.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        rows = self._db.execute(query.order_by(found.c.name).offset(offset).limit(limit))
        return total, [Account(*row) for row in rows]

    def digest(self, name: str) -> bytes | None:
        """Of a local account's password."""
        found = self._db.execute(select(LOCAL.c.password).where(LOCAL.c.username == name)).scalar()
        return None if found is None else bytes(found)

    def waiting(self) -> list[str]:
        """The address of each who waits for approval."""
        return list(self._db.execute(select(OURS.client).where(OURS.state == "waiting")).scalars())

    def overdue(self, before: float, limit: int) -> list[tuple[str, str]]:
        """Name and address of those who have waited since before then, in seconds of the epoch."""
        found = self._all()
        query = select(found.c.name, OURS.client).join(ACCOUNTS, OURS.name == found.c.name)
        query = query.where(found.c.state == "waiting", OURS.since < before).limit(limit)
        return [(name, client) for name, client in self._db.execute(query)]

    # -- what changes it -----------------------------------------------------------------------------------------------

    def put(self, name: str, digest: bytes | None) -> None:
        """An account that may log in; one that was there gets the new password."""
        if digest is not None:
            self._keep_password(name, digest, True)
        self._set(name, "allowed", named=True)
        self._db.commit()

    def renew(self, name: str, before: bytes, digest: bytes) -> bool:
        """Another password in the place of this one; whether it was this one still, of an account that may log in. Not
        committed: the caller writes more."""
        if self.state(name) != "allowed":
            return False
        where = (LOCAL.c.username == name, LOCAL.c.password == before)
        return bool(write(self._db, update(LOCAL).where(*where).values(password=digest)))

    def allow(self, name: str) -> bool:
        """Whether there is an account to be allowed. Where a directory decides, it decides again about whoever was not
        named by an administrator."""
        row = self._db.execute(select(OURS.state, OURS.named).where(OURS.name == name)).first()
        if self._is_local:
            if not self._authorize(name, True):
                return False
        elif row is None:
            return self.find(name) is not None
        if self._is_local or row is None or row.named:
            self._set(name, "allowed")
        else:
            write(self._db, delete(ACCOUNTS).where(OURS.name == name))
        self._db.commit()
        return True

    def block(self, name: str) -> None:
        """Also a name that has no account yet: a directory may know it."""
        self._authorize(name, False)
        self._set(name, "blocked")
        self._db.commit()

    def remove(self, name: str) -> None:
        write(self._db, delete(LOCAL).where(LOCAL.c.username == name))
        write(self._db, delete(ACCOUNTS).where(OURS.name == name))
        self._db.commit()

    def ask(self, name: str, digest: bytes, note: str, client: str) -> bool:
        """A sign-up, which waits; whether the name was free. Not committed: the caller writes more."""
        taken = [
            select(LOCAL.c.username).where(LOCAL.c.username == name),
            select(OURS.name).where(OURS.name == name),
            select(USERS.c.name).where(USERS.c.name == name),
        ]
        if any(self._db.execute(query).first() for query in taken):
            return False
        self._keep_password(name, digest, False)
        self._set(name, "waiting", note=note, client=client)
        return True

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _all(self) -> Subquery:
        """name, state, since, note of every account."""
        base, name = (LOCAL, LOCAL.c.username) if self._is_local else (USERS, USERS.c.name)
        known = self._columns(name, self._state()).select_from(base.outerjoin(ACCOUNTS, OURS.name == name))
        others = self._columns(OURS.name, OURS.state).where(OURS.name.not_in(select(name)))
        return known.union_all(others).subquery()

    def _columns(self, name: ColumnElement[Any], state: ColumnElement[Any]) -> Select[Any]:
        since = case((OURS.since.is_(None), null()), else_=OURS.since)
        return select(
            name.label("name"),
            state.label("state"),
            since.label("since"),
            func.coalesce(OURS.note, literal("")).label("note"),
        )

    def _state(self) -> ColumnElement[Any]:
        ours = func.coalesce(OURS.state, literal("allowed"))
        if not self._is_local:
            return ours
        may = LOCAL.c.is_authorized.is_(True)
        return case(
            (may & (ours != "blocked"), literal("allowed")), (ours == "waiting", ours), else_=literal("blocked")
        )

    def _set(self, name: str, state: State, **more: Any) -> None:
        values = {"state": state, "since": self._clock(), **more}
        if not write(self._db, update(ACCOUNTS).where(OURS.name == name).values(**values)):
            write(self._db, insert(ACCOUNTS).values(name=name, **values))

    def _authorize(self, name: str, may: bool) -> bool:
        return bool(write(self._db, update(LOCAL).where(LOCAL.c.username == name).values(is_authorized=may)))

    def _keep_password(self, name: str, digest: bytes, may: bool) -> None:
        columns = {"password": digest, "is_authorized": may}
        if not write(self._db, update(LOCAL).where(LOCAL.c.username == name).values(**columns)):
            secret = base64.b32encode(os.urandom(10)).decode()
            more = {"username": name, "otp_secret": secret, "has_2fa": False, "login_email_sent": False}
            write(self._db, insert(LOCAL).values(**columns, **more))
