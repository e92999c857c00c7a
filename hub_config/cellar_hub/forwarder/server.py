"""A forwarder's doors, opened and shut as leases and policy say, and the connections that came in by them."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import time
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from cellar_hub.destinations import Network

from . import targets
from .doors import Door, Place
from .relay import PIECE, keep_alive, relay
from .reports import Outcome, Reports

CONNECT = 10.0
"""Seconds that all addresses of a destination have together."""

BACKLOG = 128
log = logging.getLogger("cellar.forwarder")
Connection = tuple[StreamReader, StreamWriter]


class Listener:
    """One open door and its connections."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.connections: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None

    async def shut(self) -> None:
        """No new connections, and the running ones end."""
        if self.server is not None:
            self.server.close()
        for each in self.connections:
            each.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)


class Forwarder:
    """`own`: networks where no destination may lead. `most`: connections of one user at once."""

    def __init__(self, reports: Reports, most: int, own: Callable[[], Sequence[Network]]) -> None:
        self._reports = reports
        self._most = most
        self._own = own
        self._listeners: dict[Place, Listener] = {}
        self._running: Counter[str] = Counter()

    @property
    def places(self) -> dict[Place, Door]:
        """What is open."""
        return {place: listener.door for place, listener in self._listeners.items()}

    def running(self, user: str) -> int:
        """Connections of a user."""
        return self._running[user]

    async def set(self, doors: Mapping[Place, Door]) -> None:
        """Shut the doors that are not there any more, or lead elsewhere, with their connections; open the new ones. A
        door that cannot be opened yet (its address is just coming) is tried at the next call."""
        gone = [place for place, listener in self._listeners.items() if doors.get(place) != listener.door]
        await self._shut(gone)
        for place, door in doors.items():
            if place not in self._listeners:
                await self._open(place, door)

    async def close(self) -> None:
        await self._shut(list(self._listeners))

    async def _shut(self, places: Iterable[Place]) -> None:
        for listener in [self._listeners.pop(place) for place in places]:
            await listener.shut()
            log.info("shut: %s for %s", listener.door.destination.key, listener.door.user)

    async def _open(self, place: Place, door: Door) -> None:
        listener = Listener(door)

        def accept(reader: StreamReader, writer: StreamWriter) -> None:
            task = asyncio.create_task(self._serve(door, (reader, writer)))
            listener.connections.add(task)
            task.add_done_callback(listener.connections.discard)

        try:
            listener.server = await asyncio.start_server(accept, *place, limit=PIECE, backlog=BACKLOG)
        except OSError as problem:
            if problem.errno != errno.EADDRNOTAVAIL:
                log.warning("%s port %d cannot be opened: %s", *place, problem.strerror)
            return
        self._listeners[place] = listener
        log.info("open: %s for %s, at %s", door.destination.key, door.user, place[0])

    async def _serve(self, door: Door, client: Connection) -> None:
        """One connection, from its first moment to its last."""
        user = door.user
        peer = client[1].get_extra_info("peername")
        self._running[user] += 1
        try:
            if peer is None or ipaddress.IPv4Address(peer[0]) not in door.subnet:
                return self._note(door, "refused", "it came from another network")
            if self._running[user] > self._most:
                return self._note(door, "refused", f"more than {self._most} connections at once")
            if self._reports.full:
                return self._note(door, "refused", "the gateway has taken no report for too long")
            server = await self._connect(door)
            if server is not None:
                try:
                    await _carry(client, server)
                finally:
                    server[1].transport.abort()
        finally:
            client[1].transport.abort()
            self._running[user] -= 1
            if not self._running[user]:
                del self._running[user]

    async def _connect(self, door: Door) -> Connection | None:
        host, port = door.destination.to
        problem: OSError = OSError("no address")
        try:
            async with asyncio.timeout(CONNECT):
                for address in await targets.addresses_of(host, self._own()):
                    try:
                        server = await asyncio.open_connection(address, port, limit=PIECE)
                    except OSError as error:
                        problem = error
                        continue
                    self._note(door, "opened")
                    return server
        except targets.NotAllowed as error:
            self._note(door, "refused", f"{host} leads to {error}, which is the site's own")
            return None
        except OSError as error:  # also a timeout, and a name that leads nowhere
            problem = error
        self._note(door, "failed", str(problem) or "it does not answer")
        return None

    def _note(self, door: Door, outcome: Outcome, why: str = "") -> None:
        is_news = self._reports.note(door.user, door.destination.key, outcome, time.time())
        if why and is_news:
            log.warning("%s for %s was %s: %s", door.destination.key, door.user, outcome, why[:200])


async def _carry(client: Connection, server: Connection) -> None:
    """Until both have ended and have what was said; when a side is gone, the other is let go as well."""
    for _, writer in (client, server):
        keep_alive(writer)
    try:
        await relay(client, server)
        for _, writer in (client, server):
            writer.close()
            await writer.wait_closed()
    except* OSError:
        pass
