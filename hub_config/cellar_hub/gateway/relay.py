"""To a model server and back. A request is sent again only where the server cannot have taken it (DESIGN's rule of
retries: `never_taken`, and 502, 503 or 504 without a byte of body, which is a proxy's word), twice at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import httpx
from cellar.refusals import MAX_ERROR_BYTES, retry_after_seconds
from cellar.retry import RetryPolicy

from .models import ModelServer
from .refused import Refused, not_available
from .transport import FAILURES, never_taken, refused_connection, timed_out, timeouts, watch_socket

RETRIES = RetryPolicy()
BODILESS = frozenset({502, 503, 504})
ERROR_BODY_TIMEOUT = 10.0
_KEPT = ("content-type", "retry-after")


class Broken(Exception):
    """The answer broke off, or the server fell silent. `status`: 502 or 504."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The model server's answer broke off ({status})")
        self.status = status


class Relay:
    """One per process. Raises `Refused` when there is no answer to relay; an answer with any status is one."""

    def __init__(self, transport: httpx.AsyncBaseTransport, read_timeout: float) -> None:
        self._transport = transport
        self._timeouts = timeouts(read_timeout)
        self._addresses: dict[str, httpx.URL] = {}

    @contextlib.asynccontextmanager
    async def post(
        self, server: ModelServer, url: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """The answer with its head read. Leaving the block closes the socket at once, unless the body was read to its
        end; so does being cancelled before the head."""
        response = await self._open(server, url, body, headers)
        try:
            yield response
        finally:
            with contextlib.suppress(*FAILURES):
                await response.aclose()

    async def _open(self, server: ModelServer, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        named = {**headers, "accept-encoding": "identity", "user-agent": "cellar-gateway"}
        if server.key:
            named["authorization"] = f"Bearer {server.key}"
        address = self._addresses.get(url)
        if address is None:  # few: a table's servers and paths
            address = self._addresses[url] = httpx.URL(url)
        attempt = 0
        while True:
            request = httpx.Request("POST", address, content=body, headers=named, extensions=self._timeouts)
            watch = watch_socket()
            try:
                response = await self._transport.handle_async_request(request)
                if response.status_code not in BODILESS or await _has_body(response):
                    return response
                after = retry_after_seconds(response.headers.get("retry-after"))
                refusal, again = _no_body(response.status_code, after), True
            except FAILURES as cause:
                refusal, again, after = _no_answer(cause), never_taken(cause, watch), None
            delay = RETRIES.delay(attempt, after) if again else None
            if delay is None:
                raise refusal
            await asyncio.sleep(delay)
            attempt += 1


async def chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises `Broken`."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        async for chunk in stream:
            yield chunk
    except FAILURES as cause:
        raise Broken(504 if timed_out(cause) else 502) from None


async def read_bounded(response: httpx.Response, limit: int = MAX_ERROR_BYTES) -> bytes:
    """What there is of a body, at most `limit` bytes, in at most `ERROR_BODY_TIMEOUT`."""
    body = bytearray()
    with contextlib.suppress(TimeoutError, Broken):
        async with asyncio.timeout(ERROR_BODY_TIMEOUT), contextlib.aclosing(chunks(response)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) >= limit:
                    break
    return bytes(body[:limit])


def kept_headers(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """Of the model server's headers, those that are for the client: nothing hop-by-hop, no cookies, no names."""
    return [
        (name.encode(), response.headers[name].encode("latin-1", "replace"))
        for name in _KEPT
        if name in response.headers
    ]


async def _has_body(response: httpx.Response) -> bool:
    """Whether there is a byte of body; it is read for that, and kept for `read_bounded`."""
    if response.headers.get("content-length") not in (None, "0"):
        return True
    body = await read_bounded(response)
    await response.aclose()
    response.stream = httpx.ByteStream(body)
    return bool(body)


def _no_body(status: int, retry_after: float | None) -> Refused:
    return not_available(f"No model server answers (HTTP {status})", retry_after=retry_after or 5.0, code="model_down")


def _no_answer(cause: Exception) -> Refused:
    if refused_connection(cause):
        return not_available("The model server cannot be reached", code="model_down")
    if timed_out(cause):
        return Refused(504, "model_timeout", "The model server did not answer in time")
    return Refused(502, "model_failed", "The model server closed the connection")
