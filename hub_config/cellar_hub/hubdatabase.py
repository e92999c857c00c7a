"""JupyterHub's database before JupyterHub opens it: an older one is brought up to date, a newer one is refused.

JupyterHub by itself refuses both in the same words; told to upgrade, it would copy a database anew each time that its
container is started again. Here SQLite is upgraded in a copy that then takes its place: what was there is whole until
then, and lies beside it afterwards (`NAME.before-REVISION`). In PostgreSQL each step is one transaction.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import jupyterhub
from alembic.script import ScriptDirectory
from cellar.settings import SettingsError
from jupyterhub import dbutil
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from cellar_hub.backup.copies import copy_database
from cellar_hub.login.tables import KNOWN, VERSION
from cellar_hub.reconnecting import database_options

SETTING = "CELLAR_HUB_DATABASE_URL"
WAY_OUT = "It is as it was: start the newer release again, or restore a backup that was made before it"

log = logging.getLogger("cellar.database")


def bring_up_to_date(url: str) -> None:
    """Where a database does not answer, or is empty, nothing is done: JupyterHub says the one and makes the other.
    Raises SettingsError for what a newer release has written, and when an upgrade fails."""
    jupyterhubs, ours = _revisions(url)
    scripts = ScriptDirectory(dbutil.ALEMBIC_DIR)
    head = scripts.get_current_head()
    if jupyterhubs is not None and jupyterhubs not in {each.revision for each in scripts.walk_revisions()}:
        newer = f"newer than {jupyterhub.__version__} (revision {jupyterhubs})"
        raise SettingsError(SETTING, f"is the database of a JupyterHub {newer}. {WAY_OUT}")
    if ours is not None and ours not in KNOWN:
        raise SettingsError(SETTING, f"has accounts of a newer release of Cellar (revision {ours}). {WAY_OUT}")
    if jupyterhubs is None or jupyterhubs == head:
        return
    log.warning("JupyterHub's database is brought up to date, from revision %s to %s", jupyterhubs, head)
    database = make_url(url)
    if database.drivername.partition("+")[0] == "sqlite":
        with _copy_of(Path(database.database or ""), jupyterhubs) as copy:
            _upgrade(database.set(database=str(copy)).render_as_string(hide_password=False))
    else:
        _upgrade(url)


def _revisions(url: str) -> tuple[str | None, str | None]:
    """JupyterHub's, and that of our tables beside it; None: there is none."""
    database = make_url(url)
    if database.drivername.partition("+")[0] == "sqlite" and not Path(database.database or "").is_file():
        return None, None
    engine = create_engine(url, **database_options(url))
    try:
        with engine.connect() as connection:
            there = set(inspect(connection).get_table_names())
            found = [
                connection.execute(text(f"SELECT version_num FROM {table}")).scalar() if table in there else None
                for table in ("alembic_version", VERSION.name)
            ]
    except SQLAlchemyError as error:
        log.warning("JupyterHub's database cannot be looked at: %s", type(error).__name__)
        return None, None
    finally:
        engine.dispose()
    return found[0], found[1]


@contextmanager
def _copy_of(path: Path, revision: str) -> Iterator[Path]:
    """Takes the place of the database at the end, if nothing was raised; until then nothing is changed."""
    copy = path.with_name(f"{path.name}.upgrading")
    copy.unlink(missing_ok=True)
    try:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        copy_database(path, copy)
        yield copy
        os.chmod(copy, path.stat().st_mode & 0o777)
        before = path.with_name(f"{path.name}.before-{revision}")
        before.unlink(missing_ok=True)
        os.link(path, before)
        copy.replace(path)
        log.warning("as it was before: %s", before)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(SETTING, f"cannot be upgraded, and is as it was: {error}") from None
    finally:
        copy.unlink(missing_ok=True)


def _upgrade(url: str) -> None:
    with TemporaryDirectory() as folder:
        settings = f"{folder}/alembic.ini"
        dbutil.write_alembic_ini(settings, url)
        command = [sys.executable, "-m", "alembic", "-c", settings, "upgrade", "head"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        log.error("%s", done.stderr[-3000:])
        raise SettingsError(SETTING, f"cannot be upgraded to JupyterHub {jupyterhub.__version__}; why stands above")
