"""A small HTTP/1.1 server on asyncio streams that tells what frameworks hide: when the client's FIN arrived, and how to
cut an answer in its middle. For fakes only: bodies by Content-Length, no pipelining.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

MAX_HEAD = 64 * 1024
TURNS = 8
"""Of the loop, until a connection that was taken in this one is known here: asyncio needs four. One that is forgotten
is closed by nobody, and its client waits for an answer as long as it has patience."""


class Request:
    """One request, and the pen for its answer. Times are `time.monotonic_ns()`."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter):
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers  # names in lower case
        self.body = body
        self.received_ns = time.monotonic_ns()
        self.fin_ns: int | None = None  # the client closed its side
        self.keep_alive = headers.get("connection", "").lower() != "close"
        self.started = False
        self.connection = asyncio.current_task()
        self._writer = writer

    async def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        self.started = True
        named = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        self._writer.write(_head(status, named) + body)
        await self._writer.drain()

    async def answer_json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        await self.answer(status, json.dumps(value, ensure_ascii=False).encode(), headers)

    async def begin(self, headers: dict[str, str], status: int = 200) -> None:
        """The head of an answer that comes in pieces."""
        self.started = True
        self._writer.write(_head(status, {**headers, "transfer-encoding": "chunked"}))
        await self._writer.drain()

    async def write(self, data: bytes) -> int:
        """One piece; answers when it was handed to the socket."""
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        now = time.monotonic_ns()
        await self._writer.drain()
        return now

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def cut(self) -> None:
        """Close the connection without ending the answer."""
        self.keep_alive = False
        self._writer.close()


Handler = Callable[[Request], Awaitable[None]]


class HTTPServer:
    """Serves `handler` on 127.0.0.1. A handler is cancelled the moment its client hangs up."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.connections = 0  # accepted so far

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=MAX_HEAD, ssl=tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for _ in range(TURNS):
                await asyncio.sleep(0)
        await self.hang_up()

    async def hang_up(self, spare: Request | None = None) -> None:
        """Close every connection but that of `spare`."""
        tasks = [task for task in self._connections if spare is None or task is not spare.connection]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the fake is being stopped
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        while first:
            request = await _read_request(first, reader, writer)
            hang_up = asyncio.create_task(_one_byte(reader))
            work = asyncio.create_task(_run(self._handler, request))
            try:
                await asyncio.wait({hang_up, work}, return_when=asyncio.FIRST_COMPLETED)
                if hang_up.done() and not hang_up.result():
                    request.fin_ns = time.monotonic_ns()
                    work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                if not request.keep_alive:
                    return
                first = await hang_up
                if not first and request.fin_ns is None:
                    request.fin_ns = time.monotonic_ns()
            finally:
                work.cancel()
                hang_up.cancel()
                await asyncio.gather(work, hang_up, return_exceptions=True)


async def _run(handler: Handler, request: Request) -> None:
    try:
        await handler(request)
    except ConnectionError:
        request.keep_alive = False
    except Exception:  # noqa: BLE001 - the edge of the fake: a bug in it must show, not hang a test
        traceback.print_exc()
        if request.started:
            request.cut()
        else:
            await request.answer(500, b"bug in the fake")


async def _one_byte(reader: asyncio.StreamReader) -> bytes:
    """The first byte of the next request; empty when the client closed or reset the connection."""
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""


async def _read_request(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in rest if field)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, writer)


def _head(status: int, headers: dict[str, str]) -> bytes:
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {reason}\r\n{fields}\r\n".encode("latin-1")
