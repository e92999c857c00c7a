"""What a model server says of itself is believed within bounds."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import IPv4Network

import pytest
from cellar_hub.gateway import health
from cellar_hub.gateway.health import Health
from cellar_hub.gateway.models import one_server
from cellar_hub.gateway.transport import make_http, make_transport, make_verify

from tests.fakes.fixtures import unused_port
from tests.fakes.http import HTTPServer, Request

LIST = {"data": [{"id": "fake-coder", "meta": ["no object"]}, {"id": 5}]}


class ModelServer:
    """One whose answer at `path` has no end: it comes as fast as it can, or drips."""

    def __init__(self, path: str = "", piece: bytes = b"") -> None:
        self._path = path
        self._piece = piece
        self.asked: Counter[str] = Counter()

    async def answer(self, request: Request) -> None:
        self.asked[request.path] += 1
        if request.path != self._path:
            return await request.answer_json(LIST if request.path == "/v1/models" else {})
        await request.begin({"content-type": "text/plain"})
        while True:
            await request.write(self._piece)
            if len(self._piece) == 1:
                await asyncio.sleep(0.05)  # the pace of the drip


@contextlib.asynccontextmanager
async def watched(server: ModelServer) -> AsyncIterator[Health]:
    http_server = HTTPServer(server.answer)
    port = await http_server.start()
    http = make_http(make_transport(make_verify(), IPv4Network("10.213.0.0/16")))
    found = Health(one_server(f"http://127.0.0.1:{port}/v1", ""), http, every=0.05)
    found.start()
    try:
        yield found
    finally:
        await found.stop()
        await http.aclose()
        await http_server.stop()


@pytest.mark.parametrize("piece", [b"x", b"x" * 1024 * 1024], ids=["drips", "floods"])
@pytest.mark.parametrize(("path", "state"), [("/health", ""), ("/v1/models", "down"), ("/metrics", "up")])
async def test_an_answer_without_end_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, path: str, state: str, piece: bytes
) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.5)
    server = ModelServer(path, piece)
    async with watched(server) as found, asyncio.timeout(20):
        while server.asked[path] < 3:  # noqa: ASYNC110 - two conditions of one loop
            await asyncio.sleep(0.01)
        (known,) = found.servers.values()
        assert known.state == (state or ("down" if len(piece) == 1 else "up"))
        assert known.values == {}


async def test_a_model_whose_meta_is_no_object_has_no_known_size() -> None:
    async with watched(ModelServer()) as found:
        await found.look()
        (known,) = found.servers.values()
        assert known.state == "up" and list(known.rows) == ["fake-coder"]
        assert found.context_length(known.server, "fake-coder") is None
        assert not found.is_tiny(known.server, "fake-coder")


METRICS = b'vllm:num_requests_running{engine="0",model_name="m"} %d.0\nvllm:kv_cache_usage_perc{engine="0"} 0.5\n'


@pytest.mark.parametrize(("left", "state"), [(1, "up"), (0, "loading")])
async def test_a_router_is_up_while_one_of_its_servers_is_and_its_values_are_theirs_together(
    left: int, state: str
) -> None:
    """As vllm-router answers when a server behind it is down; tests/vllm/contract has a real one."""

    async def router(request: Request) -> None:
        if request.path == "/readiness":
            await request.answer_json({"status": "ready", "healthy_workers": left, "total_workers": 3})
        elif request.path == "/health":
            await request.answer(503, b"Unhealthy servers: [...]")
        else:
            await request.answer_json(LIST)

    async def worker(request: Request) -> None:
        await request.answer(200, METRICS % 2 if request.path == "/metrics" else b"")

    async with contextlib.AsyncExitStack() as stack:
        roots = []
        for handler in (router, worker, worker):
            server = HTTPServer(handler)
            roots.append(f"http://127.0.0.1:{await server.start()}")
            stack.push_async_callback(server.stop)
        http = await stack.enter_async_context(make_http(make_transport(make_verify(), IPv4Network("10.213.0.0/16"))))
        dead = f"http://127.0.0.1:{unused_port()}"
        found = Health(one_server(roots[0] + "/v1", "", workers=(*roots[1:], dead)), http)
        await found.look()
        (known,) = found.servers.values()
        assert known.state == state
        assert known.workers == {roots[1]: True, roots[2]: True, dead: False}
        assert (known.values["running"], known.values["kv_cache"]) == (4, 0.5)
