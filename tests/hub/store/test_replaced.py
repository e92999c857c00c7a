"""Another database in the place of the one that services have open: they go on with it, or say what is wrong."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from cellar_hub.store import Store, StoreDown
from cellar_hub.store.engine import parse_url, writing_engine
from cellar_hub.store.schema import migrate
from cellar_hub.store.tables import settled
from sqlalchemy import Connection, insert

from tests.hub import postgres
from tests.hub.store.test_writer import write_down, written


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cellar.db"


@pytest_asyncio.fixture
async def two(file: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Of two services, each with something written and read."""
    stores = tuple(Store.open(f"sqlite:///{file}", wait=0.5, name=name) for name in ("gateway", "console"))
    for name, store in zip(("a", "b"), stores, strict=True):
        await store.write(write_down(name))
    for store in stores:
        assert await store.read(written) == {"a", "b"}
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


def another(folder: Path, *rows: str, revision: str = "head") -> Path:
    """A database, closed and in one file."""
    made = folder / "another.db"
    url = parse_url(f"sqlite:///{made}")
    migrate(url, revision)
    engine = writing_engine(url, 5)
    with engine.begin() as tx:
        for row in rows:
            write_down(row)(tx)
    engine.dispose()
    return made


def rows_of(file: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return {row for (row,) in connection.execute("select request_id from cellar_settled")}


@pytest.mark.parametrize("with_log", [False, True], ids=["its log taken away", "its log left there"])
async def test_services_go_on_with_another_file_and_write_nothing_to_the_one_before(
    two: tuple[Store, Store], file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, with_log: bool
) -> None:
    gateway, console = two
    before = tmp_path / "before.db"
    before.hardlink_to(file)
    if not with_log:
        for name in ("-wal", "-shm"):
            file.with_name(file.name + name).unlink()
    another(tmp_path, "x").replace(file)
    assert await console.read(written) == {"x"}
    await gateway.write(write_down("y"))
    await console.write(write_down("z"))
    for store in two:
        assert await store.read(written) == {"x", "y", "z"} and store.down is None
        await store.close()
    assert rows_of(file) == {"x", "y", "z"}
    assert sum("another file is in the place of" in each.getMessage() for each in caplog.records) == 2
    assert file.with_name(file.name + "-wal.of-the-file-before").exists() is with_log
    with contextlib.closing(sqlite3.connect(before)) as old:
        assert "y" not in {row for (row,) in old.execute("select request_id from cellar_settled")}


async def test_a_file_that_is_gone_is_said_none_is_made_and_it_is_used_again(
    two: tuple[Store, Store], file: Path, tmp_path: Path
) -> None:
    kept = file.rename(tmp_path / "elsewhere.db")
    for store in two:
        with pytest.raises(StoreDown, match="is gone"):
            await store.write(write_down("lost"))
        with pytest.raises(StoreDown, match="is gone"):
            await store.read(written)
        assert "is gone" in str(store.down)
    assert not file.exists()
    kept.rename(file)
    await two[0].write(write_down("c"))
    assert await two[1].read(written) == {"a", "b", "c"}


async def test_what_is_no_database_of_ours_is_said_until_one_is_there(
    two: tuple[Store, Store], file: Path, tmp_path: Path
) -> None:
    store = two[0]
    for_nobody = tmp_path / "nonsense"
    for_nobody.write_text("no database at all\n" * 500)
    for_nobody.replace(file)
    for _ in range(2):
        with pytest.raises(StoreDown, match="not a database"):
            await store.write(write_down("lost"))
    with contextlib.closing(sqlite3.connect(tmp_path / "hubs")) as hubs, hubs:
        for table in ("spawners", "api_tokens", "oauth_clients"):
            hubs.execute(f"create table {table} (id)")
    (tmp_path / "hubs").replace(file)
    with pytest.raises(StoreDown, match="JupyterHub's own database"):
        await store.write(write_down("lost"))
    another(tmp_path, "x").replace(file)
    await store.write(write_down("y"))
    assert await store.read(written) == {"x", "y"} and store.down is None


async def test_an_older_one_becomes_one_of_today_whoever_looks_first(
    two: tuple[Store, Store], file: Path, tmp_path: Path
) -> None:
    another(tmp_path, revision="base").replace(file)
    assert await two[0].read(written) == set()
    await two[1].write(write_down("y"))
    assert await two[0].read(written) == {"y"}


async def test_a_write_while_the_file_is_replaced_is_not_called_durable(
    two: tuple[Store, Store], file: Path, tmp_path: Path
) -> None:
    new = another(tmp_path, "x")

    def work(tx: Connection) -> None:
        tx.execute(insert(settled).values(request_id="lost", at=1.0))
        new.replace(file)

    with pytest.raises(StoreDown, match="while this was written"):
        await two[0].write(work)
    await two[0].write(write_down("y"))
    assert await two[1].read(written) == {"x", "y"}


async def test_a_database_that_was_dropped_and_made_anew_is_used_at_the_revision_of_today(
    postgresql: postgres.Cluster,
) -> None:
    with postgresql.database() as address:
        url = parse_url(address)
        store = Store.open(address, wait=0.5, name="gateway")
        await store.write(write_down("a"))
        assert await store.read(written) == {"a"}
        with psycopg.connect(
            address.replace("+psycopg", "").replace(str(url.database), "postgres"), autocommit=True
        ) as admin:
            admin.execute(f'DROP DATABASE "{url.database}" WITH (FORCE)'.encode())
            with pytest.raises(StoreDown):
                await store.write(write_down("lost"))
            admin.execute(f'CREATE DATABASE "{url.database}"'.encode())
        assert await store.read(written) == set()
        await store.write(write_down("y"))
        assert await store.read(written) == {"y"} and store.down is None
        await store.close()
