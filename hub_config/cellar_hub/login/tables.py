"""Our tables in JupyterHub's database, made like NativeAuthenticator's: when they are not there yet.

Design note. JupyterHub knows neither who waits for approval nor who is blocked, and NativeAuthenticator's table has
local passwords alone. What stands in ours counts for every kind of log-in; passwords stay where they are, so that an
installation's accounts live on. A name without a row is as it was before there was this table.

They and `cellar_homes` (`spawner.homes`) have a revision as alembic keeps one: so this release's word for a newer one's
tables is a refusal (`hubdatabase`), and whichever release changes them first finds out what it has before it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Delete, Float, Insert, Integer, MetaData, String, Table, Update, insert, select
from sqlalchemy.orm import Session

from cellar_hub.reconnecting import note_written

OURS = MetaData()

ACCOUNTS = Table(
    "cellar_accounts",
    OURS,
    Column("name", String(255), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("since", Float, nullable=False),  # seconds of the epoch
    Column("note", String(1000), nullable=False, default=""),  # what they wrote who signed up
    Column("client", String(64), nullable=False, default=""),  # the address that they signed up from
    Column("named", Boolean, nullable=False, default=False),  # an administrator lets them in, whatever a directory says
)

THROTTLE = Table(
    "cellar_throttle",
    OURS,
    Column("name", String(128), primary_key=True),  # of a counter: see `throttle`
    Column("failures", Integer, nullable=False),
    Column("last", Float, nullable=False),
    Column("promised", Float, nullable=False),
    Column("succeeded", Float, nullable=False),
)

VOUCHED = Table(
    "cellar_vouched",
    OURS,
    Column("name", String(255), primary_key=True),
    Column("provider", String(1000), nullable=False),
    Column("subject", String(255), nullable=False),  # who it is, by that provider; empty: it does not say
    Column("last", Float, nullable=False),  # when they came in, in seconds of the epoch
)

VERSION = Table("cellar_hub_version", OURS, Column("version_num", String(32), primary_key=True))
REVISION = "r0001"
KNOWN = (REVISION,)
"""Revisions that this release can read."""


def make_tables(db: Session) -> None:
    """Those that are not there."""
    OURS.create_all(db.get_bind(), checkfirst=True)
    if db.execute(select(VERSION)).first() is None:
        write(db, insert(VERSION).values(version_num=REVISION))
        db.commit()


def write(db: Session, statement: Insert | Update | Delete) -> int:
    """Rows that it changed. The caller commits."""
    done: Any = db.execute(statement)
    note_written(db)
    return int(done.rowcount)
