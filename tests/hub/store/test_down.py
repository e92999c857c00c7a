"""A database that is down, locked, frozen or full: StoreDown in bounded time, and back without a restart."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from cellar_hub.store import Store, StoreDown
from cellar_hub.store.engine import WRITER_LOCK
from cellar_hub.store.tables import settled
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError, NoResultFound

from tests.hub import postgres
from tests.hub.store.test_writer import write_down, written

WAIT = 0.5


@pytest_asyncio.fixture
async def impatient(database: str) -> AsyncIterator[Store]:
    """A store that waits half a second for a lock."""
    store = Store.open(database, wait=WAIT)
    yield store
    await store.close()


@pytest.fixture
def a_lock_held_elsewhere(database: str) -> Iterator[sqlite3.Connection | psycopg.Connection]:
    """Another process in the middle of its commit."""
    if database.startswith("sqlite"):
        other = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.close()
    else:
        with psycopg.connect(database.replace("+psycopg", "")) as connection:
            connection.execute(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})".encode())
            yield connection


async def test_a_locked_database_is_down_in_bounded_time_and_back_by_itself(
    impatient: Store, a_lock_held_elsewhere: sqlite3.Connection | psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with pytest.raises(StoreDown):
        await impatient.write(write_down("a"))
    assert time.monotonic() - began < 6 * WAIT
    assert impatient.down is not None
    a_lock_held_elsewhere.rollback()
    await impatient.write(write_down("b"))
    assert impatient.down is None
    assert await impatient.read(written) == {"b"}
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said[0].startswith("the database is down") and said[-1] == "the database is back"


async def test_a_stopped_server_is_down_and_a_started_one_is_used_again(postgresql: postgres.Cluster) -> None:
    store = Store.open(postgresql.create_database(), wait=WAIT)
    await store.write(write_down("before"))
    await store.read(written)
    postgresql.stop()
    try:
        with pytest.raises(StoreDown):
            await store.write(write_down("lost"))
        with pytest.raises(StoreDown):
            await store.read(written)
    finally:
        postgresql.start()
    await store.write(write_down("after"))
    assert await store.read(written) == {"before", "after"}
    await store.close()


async def test_a_server_restarted_between_two_writes_costs_nobody_a_request(postgresql: postgres.Cluster) -> None:
    store = Store.open(postgresql.create_database(), wait=WAIT)
    await store.write(write_down("before"))
    await store.read(written)
    postgresql.stop()
    postgresql.start()
    await store.write(write_down("after"))
    assert await store.read(written) == {"before", "after"}
    await store.close()


async def test_a_frozen_server_is_down_in_bounded_time(postgresql: postgres.Cluster) -> None:
    store = Store.open(postgresql.create_database(), wait=WAIT)
    await store.write(write_down("before"))
    postgresql.freeze()
    began = time.monotonic()
    try:
        waiting: list[Any] = [store.write(write_down(str(i))) for i in range(3)]
        waiting.append(store.read(written))
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert time.monotonic() - began < 6 * WAIT
        assert all(isinstance(end, StoreDown) for end in ends)
        assert store.down is not None
    finally:
        postgresql.thaw()

    async def until_it_writes() -> None:
        while True:
            try:
                return await store.write(lambda tx: None)
            except StoreDown:
                continue

    await asyncio.wait_for(until_it_writes(), 20)
    assert "before" in await store.read(written)
    await store.close()


async def test_a_process_frozen_with_the_lock_loses_it(postgresql: postgres.Cluster) -> None:
    url = postgresql.create_database()
    stuck, other = Store.open(url, wait=WAIT), Store.open(url, wait=10)
    busy = asyncio.Event()
    loop = asyncio.get_running_loop()
    late = asyncio.Event()

    def sleeps_with_the_lock(tx: Connection) -> None:
        tx.execute(insert(settled).values(request_id="stuck", at=1.0))
        loop.call_soon_threadsafe(busy.set)
        asyncio.run_coroutine_threadsafe(late.wait(), loop).result(20)

    sleeping = asyncio.create_task(stuck.write(sleeps_with_the_lock))
    await busy.wait()
    await other.write(write_down("other"))
    late.set()
    with pytest.raises(StoreDown):
        await sleeping
    assert await other.read(written) == {"other"}
    await asyncio.gather(stuck.close(), other.close())


async def test_a_reader_that_is_ready_after_the_end_leaves_no_connection(postgresql: postgres.Cluster) -> None:
    store = Store.open(postgresql.create_database(), wait=WAIT)
    reads, ready = threading.Event(), threading.Event()
    left: list[tuple[Any, threading.Thread]] = []

    def slow(connection: Connection) -> None:
        left.append((connection.connection.driver_connection, threading.current_thread()))
        reads.set()
        ready.wait(20)

    reading = asyncio.create_task(store.read(slow))
    await asyncio.to_thread(reads.wait, 20)
    reading.cancel()
    await store.close()
    [(connection, thread)] = left
    assert not connection.closed
    ready.set()
    await asyncio.to_thread(thread.join, 20)
    assert connection.closed


async def test_a_full_disk_is_told_as_down_and_undoes_only_what_did_not_fit(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/cellar.db", wait=WAIT)
    await store.write(lambda tx: tx.exec_driver_sql("PRAGMA max_page_count=100"))
    await store.write(write_down("small"))
    with pytest.raises(StoreDown, match="full"):
        await store.write(write_down("x" * 2_000_000))
    await store.write(lambda tx: tx.exec_driver_sql("PRAGMA max_page_count=100000"))
    await store.write(write_down("later"))
    assert await store.read(written) == {"small", "later"}
    await store.close()


async def test_an_error_tells_no_values(impatient: Store) -> None:
    with pytest.raises((StoreDown, DBAPIError)) as refused:
        await impatient.read(lambda c: c.execute(text("SELECT * FROM nothing WHERE a = :a"), {"a": "secret"}).all())
    assert "secret" not in str(refused.value)


async def test_an_answer_that_is_not_there_is_no_database_that_is_down(impatient: Store) -> None:
    nothing = select(settled.c.request_id)
    with pytest.raises(NoResultFound):
        await impatient.read(lambda c: c.execute(nothing).one())
    with pytest.raises(NoResultFound):
        await impatient.write(lambda c: c.execute(nothing).one())
    assert impatient.down is None


async def test_a_wrong_statement_is_its_authors_failure_alone(impatient: Store) -> None:
    works = [lambda tx: tx.execute(text("SELECT * FROM nothing")), write_down("a"), write_down("b")]
    first, *rest = await asyncio.gather(*(impatient.write(w) for w in works), return_exceptions=True)
    assert isinstance(first, Exception)
    assert rest == ["a", "b"]
    assert await impatient.read(lambda c: set(c.scalars(select(settled.c.request_id)))) == {"a", "b"}
