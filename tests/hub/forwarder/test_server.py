"""A forwarder on real sockets: the loopback's many addresses are the workspaces' networks and the building."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cellar_hub.destinations import Destination
from cellar_hub.forwarder import server, targets
from cellar_hub.forwarder.doors import Door
from cellar_hub.forwarder.reports import MOST_UNSENT, Reports
from cellar_hub.forwarder.server import Forwarder

from tests.fakes.fixtures import unused_port

WORKSPACES = ipaddress.IPv4Network("127.8.0.0/16")


@pytest.fixture(autouse=True)
def loopback_is_the_building(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else than the loopback's own rule is lifted."""
    monkeypatch.setattr(targets, "is_own", lambda address, networks: any(address in each for each in networks))


def abort(writer: asyncio.StreamWriter) -> None:
    """Also what keeps a writer: one that nobody holds closes its connection."""
    writer.transport.abort()


class Place:
    """A forwarder, a server that it leads to, and what the server was told."""

    def __init__(self) -> None:
        self.reports = Reports("1-t")
        self.forwarder = Forwarder(self.reports, most=3, own=lambda: [WORKSPACES])
        self.port = unused_port()
        self.accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        async def accept(*connection: Any) -> None:
            await self.accepted.put(connection)

        listening = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.stack.callback(listening.close)
        self.target = listening.sockets[0].getsockname()[1]

    def door(self, to: tuple[str, int] | None = None, user: str = "kim", subnet: str = "127.0.0.0/28") -> Door:
        destination = Destination(name="a.corp", port=self.port, to=to or ("127.0.0.1", self.target))
        return Door(user, ipaddress.IPv4Network(subnet), destination)

    async def set(self, door: Door | None) -> None:
        await self.forwarder.set({("127.0.0.2", self.port): door} if door else {})

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.2", self.port, local_addr=("127.0.0.5", 0))
        self.stack.callback(abort, writer)
        return reader, writer

    async def both(self) -> tuple[Any, Any]:
        """A connection's two ends: the workspace's and the server's."""
        ours = await self.connect()
        async with asyncio.timeout(10):
            theirs = await self.accepted.get()
        self.stack.callback(abort, theirs[1])
        return ours, theirs

    def outcomes(self) -> list[tuple[str, str, int]]:
        return [(each.user, each.outcome, each.count) for each in self.reports.due(0.0, end=True)]


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    await made.start()
    yield made
    await made.forwarder.close()
    await made.stack.aclose()


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether nothing more comes, in whatever way the connection ended."""
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def test_bytes_go_both_ways_and_each_side_may_end_first(place: Place) -> None:
    await place.set(place.door())
    (reader, writer), (their_reader, their_writer) = await place.both()
    writer.write(b"select 1")
    writer.write_eof()
    assert await their_reader.read() == b"select 1"
    their_writer.write(b"one row")
    await their_writer.drain()
    assert await reader.readexactly(7) == b"one row"
    their_writer.close()
    assert await ends(reader)
    assert place.outcomes() == [("kim", "opened", 1)]


async def test_megabytes_pass_whole_and_a_slow_reader_slows_the_writer_down(place: Place) -> None:
    await place.set(place.door())
    (reader, writer), (_, their_writer) = await place.both()
    whole = bytes(range(256)) * 64 * 1024  # 16 MiB
    their_writer.transport.set_write_buffer_limits(0)
    their_writer.write(whole)
    with pytest.raises(TimeoutError):  # the buffers on the way are full, and hold far less
        async with asyncio.timeout(0.5):
            await their_writer.drain()
    their_writer.write_eof()
    assert await reader.read() == whole
    writer.close()


async def test_a_door_that_is_shut_ends_its_connections_and_takes_no_new_ones(place: Place) -> None:
    await place.set(place.door())
    (reader, _), (their_reader, _) = await place.both()
    await place.set(None)
    assert await ends(reader) and await ends(their_reader)
    with pytest.raises(ConnectionRefusedError):
        await place.connect()


async def test_a_door_that_leads_elsewhere_now_ends_its_connections(place: Place) -> None:
    await place.set(place.door())
    (reader, _), _ = await place.both()
    await place.set(place.door(user="lee"))
    assert await ends(reader)
    await place.both()
    assert place.outcomes() == [("kim", "opened", 1), ("lee", "opened", 1)]


async def test_a_door_that_stays_keeps_its_connections(place: Place) -> None:
    await place.set(place.door())
    (reader, writer), (their_reader, their_writer) = await place.both()
    await place.set(place.door())
    writer.write(b"still there")
    assert await their_reader.readexactly(11) == b"still there"
    their_writer.write(b"yes")
    assert await reader.readexactly(3) == b"yes"


async def test_a_door_whose_address_is_not_there_yet_is_tried_again(place: Place) -> None:
    await place.forwarder.set({("192.0.2.77", place.port): place.door()})
    assert place.forwarder.places == {}
    await place.set(place.door())
    assert list(place.forwarder.places) == [("127.0.0.2", place.port)]


async def test_who_comes_from_another_network_is_closed_at_once(place: Place) -> None:
    await place.set(place.door(subnet="127.0.9.0/28"))
    reader, _ = await place.connect()
    assert await ends(reader) and place.accepted.empty()
    assert place.outcomes() == [("kim", "refused", 1)]


async def test_a_user_has_so_many_connections_and_no_more(place: Place) -> None:
    await place.set(place.door())
    held = [await place.both() for _ in range(3)]
    reader, _ = await place.connect()
    assert await ends(reader)
    for end in held[0]:
        end[1].close()
    async with asyncio.timeout(10):
        while place.forwarder.running("kim") == 3:  # noqa: ASYNC110 - the forwarder hears of it in its own time
            await asyncio.sleep(0.01)
    await place.both()
    assert place.outcomes() == [("kim", "opened", 1), ("kim", "refused", 1), ("kim", "opened", 3)]


@pytest.mark.parametrize("host", ["127.8.0.9", "localhost"])
async def test_a_name_that_leads_into_the_sites_own_networks_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    if host == "localhost":  # with the rule of the loopback as it is
        monkeypatch.undo()
    await place.set(place.door(to=(host, place.target)))
    reader, _ = await place.connect()
    assert await ends(reader) and place.accepted.empty()
    assert place.outcomes() == [("kim", "refused", 1)]


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-name.invalid"])
async def test_a_destination_that_is_not_there_ends_the_connection(place: Place, host: str) -> None:
    await place.set(place.door(to=(host, unused_port())))
    reader, _ = await place.connect()
    assert await ends(reader)
    assert place.outcomes() == [("kim", "failed", 1)]


async def test_a_destination_that_does_not_answer_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECT", 0.2)
    await place.set(place.door(to=("192.0.2.1", 9)))
    reader, _ = await place.connect()
    assert await ends(reader)
    assert place.outcomes() == [("kim", "failed", 1)]


async def test_without_the_audit_there_are_no_new_connections_and_the_running_ones_go_on(place: Place) -> None:
    await place.set(place.door())
    (_, writer), (their_reader, _) = await place.both()
    for number in range(MOST_UNSENT):
        place.reports.note(f"user{number}", "a.corp:1", "opened", 1.0)
    reader, _ = await place.connect()
    assert await ends(reader)
    writer.write(b"on")
    assert await their_reader.readexactly(2) == b"on"


async def test_a_broken_side_breaks_the_other(place: Place) -> None:
    await place.set(place.door())
    (reader, _), (_, their_writer) = await place.both()
    their_writer.transport.abort()
    assert await ends(reader)
