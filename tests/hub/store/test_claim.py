"""One process of a name at a time: a second one is refused, a dead one's name is free at once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cellar_hub.store import AlreadyRunning, Store, StoreDown

from tests.hub import postgres
from tests.hub.store.test_writer import write_down, written

HOLDER = """
import asyncio, sys
from cellar_hub.store import Store
async def main():
    store = Store.open(sys.argv[1], name="gateway-1")
    print("ready", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def a_gateway(database: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs as gateway-1."""
    command = [sys.executable, "-c", HOLDER, database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


async def test_a_second_process_of_one_name_is_refused_and_another_name_is_not(
    a_gateway: subprocess.Popen[str], database: str
) -> None:
    with pytest.raises(AlreadyRunning, match="'gateway-1'"):
        Store.open(database, wait=0.2, name="gateway-1")
    other = Store.open(database, name="gateway-2")
    await other.write(write_down("a"))
    await other.close()


async def test_the_name_of_a_killed_process_is_free(a_gateway: subprocess.Popen[str], database: str) -> None:
    a_gateway.kill()
    a_gateway.wait()
    store = Store.open(database, name="gateway-1")
    await store.write(write_down("a"))
    await store.close()


async def test_a_name_is_free_after_closing_and_may_hold_anything(database: str) -> None:
    for name in ("a", "b"):
        store = Store.open(database, name="../a b/한글\n")
        await store.write(write_down(name))
        await store.close()


async def test_the_name_is_held_again_after_the_server_was_restarted(postgresql: postgres.Cluster) -> None:
    url = postgresql.create_database()
    store = Store.open(url, name="gateway-1")
    postgresql.stop()
    postgresql.start()
    await store.write(write_down("a"))
    with pytest.raises(AlreadyRunning):
        Store.open(url, wait=0.2, name="gateway-1")
    assert await store.read(written) == {"a"}
    await store.close()


async def test_who_lost_its_name_to_another_writes_no_more(postgresql: postgres.Cluster) -> None:
    url = postgresql.create_database()
    first = Store.open(url, name="gateway-1")
    postgresql.stop()
    postgresql.start()
    second = Store.open(url, name="gateway-1")
    with pytest.raises(StoreDown, match="another process runs as 'gateway-1'"):
        await first.write(write_down("a"))
    assert first.down is not None
    await second.close()
    async with asyncio.timeout(60):  # the server's process for it ends when it has seen that
        while True:
            with contextlib.suppress(StoreDown):
                await first.write(write_down("b"))
                break
            await asyncio.sleep(0.05)
    assert first.down is None
    assert await first.read(written) == {"b"}
    await first.close()
