"""How connections to SQLite and PostgreSQL are made, so that both behave alike.

There is one writer at a time in the whole site: a writing transaction begins by taking the one lock (`BEGIN IMMEDIATE`;
in PostgreSQL an advisory lock that the transaction holds). Two gateways can therefore not both see the last free tokens
of a quota, a chain of audit rows has one next number, and two batches cannot deadlock. Group commit makes it cheap:
the lock is held for one commit, however many requests share it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from cellar.settings import SettingsError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

SETTING = "CELLAR_DATABASE_URL"
DRIVERS = ("sqlite", "postgresql+psycopg")
EXAMPLES = "sqlite:////data/cellar.db or postgresql+psycopg://NAME:PASSWORD@HOST/DATABASE"
ENCODED = " (in a password, write @ as %40, : as %3A, / as %2F, % as %25)"
WRITER_LOCK = 0x43_45_4C_4C_41_52  # "CELLAR": the advisory lock's number in PostgreSQL
CONNECT_SECONDS = 3
OLDEST_POSTGRESQL = 15


class StoreDown(Exception):
    """The database cannot be reached, is locked, is full, or said nothing in time. Nothing is known to be written."""


def parse_url(text: str, setting: str = SETTING) -> URL:
    """Read a database's address. Raises SettingsError, which never repeats the address: it may hold a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise SettingsError(setting, f"is no address of a database, like {EXAMPLES}") from None
    except ValueError:  # of its port
        raise SettingsError(setting, f"has a port that is no number; it looks like {EXAMPLES}{ENCODED}") from None
    if url.drivername not in DRIVERS:
        raise SettingsError(setting, f"begins with {url.drivername!r}; it may be {' or '.join(DRIVERS)}")
    if url.drivername == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise SettingsError(setting, "names no file: a database in memory would keep nothing")
        if url.host or url.username:
            raise SettingsError(setting, "must be sqlite:///FILE, with four slashes before a whole path")
        return url
    if "@" in (url.host or ""):
        raise SettingsError(setting, f"has more than one @ before the name of its server{ENCODED}")
    if url.port is not None and not 0 < url.port < 65_536:
        raise SettingsError(setting, "has a port that cannot be one")
    if not url.database:
        raise SettingsError(setting, f"names no database; it looks like {EXAMPLES}")
    return url


def writing_engine(url: URL, wait: float) -> Engine:
    """One connection, whose transactions hold the writer's lock. `wait`: seconds until a lock held by another is an
    error."""
    if url.drivername == "sqlite":
        _make_private_file(Path(url.database or ""))
        engine = _sqlite(url, wait, "BEGIN IMMEDIATE", ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"], 1)
    else:
        given_up = f"{int(2000 * wait)}ms"  # after which a process that stands still loses the lock
        settings = {"synchronous_commit": "on", "idle_in_transaction_session_timeout": given_up}
        engine = _postgresql(url, wait, settings, 1)
        event.listen(engine, "begin", _take_the_writers_lock)
    return engine


def reading_engine(url: URL, wait: float, connections: int) -> Engine:
    """Connections that see one snapshot per transaction and cannot write."""
    if url.drivername == "sqlite":
        return _sqlite(url, wait, "BEGIN", ["query_only=ON"], connections)
    isolation = {"default_transaction_isolation": "repeatable\\ read", "default_transaction_read_only": "on"}
    return _postgresql(url, wait, isolation, connections)


def reason(error: BaseException) -> str:
    """One bounded line for a log: what the database said, without statement and values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0][:300]}" if lines else type(cause).__name__


def is_down(error: BaseException) -> bool:
    """Whether an error speaks of the database rather than of what was asked of it."""
    if isinstance(error, DBAPIError):
        is_damaged = type(error) is DatabaseError  # SQLite of a file that is no database, or none any more
        return is_damaged or isinstance(error, OperationalError) or error.connection_invalidated
    return isinstance(error, StoreDown | PendingRollbackError | PoolTimeout)


def _sqlite(url: URL, wait: float, begin: str, pragmas: list[str], connections: int) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": wait},
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait,
    )

    def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the module's own BEGIN comes too late for SAVEPOINT; ours is below
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)
    return engine


def _postgresql(url: URL, wait: float, settings: dict[str, str], connections: int) -> Engine:
    milliseconds = int(wait * 1000)
    settings = settings | {
        "lock_timeout": str(milliseconds),
        "statement_timeout": str(10 * milliseconds),
        "tcp_keepalives_idle": "5",  # the server lets go of a client that vanished, and of the locks it held
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }
    return create_engine(
        url,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": milliseconds,  # a server that vanished without a FIN, while we send
            "keepalives_idle": max(1, int(wait)),  # and while we wait for its answer
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "application_name": "cellar",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait,
        pool_pre_ping=True,  # a database that was restarted costs nobody a request
    )


def _take_the_writers_lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")


def _make_private_file(path: Path) -> None:
    """SQLite gives its -wal and -shm files the mode of the database."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreDown(f"{path}: {error.strerror}") from error
