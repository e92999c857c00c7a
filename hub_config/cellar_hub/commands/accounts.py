"""Local accounts in the table of NativeAuthenticator: who has which password, and who may log in.

Design note. NativeAuthenticator has no API; its table lives in JupyterHub's database. The rows are written with its own
table definition, so a new column of a later release is seen here, too. Passwords are bcrypt hashes, as it reads them.
"""

from __future__ import annotations

import base64
import os
import re

import bcrypt
from sqlalchemy import ColumnElement, Table, create_engine, func, insert, select, update
from sqlalchemy.engine import Connection

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?", re.ASCII)
SHORTEST, LONGEST = 10, 72  # characters; bcrypt reads no more than 72 bytes


class Unusable(Exception):
    """A name or a password that cannot be one."""


def parse_name(value: str) -> str:
    """A user's name as the hub keeps it: lowercase ASCII. Raises Unusable."""
    name = value.strip().lower()
    if not NAME.fullmatch(name) or ".." in name:
        raise Unusable("a name has at most 64 letters, digits or . _ @ -, and begins and ends with a letter or digit")
    return name


def check_password(password: str) -> str:
    if len(password) < SHORTEST or len(password.encode()) > LONGEST:
        raise Unusable(f"a password has {SHORTEST} to {LONGEST} characters")
    return password


class Accounts:
    """The table in JupyterHub's database at `url`."""

    def __init__(self, url: str) -> None:
        from nativeauthenticator.orm import UserInfo

        self._table: Table = UserInfo.__table__
        self._engine = create_engine(url)

    def put(self, name: str, password: str) -> None:
        """Make an account that may log in, or give an old one a new password and let it log in again."""
        digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt())
        with self._engine.begin() as tx:
            self._table.create(tx, checkfirst=True)
            columns = {"password": digest, "is_authorized": True}
            if not tx.execute(update(self._table).where(self._is(name)).values(**columns)).rowcount:
                secret = base64.b32encode(os.urandom(10)).decode()
                more = {"username": name, "otp_secret": secret, "has_2fa": False, "login_email_sent": False}
                tx.execute(insert(self._table).values(**columns, **more))

    def allow(self, name: str, allowed: bool) -> bool:
        """Whether there is such an account."""
        with self._engine.begin() as tx:
            self._table.create(tx, checkfirst=True)
            return bool(tx.execute(update(self._table).where(self._is(name)).values(is_authorized=allowed)).rowcount)

    def allowed(self) -> dict[str, bool]:
        """Every account's name, and whether it may log in."""
        with self._engine.begin() as tx:
            self._table.create(tx, checkfirst=True)
            return dict(self._rows(tx))

    def _rows(self, tx: Connection) -> list[tuple[str, bool]]:
        columns = self._table.c
        return [(name, bool(may)) for name, may in tx.execute(select(columns.username, columns.is_authorized))]

    def _is(self, name: str) -> ColumnElement[bool]:
        return func.lower(self._table.c.username) == name

    def close(self) -> None:
        self._engine.dispose()
