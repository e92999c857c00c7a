"""Keeps the hub's session on a connection that is alive.

JupyterHub has one session for everything, and ends no transaction in which it has only read. So the session stands on
one connection for hours, and no pool looks whether that is still alive. A PostgreSQL that was restarted meanwhile, or a
task behind the pages that failed while it was away, costs whoever comes next a page that says 500: often a log-in.

While the database is away, JupyterHub takes everybody for a stranger, and tells programs with a good token that it is
worthless (403). Here it says 503: the gateway then goes on with what it knows, and nobody is asked to log in again.

Before each statement of the session it is seen whether the server has closed the connection: one system call, no
question to the server. A transaction that has only read begins anew then. One that has written does not: its error goes
to whoever wrote, as JupyterHub expects.

Another database in the place of the hub's (a file that was renamed there, a database that was dropped and restored) is
one whose users have other numbers, while the hub goes by what it remembers of the numbers of before: one user would be
taken for another. So the hub ends, and whoever watches over it starts it anew with what is there. A file that is gone
is no reason to end: a hub that starts without one makes an empty one.

A hub that is told to end asks its database about what it tidies up. Where that fails JupyterHub stays, with its signal
spent: here it ends without having tidied up. It also waits for each task that it has cancelled, for ever where one
missed that: here for some seconds.
"""

from __future__ import annotations

import functools
import logging
import os
import select
import signal
import threading
from typing import Any

import psycopg
from jupyterhub.app import JupyterHub
from jupyterhub.handlers import BaseHandler
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction
from tornado.web import HTTPError

_WROTE = "cellar_wrote"
_AWAY = "_cellar_database_away"
_GUARDED = "_cellar_guarded"
_NUMBER = "cellar_number"
CONNECT_SECONDS = 3
SILENCE = 10
"""Seconds after which a server that says nothing any more is given up: the hub does nothing else meanwhile."""

SECONDS_TO_END = 5.0

log = logging.getLogger("cellar.database")

_known: dict[str, tuple[int, ...]] = {}
"""Which database stood under an address when it was asked first."""


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
    """For all sessions and pages of this process; once is enough, twice does no harm."""
    for name, listener in (
        ("do_orm_execute", _before_a_statement),
        ("after_flush", _after_a_flush),
        ("after_transaction_end", _after_a_transaction),
    ):
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)
    _say_who_is_away()
    _end_whatever_fails()


def _say_who_is_away() -> None:
    """Mend `BaseHandler`: when nobody can say who is asking, that is not the asker's fault."""
    ask, resolve = BaseHandler.get_current_user, BaseHandler._resolve_roles_and_scopes
    if getattr(ask, _GUARDED, False):
        return

    @functools.wraps(ask)
    async def asked(self: Any) -> Any:
        try:
            return await ask(self)
        except (OperationalError, InterfaceError, PendingRollbackError):
            setattr(self, _AWAY, True)
            raise  # JupyterHub logs it, and undoes the transaction

    @functools.wraps(resolve)
    def resolved(self: Any) -> Any:
        """The first that `prepare` does after it."""
        if getattr(self, _AWAY, False):
            raise HTTPError(503, "The hub's database does not answer")
        return resolve(self)

    setattr(asked, _GUARDED, True)
    BaseHandler.get_current_user = asked
    BaseHandler._resolve_roles_and_scopes = resolved


def _end_whatever_fails() -> None:
    """Mend `JupyterHub.cleanup`, after which tasks are ended and the process is."""
    cleanup = JupyterHub.cleanup
    if getattr(cleanup, _GUARDED, False):
        return

    @functools.wraps(cleanup)
    async def cleaned(self: Any) -> None:
        try:
            await cleanup(self)
        except Exception:  # nothing comes after it but the end
            log.exception("not everything could be tidied up; the hub ends all the same")
        _end_by_force(0)

    setattr(cleaned, _GUARDED, True)
    JupyterHub.cleanup = cleaned


def note_written(session: Session) -> None:
    """By a statement that was no object's: the session does not see those by itself."""
    session.info[_WROTE] = True


def _before_a_statement(state: ORMExecuteState) -> None:
    session = state.session
    if session.in_transaction() and not session.info.get(_WROTE) and _is_lost(session):
        log.warning("the database has closed the hub's connection: it is asked on a new one")
        session.rollback()
    _refuse_another(session)


def _after_a_flush(session: Session, _: Any) -> None:
    note_written(session)


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


def _refuse_another(session: Session) -> None:
    """Raises OperationalError when the hub's database is not there, or another one is; then the hub ends, too. And what
    the statement itself would raise."""
    connection = session.connection()
    try:
        found = _identity(connection)
    except FileNotFoundError as error:
        log.error("%s is gone: nothing is read or written until it is back", error.filename)
        raise OperationalError("the hub's database", {}, error) from None
    known = _known.setdefault(str(connection.engine.url), found)
    if known != found:
        _end()
        raise OperationalError("the hub's database", {}, OSError("it is another one"))


@functools.cache
def _end() -> None:
    """Once: JupyterHub tells who waits, and asks its database again while it ends, which fails. And not for long."""
    log.critical("another database is in the place of the hub's: the hub ends, to be started with it")
    _end_by_force(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _end_by_force(status: int) -> None:
    """Unless the process has ended by itself some seconds later."""
    by_force = threading.Timer(SECONDS_TO_END, os._exit, [status])
    by_force.daemon = True
    by_force.start()


def _identity(connection: Connection) -> tuple[int, ...]:
    """Of a file: its device and number there; PostgreSQL's number of a database, asked once in a connection. Raises
    FileNotFoundError."""
    if connection.dialect.name == "sqlite":
        path = connection.engine.url.database
        if path in (None, "", ":memory:"):
            return ()
        found = os.stat(path)
        return found.st_dev, found.st_ino
    if connection.dialect.name == "postgresql" and _NUMBER not in connection.info:
        asked = "SELECT oid FROM pg_database WHERE datname = current_database()"
        connection.info[_NUMBER] = int(connection.exec_driver_sql(asked).scalar_one())
    return (connection.info.get(_NUMBER, 0),)


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
