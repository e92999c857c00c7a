"""Keeps the hub's session on a connection that is alive.

JupyterHub has one session for everything, and ends no transaction in which it has only read. So the session stands on
one connection for hours, and no pool looks whether that is still alive. A PostgreSQL that was restarted meanwhile, or a
task behind the pages that failed while it was away, costs whoever comes next a page that says 500: often a log-in.

Before each statement of the session it is seen whether the server has closed the connection: one system call, no
question to the server. A transaction that has only read begins anew then. One that has written does not: its error goes
to whoever wrote, as JupyterHub expects.
"""

from __future__ import annotations

import logging
import select
from typing import Any

import psycopg
from sqlalchemy import event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

_WROTE = "cellar_wrote"
CONNECT_SECONDS = 3
SILENCE = 10
"""Seconds after which a server that says nothing any more is given up: the hub does nothing else meanwhile."""

log = logging.getLogger("cellar.database")


def database_options(url: str) -> dict[str, Any]:
    """What SQLAlchemy's create_engine is told besides the address."""
    if make_url(url).drivername != "postgresql+psycopg":
        return {}
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": 1000 * SILENCE,  # while we send
        "keepalives_idle": SILENCE // 2,  # while we wait
        "keepalives_interval": 1,
        "keepalives_count": SILENCE // 2,
        "application_name": "cellar-hub",
    }
    return {"connect_args": arguments, "pool_pre_ping": True}


def keep_connected() -> None:
    """For all sessions of this process; once is enough, twice does no harm."""
    for name, listener in (
        ("do_orm_execute", _before_a_statement),
        ("after_flush", _after_a_flush),
        ("after_transaction_end", _after_a_transaction),
    ):
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)


def _before_a_statement(state: ORMExecuteState) -> None:
    session = state.session
    if session.in_transaction() and not session.info.get(_WROTE) and _is_lost(session):
        log.warning("the database has closed the hub's connection: it is asked on a new one")
        session.rollback()


def _after_a_flush(session: Session, _: Any) -> None:
    session.info[_WROTE] = True


def _after_a_transaction(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WROTE, None)


def _is_lost(session: Session) -> bool:
    """Whether nothing can come of this transaction."""
    if not session.is_active:
        return True  # what failed was told, and is undone already
    try:
        connection = session.connection()
        if connection.invalidated:
            return True
        driver = connection.connection.driver_connection
    except SQLAlchemyError:
        return True
    if isinstance(driver, psycopg.Connection) and _was_closed(driver):
        connection.invalidate()
        return True
    return False


def _was_closed(connection: psycopg.Connection[Any]) -> bool:
    """By the server. What it has said besides is read."""
    try:
        watch = select.poll()
        watch.register(connection.fileno(), select.POLLIN)
        while watch.poll(0):
            connection.pgconn.consume_input()
    except psycopg.Error:
        return True
    return connection.closed
