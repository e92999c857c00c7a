"""A database of any age becomes today's, whoever comes first, and nobody else's database is touched."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cellar.settings import SettingsError
from cellar_hub.store import Store, StoreDown
from cellar_hub.store.engine import parse_url, writing_engine
from cellar_hub.store.schema import MIGRATIONS, VERSION_TABLE, migrate
from cellar_hub.store.tables import metadata, settled
from sqlalchemy import insert, inspect, select, text

REVISIONS = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]


@pytest.mark.parametrize("revision", ["base", *REVISIONS])
async def test_every_older_revision_becomes_the_tables_of_today(database: str, revision: str) -> None:
    url = parse_url(database)
    if revision != "base":
        migrate(url, revision)
    await Store.open(database).close()
    engine = writing_engine(url, 5)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        ours = {table for table in inspect(connection).get_table_names() if table.startswith("cellar_")}
        assert ours == {*metadata.tables, VERSION_TABLE}
    engine.dispose()


def test_processes_that_start_at_once_find_one_database(database: str) -> None:
    program = "import sys, asyncio; from cellar_hub.store import Store; asyncio.run(Store.open(sys.argv[1]).close())"
    starting = [subprocess.Popen([sys.executable, "-c", program, database]) for _ in range(4)]
    assert [child.wait() for child in starting] == [0, 0, 0, 0]


async def test_opening_again_keeps_what_is_there(database: str) -> None:
    store = Store.open(database)
    await store.write(lambda tx: tx.execute(insert(settled).values(request_id="a", at=1.0)))
    await store.close()
    again = Store.open(database)
    assert await again.read(lambda c: list(c.scalars(select(settled.c.request_id)))) == ["a"]
    await again.close()


async def test_a_newer_database_is_refused(database: str) -> None:
    store = Store.open(database)
    await store.write(lambda tx: tx.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")))
    await store.close()
    with pytest.raises(StoreDown, match="newer"):
        Store.open(database)


def test_jupyterhubs_own_database_is_refused(database: str) -> None:
    engine = writing_engine(parse_url(database), 5)
    with engine.begin() as connection:
        for table in ("spawners", "api_tokens", "oauth_clients"):
            connection.execute(text(f"CREATE TABLE {table} (id INTEGER)"))
    engine.dispose()
    with pytest.raises(SettingsError, match="CELLAR_DATABASE_URL is JupyterHub's own"):
        Store.open(database)


@pytest.mark.parametrize(
    "address", ["", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "postgresql://u:secret@h/d", "secret"]
)
def test_an_address_that_cannot_be_used_is_refused_by_name_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingsError, match="CELLAR_DATABASE_URL") as refused:
        Store.open(address)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_down_and_its_password_is_not_told(an_unused_port: int) -> None:
    with pytest.raises(StoreDown) as refused:
        Store.open(f"postgresql+psycopg://u:secret@127.0.0.1:{an_unused_port}/d")
    assert "secret" not in str(refused.value)


def test_a_folder_that_cannot_be_made_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreDown):
        Store.open(f"sqlite:///{tmp_path}/file/cellar.db")


async def test_the_file_is_private_and_durable(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/new/cellar.db")
    await store.write(lambda tx: tx.execute(insert(settled).values(request_id="a", at=1.0)))
    assert {os.stat(file).st_mode & 0o777 for file in (tmp_path / "new").iterdir()} == {0o600}
    assert await store.write(lambda tx: tx.exec_driver_sql("PRAGMA synchronous").scalar()) == 2  # FULL
    await store.close()
    connection = sqlite3.connect(tmp_path / "new" / "cellar.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
