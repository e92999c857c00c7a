"""Bringing a database to the newest revision, by whichever process comes first."""

from __future__ import annotations

import logging
import sqlite3
from functools import cache
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from cellar.settings import SettingsError
from sqlalchemy import URL, Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from cellar_hub.store.engine import OLDEST_POSTGRESQL, SETTING, StoreDown, reason, writing_engine

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "cellar_version"
START_SECONDS = 60.0  # how long a second process waits while the first one migrates
JUPYTERHUBS = {"spawners", "api_tokens", "oauth_clients"}

log = logging.getLogger(__name__)


def migrate(url: URL, revision: str = "head") -> None:
    """Upgrade in one transaction that holds the writer's lock: of two processes one migrates, the other finds it done.

    Raises StoreDown, also for a database that a newer Cellar has written; SettingsError for JupyterHub's own database.
    """
    engine = writing_engine(url, START_SECONDS)
    try:
        with engine.begin() as connection:
            _refuse_what_is_not_ours(connection)
            command.upgrade(_config(connection), revision)
    except CommandError as error:
        cure = "run that one, or restore the backup from before it"
        raise StoreDown(f"the database is of a newer version of Cellar: {cure} ({error})") from None
    except SQLAlchemyError as error:
        raise StoreDown(reason(error)) from None
    finally:
        engine.dispose()


def is_of_today(connection: sqlite3.Connection | psycopg.Connection) -> bool:
    """Whether a database, of which this is the driver's own connection, is at the newest revision."""
    asked = f"SELECT version_num FROM {VERSION_TABLE}"
    try:
        if isinstance(connection, sqlite3.Connection):
            return connection.execute(asked).fetchall() == [(_newest(),)]
        found = connection.execute(asked.encode()).fetchall()
        return found == [(_newest(),)]
    except (sqlite3.Error, psycopg.errors.UndefinedTable):
        return False
    finally:
        if isinstance(connection, psycopg.Connection):
            connection.rollback()


@cache
def _newest() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_what_is_not_ours(connection: Connection) -> None:
    if set(inspect(connection).get_table_names()) >= JUPYTERHUBS:
        raise SettingsError(SETTING, "is JupyterHub's own database; give Cellar one of its own")
    if connection.dialect.name == "postgresql":
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000
        if version < OLDEST_POSTGRESQL:
            raise StoreDown(f"PostgreSQL {version} is too old; Cellar needs {OLDEST_POSTGRESQL} or newer")
