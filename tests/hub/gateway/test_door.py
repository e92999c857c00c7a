"""Clients that are slow, endless, cut off or broken: bounded, and in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx
import pytest
from cellar_hub.gateway import app, door, house

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat
from tests.hub.gateway.test_queueing import until
from tests.hub.gateway.test_refusals import ask, error, send_raw
from tests.hub.jupyter import Hub


async def connect(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


def head(token: str, length: int | str) -> bytes:
    kind = f"Content-Length: {length}" if isinstance(length, int) else length
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\n{kind}\r\n\r\n"
    ).encode()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.BoundedProtocol, "head_timeout", 0.5)
    monkeypatch.setattr(door, "BODY_TIMEOUT", 0.5)
    monkeypatch.setattr(door, "LINGER", 0.5)


@pytest.mark.parametrize("said", [b"", b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_does_not_come_is_not_waited_for(gateway: Gateway, impatient: None, said: bytes) -> None:
    reader, writer = await connect(gateway)
    began = time.monotonic()
    writer.write(said)
    async with asyncio.timeout(20):
        assert b" 408 " in await reader.read()
    assert time.monotonic() - began >= 0.4
    writer.close()


async def test_a_head_that_drips_does_not_gain_time(gateway: Gateway, impatient: None) -> None:
    reader, writer = await connect(gateway)
    answer = asyncio.create_task(reader.read())
    writer.write(b"GET /v1/models HTTP/1.1\r\n")
    async with asyncio.timeout(20):
        while not answer.done():
            writer.write(b"x: y\r\n")
            await asyncio.wait([answer], timeout=0.05)
    assert b" 408 " in answer.result()
    writer.close()


async def test_the_next_head_on_a_kept_connection_is_timed_too(hub: Hub, gateway: Gateway, impatient: None) -> None:
    reader, writer = await connect(gateway)
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 404 " in await reader.readuntil(b"\r\n")
    writer.write(b"GET /nowh")
    async with asyncio.timeout(20):
        assert (await reader.read()).endswith(
            b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    writer.close()


@pytest.mark.parametrize("token", ["known", "invented"])
@pytest.mark.parametrize("piece", [b"x: " + b"y" * 5_000 + b"\r\n", b"y" * 5_000], ids=["many", "one"])
async def test_trailers_without_end_are_cut_off(hub: Hub, gateway: Gateway, token: str, piece: bytes) -> None:
    """Whoever parses HTTP keeps trailers, and they belong neither to the head nor to the body."""
    _, writer = await connect(gateway)
    writer.write(head(hub.user("ann") if token == "known" else token, "Transfer-Encoding: chunked") + b"0\r\nx: ")
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while sent < 50_000_000:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
    assert sent < 20_000_000  # most of it still in sockets' buffers
    writer.close()


async def test_extensions_of_chunks_are_bounded_and_small_chunks_are_not_refused(hub: Hub, gateway: Gateway) -> None:
    reader, writer = await connect(gateway)
    body = json.dumps(chat("x" * 20_000)).encode()
    writer.write(head(hub.user("ann"), "Transfer-Encoding: chunked"))
    for byte in body:
        writer.write(b"1\r\n%c\r\n" % byte)
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n")
    writer.close()
    reader, writer = await connect(gateway)
    writer.write(head(hub.user("ann"), "Transfer-Encoding: chunked"))
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            for _ in range(10_000):
                writer.write(b"1;" + b"e" * 5_000 + b"\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0)
            pytest.fail("50 MB of extensions were taken")
    writer.close()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tokenize"])
async def test_the_large_requests_of_one_user_fill_no_memory_and_are_in_nobodys_way(
    hub: Hub, make_gateway: MakeGateway, path: str
) -> None:
    gateway = await make_gateway(CELLAR_MAX_BODY="4000")
    begun = []
    for _ in range(app.BODIES):
        _, writer = await connect(gateway)
        writer.write(head(hub.user("ann"), 4_000).replace(b"/v1/chat/completions", path.encode()) + b"{" * 2_000)
        begun.append(writer)
    ann, otto = gateway.client(hub.user("ann")), gateway.client(hub.user("otto2"))
    large, small = (
        {"model": "fake-coder", "prompt": text} if path == "/tokenize" else chat(text) for text in ("x" * 3_000, "x")
    )
    async with asyncio.timeout(20):
        while (refused := await ann.post(path, json=large)).status_code != 429:
            pass  # until the others' heads have been read
    assert error(refused)["code"] == "rate_limit_exceeded" and "large" in error(refused)["message"]
    assert (await otto.post(path, json=large)).status_code == 200
    assert (await ann.post(path, json=small)).status_code == 429  # not one byte more
    for writer in begun:
        writer.close()
    async with asyncio.timeout(20):
        while (await ann.post(path, json=large)).status_code != 200:
            pass  # until the gateway has seen that they left


@pytest.mark.parametrize("line", [b"x: " + b"y" * 200_000, b"x: y\r\n" * 40_000])
async def test_a_head_that_is_too_large_is_refused(gateway: Gateway, line: bytes) -> None:
    answer = await send_raw(gateway, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
    assert answer.split(b"\r\n")[0].split(b" ")[1] in (b"431", b"400")


async def test_a_body_that_drips_is_not_waited_for(
    hub: Hub, gateway: Gateway, model: FakeVLLM, impatient: None
) -> None:
    reader, writer = await connect(gateway)
    writer.write(head(hub.user("ann"), 1000) + b"{")
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert b" 408 " in answer and b'"code":"request_timeout"' in answer
    writer.close()


async def test_a_body_that_is_cut_off_reaches_nobody(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    _, writer = await connect(gateway)
    writer.write(head(hub.user("ann"), 1000) + b'{"model": "fake-coder", ')
    await writer.drain()
    writer.close()
    await until(lambda: not gateway.house.running)
    assert (await ask(gateway, hub.user("ann"))).status_code == 200
    assert len(model.requests) == 1 and len(await gateway.ends()) == 1


async def test_a_body_that_never_ends_ends_the_connection(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, impatient: None
) -> None:
    gateway = await make_gateway(CELLAR_MAX_BODY="10000")
    reader, writer = await connect(gateway)
    writer.write(head(hub.user("ann"), "Transfer-Encoding: chunked"))
    assert b" 413 " in await _answer_while_sending(reader, writer)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(20):
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)


async def _answer_while_sending(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    answer = asyncio.create_task(reader.readuntil(b"\r\n"))
    async with asyncio.timeout(20):
        while not answer.done():
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await asyncio.wait([answer], timeout=0.01)
    return answer.result()


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked, identity",
        "Content-Length: -1",
        "Content-Length : 5",
        "Transfer-Encoding:\x0bchunked",
    ],
)
async def test_a_length_that_could_be_read_in_two_ways_is_refused(
    hub: Hub, gateway: Gateway, model: FakeVLLM, lines: str, impatient: None
) -> None:
    answer = await send_raw(gateway, head(hub.user("ann"), lines) + b"0\r\n\r\nGET /v1/models HTTP/1.1\r\n\r\n")
    assert answer.split(b" ")[1] in (b"400", b"408"), answer
    assert answer.count(b"HTTP/1.1 ") <= 2 and not model.requests


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x02\x00", b"\x00" * 100, b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
async def test_what_is_no_http_is_refused(gateway: Gateway, said: bytes, impatient: None) -> None:
    answer = await send_raw(gateway, said)
    assert answer.split(b" ")[1] in (b"400", b"404", b"408", b"505")


async def test_many_idle_connections_keep_nobody_out(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    idle = [await connect(gateway) for _ in range(300)]
    assert (await ask(gateway, hub.user("ann"))).status_code == 200
    for _, writer in idle:
        writer.close()


async def test_one_workspace_does_not_take_the_connections_of_all(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CONNECTIONS", 8)
    gateway: Gateway = await make_gateway(CELLAR_WORKSPACE_POOL="127.99.0.0/16")

    async def come(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = gateway.url.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port), local_addr=(address, 0))

    async def status(address: str) -> bytes:
        reader, writer = await come(address)
        writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):  # closed before the request came
            answer = await reader.readline()
        writer.close()
        return answer[9:12]

    others = [await come("127.0.0.1") for _ in range(20)]  # as from the proxy: many users
    idle = [await come("127.99.0.2") for _ in range(8)]
    reader, writer = await come("127.99.0.2")
    async with asyncio.timeout(20):
        assert b" 503 " in await reader.read()
    writer.close()
    assert await status("127.99.0.3") == b"404"
    assert (await ask(gateway, hub.user("ann"))).status_code == 200
    idle.pop()[1].close()
    async with asyncio.timeout(20):
        while await status("127.99.0.2") != b"404":
            pass
    for _, writer in (*idle, *others):
        writer.close()


async def test_a_reader_that_stops_reading_is_let_go(
    hub: Hub, gateway: Gateway, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "STUCK", 0.2)
    monkeypatch.setattr(house, "TICK", 0.1)
    model.use(Scenario(words=400_000))
    body = json.dumps(chat(stream=True)).encode()
    reader, writer = await connect(gateway)
    writer.write(head(hub.user("ann"), len(body)) + body)
    await reader.readuntil(b"\r\n\r\n")
    await model.until(lambda m: bool(m.requests) and not m.running)
    (end,) = await gateway.ends()
    assert end.outcome == "stopped" and await gateway.left_open() == (0, 0)
    writer.close()


async def test_one_users_counting_of_tokens_leaves_room_for_others(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "COUNTS_WAITING", 20)
    gateway: Gateway = await make_gateway()
    model.options.slow_tokenizer = True
    ann, ben = gateway.client(hub.user("ann")), gateway.client(hub.user("ben"))

    def counted(name: str) -> int:
        return sum(body["prompt"] == name for body in model.counted)

    def count(client: httpx.AsyncClient, name: str) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(client.post("/tokenize", json={"model": "fake-coder", "prompt": name}))

    many = [count(ann, "ann") for _ in range(22)]
    await until(lambda: len(gateway.house.running) == 22 and model.waiting >= 2)
    assert error(await count(ann, "ann"))["code"] == "rate_limit_exceeded"
    one = count(ben, "ben")
    await model.until(lambda m: m.waiting == 3)
    assert (counted("ann"), counted("ben")) == (2, 1)
    many.pop().cancel()  # who waits may leave
    model.release_all()
    assert (await one).json()["count"] == 1
    assert {answer.status_code for answer in await asyncio.gather(*many)} == {200}
    await until(lambda: not gateway.house.running)
    assert (await count(ann, "ann")).status_code == 200
