"""The proxy in front of hub and workspaces: what one client sends is one request, and never part of another's."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

import h11
import httpx
import pytest
from cellar_hub.address import client_address

from tests.fakes.fixtures import unused_port
from tests.hub.jupyter import proxy_command

PRELOAD = Path(__file__).resolve().parents[2] / "hub_config" / "images" / "hub" / "proxy-mends.cjs"
COOKIE = "session=ada"


class Backend:
    """A server that keeps its connections, and what it takes for requests: (method, path, cookie, body)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, bytes]] = []
        self.forwarded: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        connection = h11.Connection(h11.SERVER)
        method = path = cookie = ""
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                connection.receive_data(data)
                if not data:
                    break
            elif isinstance(event, h11.Request):
                method, path, body = event.method.decode(), event.target.decode(), b""
                cookie = dict(event.headers).get(b"cookie", b"").decode()
                self.forwarded.append(b",".join(v for k, v in event.headers if k == b"x-forwarded-for").decode())
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.seen.append((method, path, cookie, body))
                answer = f"{method} {path}".encode()
                head = h11.Response(status_code=200, headers=[("content-length", str(len(answer)))])
                for each in (head, h11.Data(data=answer), h11.EndOfMessage()):
                    writer.write(connection.send(each) or b"")
                await writer.drain()
                connection.start_next_cycle()
            else:
                break
        writer.close()


@asynccontextmanager
async def proxied(backend: Backend) -> AsyncIterator[int]:
    """The port of a real proxy before the backend."""
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    try:
        async with proxy_before(server.sockets[0].getsockname()[1]) as port:
            yield port
    finally:
        server.close()
        await asyncio.gather(*backend.tasks)


@asynccontextmanager
async def proxy_before(target: int) -> AsyncIterator[int]:
    """The port of a real proxy, as docker-compose.yml starts it, before a server on another one."""
    command = proxy_command()
    if not command:
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    port, api = unused_port(), unused_port()
    arguments = [command, "--ip=127.0.0.1", f"--port={port}", "--api-ip=127.0.0.1", f"--api-port={api}"]
    env = os.environ | {"NODE_OPTIONS": f"--require={PRELOAD}", "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16)}
    arguments += [f"--default-target=http://127.0.0.1:{target}"]
    process = await asyncio.create_subprocess_exec(*arguments, env=env)
    try:
        async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    await http.get(f"http://127.0.0.1:{port}/_chp_healthz")
                    break
                except httpx.ConnectError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def say(port: int, request: bytes) -> bytes:
    """What comes back for exactly these bytes, up to the answer's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    answer = await reader.readexactly(length)
    writer.close()
    return answer


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
async def test_a_body_is_never_the_beginning_of_somebody_elses_request(method: str) -> None:
    backend = Backend()
    hidden = b"DELETE /user/ada/api/contents/work.ipynb HTTP/1.1\r\nHost: x\r\nX: "
    mine = f"{method} /user/ben/x HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    async with proxied(backend) as port:
        mine += b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)
        assert await say(port, mine) == f"{method} /user/ben/x".encode()
        hers = f"GET /user/ada/lab HTTP/1.1\r\nHost: hub\r\nCookie: {COOKIE}\r\n\r\n".encode()
        assert await say(port, hers) == b"GET /user/ada/lab"
    assert backend.seen == [(method, "/user/ben/x", "", hidden), ("GET", "/user/ada/lab", COOKIE, b"")]
    assert len(backend.tasks) == 1, "the proxy keeps its connection, or this would show nothing"


async def test_a_delete_without_a_body_arrives_as_one() -> None:
    backend = Backend()
    async with proxied(backend) as port:
        assert await say(port, b"DELETE /user/ada/x HTTP/1.1\r\nHost: hub\r\n\r\n") == b"DELETE /user/ada/x"
    assert backend.seen == [("DELETE", "/user/ada/x", "", b"")]


@pytest.mark.parametrize(
    "claimed",
    [
        b"",
        b"X-Forwarded-For: 9.9.9.9\r\n",
        b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n",
        b"x-forwarded-for: 9.9.9.9,\r\nX-Real-IP: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n",
        b"Connection: keep-alive, X-Forwarded-For\r\nX-Forwarded-For: 9.9.9.9\r\n",
    ],
)
async def test_an_address_that_a_client_claims_is_not_believed_behind_the_proxy(claimed: bytes) -> None:
    backend = Backend()
    pool = IPv4Network("10.213.0.0/16")
    async with proxied(backend) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.5", 0))
        writer.write(b"GET /x HTTP/1.1\r\nHost: hub\r\n" + claimed + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
    (forwarded,) = backend.forwarded
    assert client_address("172.20.0.2", forwarded, pool) == "127.0.0.5"
    assert client_address("10.213.0.3", forwarded, pool) == "10.213.0.3"


def test_the_stacks_proxy_starts_with_what_was_tested_here() -> None:
    compose = PRELOAD.parents[2] / "compose" / "docker-compose.yml"
    assert f"NODE_OPTIONS: --require=/opt/node/lib/{PRELOAD.name}\n" in compose.read_text()
    assert f"COPY {PRELOAD.name} /opt/node/lib/\n" in (PRELOAD.parent / "Dockerfile").read_text()


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
DEATHS = {"fin": None, "reset": struct.pack("ii", 1, 0)}
"""What a server leaves behind: the end of its connection, or a reset (SO_LINGER)."""


@asynccontextmanager
async def dying(said: bytes, how: str) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """The port of a proxy before a server that says so much and dies when the event is set."""
    dies = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + said)
        await dies.wait()
        if linger := DEATHS[how]:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, proxy_before(server.sockets[0].getsockname()[1]) as port:
        yield port, dies


@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.parametrize(
    "said", [CHUNKED + b"5\r\nhello\r\n", b"Content-Length: 10\r\n\r\nhello"], ids=["chunks", "length"]
)
async def test_an_answer_whose_server_dies_is_cut_and_not_waited_for(said: bytes, how: str) -> None:
    async with dying(said, how) as (port, dies), httpx.AsyncClient(trust_env=False, timeout=20) as http:
        async with http.stream("GET", f"http://127.0.0.1:{port}/user/ada/x") as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"hello"
            dies.set()
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(pieces)


@pytest.mark.parametrize("how", DEATHS)
async def test_an_answer_whose_server_dies_before_its_first_byte_is_an_error(how: str) -> None:
    async with dying(CHUNKED, how) as (port, dies), httpx.AsyncClient(trust_env=False, timeout=20) as http:
        asked = asyncio.create_task(http.get(f"http://127.0.0.1:{port}/user/ada/x"))
        await asyncio.sleep(0.3)  # the proxy has the head, and nobody sees that it has
        dies.set()
        assert (await asked).status_code in (502, 503)


async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, proxy_before(server.sockets[0].getsockname()[1]) as port:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/user/ada/x")).text == "hello"
