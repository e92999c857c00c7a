"""One process of a name at a time.

A gateway closes at its start what an earlier process of its name left open. Were that process alive, because somebody
runs two gateways under one name, its requests would be called interrupted and its reservations dropped. So a name is
held by a lock that the system itself takes back when a process dies, however it dies: with SQLite, a lock on a file
beside the database; with PostgreSQL, an advisory lock of the writer's session.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from urllib.parse import quote

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from cellar_hub.store.engine import StoreDown


class AlreadyRunning(StoreDown):
    """Another process holds this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another process runs as {name!r}; give each a name of its own")


def claim_file(database: Path, name: str) -> int:
    """The descriptor to close when the name is free again. Raises AlreadyRunning, OSError."""
    lock = database.with_name(f"{database.name}.{quote(name, safe='')}.lock")
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise AlreadyRunning(name) from None
        raise
    return descriptor


def claim_in_each_session(writer: Engine, name: str) -> None:
    """Every connection that the writer makes takes the name first, also after the server was restarted."""

    def connected(connection: psycopg.Connection, _entry: ConnectionPoolEntry) -> None:
        taken = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        row = connection.execute(taken, [f"cellar process {name}"]).fetchone()
        connection.commit()  # the lock is the session's, not the transaction's
        if row != (True,):
            connection.close()
            raise AlreadyRunning(name)

    event.listen(writer, "connect", connected)
