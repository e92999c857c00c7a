"""The filter on its unix socket: HTTP read strictly, each call judged, the answer's bytes passed on as they come.

One connection to the engine for each call: a call that is refused has never touched it, and nothing that a client sends
can end up behind another call on a shared connection. A client that hangs up ends its call at the engine, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11

from .calls import LARGEST_BODY, Call, Look, judge
from .policy import Policy
from .refusals import RefusalLog
from .strict import Refused

PIECE = 65_536  # bytes
LARGEST_ANSWER = 16 * 1024**2  # bytes of an answer that is read whole
PATIENCE = 30.0  # seconds in which a request must have come
IDLE = 300.0  # seconds without a request, after which a connection is closed
MOST_CONNECTIONS = 256
KEPT = (b"content-type", b"api-version", b"docker-experimental", b"ostype", b"server")
NOT_FOR_US = (b"transfer-encoding", b"upgrade", b"expect", b"content-encoding", b"te", b"trailer")
READS = (b"GET", b"HEAD", b"DELETE")


class EngineDown(Exception):
    """The engine's socket does not answer, or answers what is no HTTP."""


@dataclass
class EngineAnswer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]


class Engine:
    """The real Docker socket: one connection for each call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def ask(self, call: Call) -> EngineAnswer:
        """Send the call and read up to the answer's headers; the body must be read or closed."""
        connection = h11.Connection(h11.CLIENT)
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.path))
        except OSError as error:
            raise EngineDown(f"the Docker socket does not answer: {error.strerror}") from error
        headers = [("Host", "docker"), ("Connection", "close")]
        if call.body is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(call.body)))]
        elif call.method == "POST":
            headers += [("Content-Length", "0")]
        request = h11.Request(method=call.method, target=call.target, headers=headers)
        pieces = [connection.send(request), connection.send(h11.Data(call.body)) if call.body else b""]
        try:
            writer.write(b"".join(piece or b"" for piece in (*pieces, connection.send(h11.EndOfMessage()))))
            await writer.drain()
            head = await _next_event(connection, reader)
            if not isinstance(head, h11.Response):
                raise EngineDown("the Docker engine's answer has no head, or wants to change the protocol")
        except (OSError, h11.ProtocolError) as error:
            writer.close()
            raise EngineDown("the Docker engine's answer cannot be read") from error
        except BaseException:
            writer.close()
            raise
        return EngineAnswer(head.status_code, list(head.headers), _body(connection, reader, writer))

    async def look(self, look: Look) -> dict[str, Any] | None:
        """What the engine knows of a reference; None when there is no such thing."""
        answer = await self.ask(Call("GET", look.path))
        data = await _whole(answer)
        if answer.status == 404:
            return None
        found = json.loads(data) if answer.status == 200 else None
        if not isinstance(found, dict):
            raise Refused(f"the engine answered {answer.status} to a look at one of the {look.kind}", 502)
        return found


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await reader.read(PIECE))


async def _body(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[bytes]:
    try:
        while not isinstance(event := await _next_event(connection, reader), h11.EndOfMessage):
            if isinstance(event, h11.ConnectionClosed):
                return
            yield bytes(event.data)
    finally:
        writer.close()


async def _whole(answer: EngineAnswer) -> bytes:
    data = bytearray()
    async for piece in answer.body:
        data += piece
        if len(data) > LARGEST_ANSWER:
            raise Refused("the engine's answer is too large", 502)
    return bytes(data)


class Client:
    """One connection of a client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        policy: Policy,
        engine: Engine,
        log: RefusalLog,
    ) -> None:
        self.reader, self.writer = reader, writer
        self.policy, self.engine, self.log = policy, engine, log
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=16_384)

    async def serve(self) -> None:
        """Requests one after another, until the client goes or one of them was no proper request."""
        while await self._one():
            self.http.start_next_cycle()

    async def _one(self) -> bool:
        """Serve one request; whether another may follow on this connection."""
        method = target = ""
        try:
            if not self.http.trailing_data[0]:
                async with asyncio.timeout(IDLE):
                    self.http.receive_data(await self.reader.read(PIECE))
            async with asyncio.timeout(PATIENCE):
                request = await _next_event(self.http, self.reader)
            if not isinstance(request, h11.Request):
                return False
            method, target = request.method.decode("ascii", "replace"), request.target.decode("ascii", "replace")
            async with asyncio.timeout(PATIENCE):
                body = await self._read_body(request)
            call = await self._judge(method, target, body)
            await self._forward(call)
        except TimeoutError:
            return False
        except h11.RemoteProtocolError as error:
            await self._refuse(method, target, Refused(f"this is not HTTP: {error}", 400))
        except Refused as refused:
            await self._refuse(method, target, refused)
        except EngineDown as error:
            await self._refuse(method, target, Refused(str(error), 502))
        return self.http.our_state is h11.DONE and self.http.their_state is h11.DONE

    async def _read_body(self, request: h11.Request) -> bytes:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in request.headers]
        names = [name for name, _ in headers]
        if request.http_version != b"1.1":
            raise Refused("only HTTP/1.1 is spoken here", 400)
        if found := next((name for name in NOT_FOR_US if name in names), None):
            raise Refused(f"the header {found.decode()} is not taken here", 400)
        options = b",".join(value for name, value in headers if name == b"connection").lower()
        if any(word.strip() not in (b"", b"keep-alive", b"close") for word in options.split(b",")):
            raise Refused("the header connection may only say keep-alive or close", 400)
        lengths = [value for name, value in headers if name == b"content-length"]
        if len(lengths) > 1 or (not lengths and request.method not in READS):
            raise Refused("a body needs exactly one Content-Length", 411)
        size = int(lengths[0]) if lengths else 0
        if size > LARGEST_BODY:
            raise Refused("the body is too large", 413)
        kinds = [value for name, value in headers if name == b"content-type"]
        if size and (len(kinds) != 1 or kinds[0].replace(b" ", b"").lower() not in _JSON):
            raise Refused("the body must be application/json", 415)
        data = bytearray()
        while not isinstance(event := await _next_event(self.http, self.reader), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise Refused("the body ends too early", 400)
            data += event.data
        return bytes(data)

    async def _judge(self, method: str, target: str, body: bytes) -> Call:
        """Run the judgement, giving it what it asks about."""
        judgement = judge(self.policy, method, target, body)
        answer: dict[str, Any] | None = None
        try:
            look = next(judgement)
            while True:
                answer = await self.engine.look(look)
                look = judgement.send(answer)
        except StopIteration as done:
            call: Call = done.value
            return call

    async def _forward(self, call: Call) -> None:
        """Ask the engine and pass on; stop when the client hangs up."""
        relay = asyncio.ensure_future(self._relay(call))
        gone = asyncio.ensure_future(self._hang_up())
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (relay, gone):
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
        if relay.cancelled():
            raise ConnectionResetError
        await relay

    async def _hang_up(self) -> None:
        """Returns when the client has gone; what it sends meanwhile waits."""
        try:
            while data := await self.reader.read(PIECE):
                self.http.receive_data(data)
                if len(self.http.trailing_data[0]) > LARGEST_BODY:
                    return
        except ConnectionError:
            return

    async def _relay(self, call: Call) -> None:
        answer = await self.engine.ask(call)
        try:
            headers = [(name, value) for name, value in answer.headers if name in KEPT]
            if call.narrow is not None and answer.status == 200:
                data = json.dumps(call.narrow(json.loads(await _whole(answer)))).encode()
                await self._send(answer.status, headers, data)
                return
            if call.method == "HEAD" or answer.status in (204, 304):
                await self._send(answer.status, headers, b"")
                return
            self._write(h11.Response(status_code=answer.status, headers=[*headers, _CHUNKED]))
            await self.writer.drain()
            async for piece in answer.body:
                self._write(h11.Data(data=piece))
                await self.writer.drain()
            self._write(h11.EndOfMessage())
            await self.writer.drain()
        finally:
            await answer.body.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def _refuse(self, method: str, target: str, refused: Refused) -> None:
        if refused.status != 404:
            self.log.add(method, target, str(refused), refused.status)
        if self.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        said = str(refused) if refused.status == 404 else f"Cellar's socket filter: {refused}"
        headers = [(b"Content-Type", b"application/json")]
        if refused.status == 400 or self.http.their_state is not h11.DONE:
            headers.append((b"Connection", b"close"))
        await self._send(refused.status, headers, json.dumps({"message": said}).encode())

    async def _send(self, status: int, headers: list[tuple[bytes, bytes]], data: bytes) -> None:
        length = [] if status in (204, 304) else [(b"Content-Length", str(len(data)).encode())]
        self._write(h11.Response(status_code=status, headers=[*headers, *length]))
        if data:
            self._write(h11.Data(data=data))
        self._write(h11.EndOfMessage())
        await self.writer.drain()

    def _write(self, event: Any) -> None:
        self.writer.write(self.http.send(event) or b"")


_CHUNKED = (b"Transfer-Encoding", b"chunked")
_JSON = (b"application/json", b"application/json;charset=utf-8")


def bind(path: Path) -> socket.socket:
    """A unix socket of mode 0600; a stale one of an earlier run is replaced. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


async def start(policy: Policy, engine_path: Path, listener: socket.socket, log: RefusalLog) -> asyncio.Server:
    """Serve on a bound socket."""
    engine = Engine(engine_path)
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(running) >= MOST_CONNECTIONS:
                return
            running.add(task)
            await Client(reader, writer, policy, engine, log).serve()
        except (ConnectionError, h11.ProtocolError):
            pass  # the client has gone, or the engine broke off in the middle: the connection's end says so
        finally:
            running.discard(task)
            writer.close()

    return await asyncio.start_unix_server(accept, sock=listener)
