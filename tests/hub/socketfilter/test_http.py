"""What is no plain HTTP request never reaches the engine: two readers could understand it in two ways."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.hub.socketfilter.conftest import FakeEngine, Filter

CREATE = b"POST /v1.41/volumes/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
VOLUME = json.dumps({"Name": "cellar-ws-x", "Labels": {"org.cellar.site": "cellar", "org.cellar.kind": "workspace"}})
BODY = VOLUME.encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


async def test_a_plain_call_goes_on(door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.raw(CREATE + LENGTH + b"\r\n" + BODY)
    assert (status, engine.acted) == (200, [("POST", "/v1.41/volumes/create", json.loads(BODY))])


HEADS = {
    "without a Content-Length": (CREATE + b"\r\n", 411),
    "with an empty body (CVE-2024-41110)": (CREATE + b"Content-Length: 0\r\n\r\n", 400),
    "with two lengths": (CREATE + LENGTH + b"Content-Length: 2\r\n\r\n" + BODY, 400),
    "with a list of lengths": (CREATE + b"Content-Length: 2, 3\r\n\r\n" + BODY, 400),
    "with a signed length": (CREATE + b"Content-Length: +5\r\n\r\n" + BODY, 400),
    "with a hexadecimal length": (CREATE + b"Content-Length: 0x5\r\n\r\n" + BODY, 400),
    "with a negative length": (CREATE + b"Content-Length: -1\r\n\r\n" + BODY, 400),
    "in chunks": (CREATE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "in chunks and with a length": (CREATE + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "in an unknown transfer encoding": (CREATE + LENGTH + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY, 400),
    "compressed": (CREATE + LENGTH + b"Content-Encoding: gzip\r\n\r\n" + BODY, 400),
    "that expects to be told to go on": (CREATE + LENGTH + b"Expect: 100-continue\r\n\r\n", 400),
    "that wants another protocol": (CREATE + LENGTH + b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + BODY, 400),
    "that wants another protocol by Connection alone": (CREATE + LENGTH + b"Connection: upgrade\r\n\r\n" + BODY, 400),
    "with an oversized body (CVE-2026-34040)": (CREATE + b"Content-Length: 1048577\r\n\r\n", 413),
    "of another media type": (
        CREATE.replace(b"application/json", b"text/plain") + LENGTH + b"\r\n" + BODY,
        415,
    ),
    "of HTTP/1.0": (CREATE.replace(b"HTTP/1.1", b"HTTP/1.0") + LENGTH + b"\r\n" + BODY, 400),
    "with a space before a header's colon": (CREATE + b"Content-Length : 2\r\n\r\n{}", 400),
    "with a folded header": (CREATE + b"X: a\r\n Content-Length: 2\r\n\r\n{}", 411),
    "that is no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    "of another version": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", HEADS)
async def test_a_request_is_refused(name: str, door: Filter, engine: FakeEngine) -> None:
    head, expected = HEADS[name]
    status, _ = await door.raw(head)
    assert (status, engine.connections) == (expected, 0)
    assert len(door.log) == 1


BODIES = {
    "a key twice": VOLUME[:-1] + ', "Name": "other"}',
    "a key twice deep inside": VOLUME[:-1] + ', "DriverOpts": {"a": {"b": "1", "b": "2"}}}',
    "a key in another case": VOLUME[:-1] + ', "name": "other"}',
    "an unknown key": VOLUME[:-1] + ', "ClusterVolumeSpec": {}}',
    "a key with a byte order mark": "\ufeff" + VOLUME,
    "two values": VOLUME + VOLUME,
    "a trailing comma": VOLUME[:-1] + ",}",
    "NaN": VOLUME[:-1] + ', "DriverOpts": NaN}',
    "half a surrogate pair": VOLUME.replace("cellar-ws-x", "cellar-ws-\\ud800"),
    "a NUL": VOLUME.replace("cellar-ws-x", "cellar-ws-\\u0000"),
    "a fraction": VOLUME[:-1] + ', "DriverOpts": 1.0}',
    "a number of a hundred digits": VOLUME[:-1] + ', "DriverOpts": ' + "1" * 100 + "}",
    "deep nesting": VOLUME[:-1] + ', "DriverOpts": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "no object": json.dumps([VOLUME]),
    "no JSON": "Name=cellar-ws-x",
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_is_refused_that_holds(name: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call("POST", "/v1.41/volumes/create", BODIES[name].encode())
    assert status in (400, 403)
    assert engine.acted == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
async def test_a_body_in_another_encoding_is_refused(encoding: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call("POST", "/v1.41/volumes/create", (VOLUME[:-1] + ', "é": ""}').encode(encoding))
    assert (status, engine.acted) == (400, [])


async def test_a_body_that_ends_early_reaches_nobody(door: Filter, engine: FakeEngine) -> None:
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(CREATE + LENGTH + b"\r\n" + BODY[:-1])
    writer.write_eof()
    assert b" 400 " in (await reader.read()).splitlines()[0]
    assert engine.connections == 0
    writer.close()


async def test_what_follows_a_refused_request_is_not_read_as_another(door: Filter, engine: FakeEngine) -> None:
    smuggled = b"GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n"
    chunked = CREATE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(chunked)
    answer = await reader.read()
    assert (answer.count(b"HTTP/1.1"), engine.connections) == (1, 0)
    writer.close()


async def test_requests_one_after_another_on_a_connection_are_each_judged(door: Filter, engine: FakeEngine) -> None:
    good = b"GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n"
    bad = b"POST /v1.41/build HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(good + good + bad)
    answer = await reader.read()
    assert [line.split()[1] for line in answer.splitlines() if b"HTTP/1.1 " in line] == [b"200", b"200", b"403"]
    assert len(engine.acted) == 2
    writer.close()


async def test_the_engines_own_headers_stay_behind(door: Filter, engine: FakeEngine) -> None:
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(b"GET /v1.41/info HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
    assert b"x-secret" not in (await reader.read()).lower()
    writer.close()


async def test_an_engine_that_switches_protocols_is_not_followed(door: Filter, engine: FakeEngine) -> None:
    engine.switches = True
    status, _ = await door.call("GET", "/v1.41/info")
    assert status == 502


async def test_an_engine_that_is_down_is_said_plainly(door: Filter, engine: FakeEngine) -> None:
    engine.path.unlink()
    status, answer = await door.call("GET", "/v1.41/info")
    assert (status, answer["message"]) == (
        502,
        "Cellar's socket filter: the Docker socket does not answer: No such file or directory",
    )


async def test_events_pass_as_they_come_and_a_hang_up_ends_them_at_the_engine(door: Filter, engine: FakeEngine) -> None:
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(b"GET /v1.41/events HTTP/1.1\r\nHost: docker\r\n\r\n")
    for word in (b"one", b"two"):
        engine.stream.put_nowait(word)
        await reader.readuntil(word)
    writer.close()
    await engine.left.wait()


async def test_a_stream_that_ends_leaves_the_connection_usable(door: Filter, engine: FakeEngine) -> None:
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    request = b"GET /v1.41/events HTTP/1.1\r\nHost: docker\r\n\r\n"
    writer.write(request)
    engine.stream.put_nowait(None)
    await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.write(request.replace(b"events", b"info"))
    assert b" 200 " in await reader.readline()
    writer.close()


async def test_only_the_owner_may_open_the_filters_socket(door: Filter) -> None:
    assert door.path.stat().st_mode & 0o777 == 0o600


async def test_a_thousand_refusals_make_a_log_of_twenty_short_lines(door: Filter) -> None:
    reader, writer = await asyncio.open_unix_connection(str(door.path))

    async def ask(count: int) -> None:
        for _ in range(count):
            writer.write(b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: docker\r\n\r\n")
            await reader.readuntil(b"}")

    await ask(1000)
    writer.close()
    assert 20 <= len(door.log) <= 40
    assert max(map(len, door.log)) < 500


async def test_the_log_holds_one_line_of_plain_characters(door: Filter) -> None:
    answer: tuple[int, Any] = await door.call("POST", "/v1.41/volumes/create", {"a\nforged: line\x1b[31m": 1})
    assert answer[0] == 403
    assert door.log == ["refused 403: POST /v1.41/volumes/create: a\\nforged: line\\x1b[31m is not known here"]
