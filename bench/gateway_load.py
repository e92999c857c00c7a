"""Clients that cost next to nothing: raw HTTP on kept connections, times by `perf_counter`."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import cast

from bench.gateway_model import MODEL

PREFILL = 20
"""ms; a small model on a GPU reads a short prompt in about that."""


@dataclass
class Seen:
    """Of all streams together. Seconds."""

    first: list[float] = field(default_factory=list)  # from the request's last byte to the first token
    events: int = 0
    answers: int = 0
    failures: list[bytes] = field(default_factory=list)


def request(path: str, token: str, **fields: object) -> bytes:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Count"}], **fields}
    body = json.dumps(asked, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._began = 0.0
        self._waiting_first = False
        self._done: asyncio.Future[None] | None = None
        self._whole = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by class

    async def ask(self, data: bytes) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._waiting_first, self._whole = True, b""
        self._began = time.perf_counter()
        self._transport.write(data)
        await self._done

    def data_received(self, data: bytes) -> None:
        if self._waiting_first:
            if b'"content"' in data:
                self._seen.first.append(time.perf_counter() - self._began)
                self._waiting_first = False
            elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
                self._seen.failures.append(data[:500])
                self._finish()
                return
        self._seen.events += data.count(b"data: {")
        self._whole = (self._whole + data)[-64:]
        if self._whole.endswith((b"\r\n0\r\n\r\n", b'"completion_tokens":1}}')):
            self._seen.answers += 1
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._seen.failures.append(b"connection lost")
            self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


async def connect(port: int, seen: Seen) -> Client:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(seen), "127.0.0.1", port)
    return client


async def streams(
    port: int, path: str, tokens: list[str], count: int, seconds: float, length: int = 100, prefill: int = PREFILL
) -> Seen:
    """`count` streams that ask again when an answer has ended; begun one after the other within one answer's time."""
    seen = Seen()
    until = time.perf_counter() + seconds

    async def one(n: int) -> None:
        client = await connect(port, seen)
        await asyncio.sleep(n / count * min(seconds, length / 50))
        while time.perf_counter() < until and not seen.failures:
            await client.ask(request(path, tokens[n % len(tokens)], stream=True, max_tokens=length, seed=prefill))

    await asyncio.gather(*(one(n) for n in range(count)))
    return seen


async def questions(port: int, path: str, tokens: list[str], total: int, at_once: int = 16, streamed: int = 0) -> Seen:
    """So many questions whose answer is one token, with the tokens in turn; every `streamed`-th as a stream. The times
    of the first token are those of the whole answer."""
    seen = Seen()
    left = iter(range(total))
    asked: dict[tuple[str, bool], bytes] = {}

    def data(n: int) -> bytes:
        key = tokens[n % len(tokens)], bool(streamed) and n % streamed == 0
        if key not in asked:
            asked[key] = request(path, key[0], max_tokens=1, **({"stream": True, "seed": 0} if key[1] else {}))
        return asked[key]

    async def one() -> None:
        client = await connect(port, seen)
        for n in left:
            if seen.failures:
                return
            await client.ask(data(n))

    await asyncio.gather(*(one() for _ in range(at_once)))
    return seen
