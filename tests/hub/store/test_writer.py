"""One writer with group commit: what is acknowledged is durable, and nobody pays for another's failure."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from cellar_hub.store import Store, after_commit
from cellar_hub.store.tables import settled
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError


def write_down(name: str) -> Callable[[Connection], str]:
    def work(tx: Connection) -> str:
        tx.execute(insert(settled).values(request_id=name, at=1.0))
        return name

    return work


def written(connection: Connection) -> set[str]:
    return set(connection.scalars(select(settled.c.request_id)))


class Gate:
    """A write that keeps the writer busy until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, tx: Connection) -> None:
        self.entered.set()
        assert self.open.wait(20)


async def started(store: Store, gate: Gate) -> asyncio.Task[None]:
    task = asyncio.create_task(store.write(gate))
    await asyncio.to_thread(gate.entered.wait, 20)
    return task


async def test_what_was_written_is_read(store: Store) -> None:
    assert await store.write(write_down("a")) == "a"
    assert await store.read(written) == {"a"}


async def test_those_who_wait_share_one_commit(store: Store) -> None:
    gate = Gate()
    first = await started(store, gate)
    commits: list[str] = []

    def work(tx: Connection) -> None:
        after_commit(tx, lambda: commits.append("hook"))
        sharing.add(id(tx.get_transaction()))

    sharing: set[int] = set()
    waiting = [asyncio.create_task(store.write(work)) for _ in range(20)]
    await asyncio.sleep(0)  # they are queued now
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert len(sharing) == 1
    assert len(commits) == 20


async def test_one_that_fails_spoils_nobody_elses(store: Store) -> None:
    await store.write(write_down("taken"))
    gate = Gate()
    first = await started(store, gate)

    def half(tx: Connection) -> None:
        write_down("half")(tx)
        raise LookupError("changed my mind")

    works = [write_down("a"), write_down("taken"), half, write_down("b")]
    waiting = [asyncio.create_task(store.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.open.set()
    a, taken, half_done, b = await asyncio.gather(*waiting, return_exceptions=True)
    await first
    assert (a, b) == ("a", "b")
    assert isinstance(taken, IntegrityError)
    assert isinstance(half_done, LookupError)
    assert await store.read(written) == {"taken", "a", "b"}


async def test_a_call_after_the_commit_is_made_only_when_there_was_one(store: Store) -> None:
    called: list[str] = []

    def work(tx: Connection) -> None:
        after_commit(tx, lambda: called.append("kept"))

    def fails(tx: Connection) -> None:
        after_commit(tx, lambda: called.append("undone"))
        raise LookupError

    await store.write(work)
    with pytest.raises(LookupError):
        await store.write(fails)
    assert called == ["kept"]


async def test_a_write_whose_caller_left_before_it_began_is_not_done(store: Store) -> None:
    gate = Gate()
    first = await started(store, gate)
    leaving = asyncio.create_task(store.write(write_down("left")))
    staying = asyncio.create_task(store.write(write_down("stays")))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open.set()
    await asyncio.gather(first, staying)
    assert leaving.cancelled()
    assert await store.read(written) == {"stays"}


async def test_closing_finishes_what_waits(store: Store, database: str) -> None:
    gate = Gate()
    first = await started(store, gate)
    waiting = [asyncio.create_task(store.write(write_down(str(i)))) for i in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, closing, *waiting)
    again = Store.open(database)
    assert await again.read(written) == {"0", "1", "2", "3", "4"}
    await again.close()


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only|attempt to write") as refused:
        await store.read(write_down("a"))
    assert isinstance(refused.value, DBAPIError) or refused.typename == "StoreDown"
    assert await store.read(written) == set()


async def test_a_reader_sees_one_snapshot(store: Store) -> None:
    with store.reading() as connection:
        before = written(connection)
        await store.write(write_down("a"))
        assert written(connection) == before == set()
    assert await store.read(written) == {"a"}


WRITER = """
import asyncio, sys
from cellar_hub.store import Store
from cellar_hub.store.tables import settled
from sqlalchemy import insert

async def main():
    store = Store.open(sys.argv[1])
    async def write(name):
        await store.write(lambda tx: tx.execute(insert(settled).values(request_id=name, at=1.0)))
        print(name, flush=True)
    for n in range(10**6):
        await asyncio.gather(*(write(f"{n}-{i}") for i in range(5)))

asyncio.run(main())
"""


def killed_writer(database: str) -> set[str]:
    """Start a process that writes and writes; kill it in the middle. What it was told to be written."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, database], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [child.stdout.readline().strip() for _ in range(100)]
    child.kill()
    acknowledged += child.stdout.read().split()
    child.stdout.close()
    child.wait()
    return set(acknowledged)


async def test_what_was_acknowledged_survives_kill_9(store: Store, database: str) -> None:
    acknowledged = await asyncio.to_thread(killed_writer, database)
    assert len(acknowledged) >= 100
    await store.write(write_down("after"))
    assert acknowledged - await store.read(written) == set()
