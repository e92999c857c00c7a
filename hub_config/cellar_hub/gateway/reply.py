"""The answer on its way to one client: a head exactly once, then bytes; and refusals in the form that still fits.

A client that stops reading blocks `write` (uvicorn waits for the socket). `stuck_for` tells for how long, so that the
gateway ends such an answer instead of holding a place at the model server for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlette.types import Send

from .refused import Refused

Header = tuple[bytes, bytes]
STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Reply:
    """`status` is 0 until the head is sent. `proxied`: it goes through the hub's proxy, and perhaps others, not each
    of which passes on that an answer was broken off: its client would wait for ever."""

    def __init__(self, send: Send, request_id: str, *, proxied: bool = False) -> None:
        self._send = send
        self.proxied = proxied
        self._stream = False
        self._own: list[Header] = [(b"x-request-id", request_id.encode())]
        self.status = 0
        self.ended = False
        self.wrote = False  # something of the model server's answer, or an error, is on its way
        self._since: float | None = None

    @property
    def stuck_for(self) -> float:
        """Seconds since a write began that has not ended."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def begin(self, status: int, headers: Iterable[Header]) -> None:
        self.status = status
        self._stream = headers is STREAM_HEADERS
        await self._out({"type": "http.response.start", "status": status, "headers": [*headers, *self._own]})

    async def write(self, data: bytes) -> None:
        await self._out({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        self.ended = True
        await self._out({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        await self.begin(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.end(body)

    async def refuse(self, refused: Refused) -> None:
        """As plain HTTP while nothing is sent; as an event of a stream that has begun with comments; else the answer is
        broken off: a client notices, keeps what it has and may go on from there. A stream ends with the event all the
        same where its client would not notice (behind the proxy) or must not go on (a revoked token)."""
        if self.ended:
            return
        if not self.status:
            await self.whole(refused.status, refused.headers(), refused.body())
        elif not self.wrote:
            await self.end(refused.event())
        elif self._stream and (self.proxied or refused.status == 401):
            await self.end(b"\n\n" + refused.event())  # the event before it may have been cut in its middle

    async def _out(self, message: dict[str, object]) -> None:
        self._since = time.monotonic()
        await self._send(message)
        self._since = None
