"""What stands before the gateway's routes: the bounds of what a client may send, and how long it may take for it.

uvicorn bounds neither the size of a head nor the time in which it comes, so `BoundedProtocol` does: a head of at most
`MAX_HEAD` bytes within `HEAD_TIMEOUT` seconds, from the connection's first moment on. Bodies are read here, at most
`max_body` bytes, and no slower than `SLOWEST` after `BODY_TIMEOUT`; what stands beside them on the wire (sizes and
extensions of chunks, trailers) is bounded by `BESIDE`. What still comes of a request that was answered
before its end (401, 413) is thrown away for a while, because a connection closed at once could take the answer with it.

One workspace has `CONNECTIONS` at most, so that none takes those of all. Other addresses have no such bound: through
the hub's proxy many users come from one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import IPv4Network, IPv6Address, ip_address
from typing import Any, ClassVar

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .refused import Refused, bad_request, too_large

HEAD_TIMEOUT = 15.0
MAX_HEAD = 64 * 1024
BODY_TIMEOUT = 20.0
SLOWEST = 64 * 1024
"""Bytes per second that a large body must come with, over its whole length."""

BESIDE = 8
"""Bytes on the wire beside each byte of a body, over MAX_HEAD in all: a chunk of one byte has five. Trailers would be
kept without end."""

CONNECTIONS = 512

LINGER = 5.0
MAX_DISCARDED = 4 * 1024 * 1024


class ClientLeft(Exception):
    """The client hung up while its request was read; there is nobody to answer."""


class Crowd:
    """How many connections there are from each address of `pool`: at most `CONNECTIONS`."""

    def __init__(self, pool: IPv4Network) -> None:
        self._pool = pool
        self._here: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        if not self._is_counted(address):
            return True
        here = self._here.get(address, 0)
        if here >= CONNECTIONS:
            return False
        self._here[address] = here + 1
        return True

    def leave(self, address: str) -> None:
        """After an `enter` that was granted."""
        if self._is_counted(address):
            self._here[address] -= 1
            if not self._here[address]:
                del self._here[address]

    def _is_counted(self, address: str) -> bool:
        if not address:
            return False
        peer = ip_address(address.partition("%")[0])
        if isinstance(peer, IPv6Address):
            return peer.ipv4_mapped is not None and peer.ipv4_mapped in self._pool
        return peer in self._pool


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on heads, their size and their time, and on connections where there is a
    `crowd`."""

    head_timeout = HEAD_TIMEOUT
    crowd: ClassVar[Crowd | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_size = 0
        self._in_head = True
        self._body_size = self._beside = 0
        self._linger_timer: asyncio.TimerHandle | None = None
        self._discarded = 0
        self._refused = False
        self._entered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if self.crowd is not None and not self.crowd.enter(self._peer):
            self._refused = True
            transport.write(_empty(503, "Service Unavailable"))
            transport.close()
            return
        self._entered = True
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_lingering()
        if self.crowd is not None and self._entered:
            self.crowd.leave(self._peer)
        super().connection_lost(exc)

    @property
    def _peer(self) -> str:
        return self.client[0] if self.client is not None else ""

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # thrown away, so that what we said arrives
        if self._in_head:
            if self._head_timer is None:  # the next request of a kept connection
                self._start_head_timer()
            self._head_size += len(data)
        began_in_body, body_before = not self._in_head, self._body_size
        super().data_received(data)
        if began_in_body and not self._in_head:
            self._beside += len(data) - (self._body_size - body_before)
            if self._beside > MAX_HEAD + BESIDE * self._body_size:
                self.transport.close()
        if self._in_head and self._head_size > MAX_HEAD and not self._refused and not self.transport.is_closing():
            self._answer(431, "Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        self._in_head = False
        self._body_size = self._beside = 0
        self._stop_head_timer()
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MAX_HEAD:
            self._answer(431, "Request Header Fields Too Large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._refused or self.transport.is_closing():
            return
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED:
                self.transport.close()
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._linger_timer = self.loop.call_later(LINGER, self.transport.close)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._stop_lingering()
        if self.cycle is not None and self.cycle.response_complete:
            self.cycle.more_body = False
        if self.cycle is not None and not self.transport.is_closing():
            super().on_message_complete()
        self._in_head, self._head_size = True, 0

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout, self._too_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_lingering(self) -> None:
        self._discarded = 0
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._answer(408, "Request Timeout")

    def _answer(self, status: int, words: str) -> None:
        self._stop_head_timer()
        if self.cycle is not None and not self.cycle.response_complete:  # an earlier request's answer is on its way
            self.transport.close()
            return
        self.transport.write(_empty(status, words))
        self.transport.write_eof()
        self._refused = True
        self._linger_timer = self.loop.call_later(LINGER, self.transport.close)


def _empty(status: int, words: str) -> bytes:
    return f"HTTP/1.1 {status} {words}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()


class Room:
    """Bytes of requests that one user may have here at once, while they are read or wait: each is held in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, int] = {}

    @contextlib.contextmanager
    def hold(self, user: str, size: int) -> Iterator[Callable[[int], None]]:
        """Raises `Refused` (429). What is given out tells the real size, once it is known."""
        if self._held.get(user, 0) + size > self._most:
            raise Refused(429, "rate_limit_exceeded", "Too many large requests at once", retry_after=2.0)
        self._add(user, size)

        def settle(real: int) -> None:
            nonlocal size
            self._add(user, real - size)
            size = real

        try:
            yield settle
        finally:
            self._add(user, -size)

    def _add(self, user: str, size: int) -> None:
        held = self._held.get(user, 0) + size
        if held:
            self._held[user] = held
        else:
            self._held.pop(user, None)


class Places:
    """At most `most` at once of one user; up to `waiting` more of that user wait their turn."""

    def __init__(self, most: int, waiting: int) -> None:
        self._most = most
        self._waiting = waiting
        self._places: dict[str, asyncio.Semaphore] = {}
        self._here: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def hold(self, user: str) -> AsyncIterator[None]:
        """Raises `Refused` (429)."""
        here = self._here.get(user, 0)
        if here >= self._most + self._waiting:
            raise Refused(429, "rate_limit_exceeded", "Too many requests at once", retry_after=1.0)
        self._here[user] = here + 1
        try:
            async with self._places.setdefault(user, asyncio.Semaphore(self._most)):
                yield
        finally:
            self._here[user] -= 1
            if not self._here[user]:
                del self._here[user], self._places[user]


def expected_size(scope: Scope, limit: int) -> int:
    """Bytes that a body is going to have: what it says, at most `limit`, and that if it does not say."""
    announced = header(scope, b"content-length")
    return min(int(announced), limit) if announced.isdecimal() else limit


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises `Refused` (408, 413, 400) and `ClientLeft`."""
    announced = header(scope, b"content-length")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large(limit)
    body = bytearray()
    began = time.monotonic()
    try:
        async with asyncio.timeout(BODY_TIMEOUT) as patience:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientLeft
                body += message.get("body", b"")
                if len(body) > limit:
                    raise too_large(limit)
                if not message.get("more_body"):
                    return bytes(body)
                allowed = BODY_TIMEOUT + len(body) / SLOWEST - (time.monotonic() - began)
                patience.reschedule(asyncio.get_running_loop().time() + max(0.0, allowed))
    except TimeoutError:
        raise Refused(408, "request_timeout", "The request came too slowly") from None


def header(scope: Scope, name: bytes) -> str:
    """A header's value, empty when absent. Raises `Refused` when it stands there twice: two readers could differ."""
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise bad_request(f"The header {name.decode()} stands there twice")
    return values[0].decode("latin-1").strip() if values else ""


def token_of(scope: Scope) -> str:
    """The bearer's token (`Bearer TOKEN`, or JupyterHub's own `token TOKEN`); empty: none."""
    kind, _, token = header(scope, b"authorization").partition(" ")
    return token.strip() if kind.lower() in ("bearer", "token") else ""
