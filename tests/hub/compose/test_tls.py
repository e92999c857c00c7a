"""HTTPS before the hub: the overlay's own configuration in a real nginx, before a server that tells what arrives."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from cellar_hub.address import client_address
from yarl import URL

from tests.hub.compose.nginx import MISSING, is_here, serving
from tools.env_example import COMPOSE

pytestmark = pytest.mark.skipif(not is_here(), reason=MISSING)


class Upstream:
    """What stands where the proxy stands: it tells what reached it, and speaks when the test lets it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.arrived = asyncio.Event()
        self.received = 0

    async def headers(self, request: web.Request) -> web.Response:
        return web.json_response({name.lower(): request.headers.getall(name) for name in request.headers})

    async def events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: one\n\n")
        await self.go.wait()
        await answer.write(b"data: two\n\n")
        return answer

    async def upload(self, request: web.Request) -> web.Response:
        async for piece in request.content.iter_any():
            self.received += len(piece)
            self.arrived.set()
        return web.json_response({"bytes": self.received})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        found = web.WebSocketResponse()
        await found.prepare(request)
        async for message in found:
            await found.send_str(message.data + " back")
        return found

    def app(self) -> web.Application:
        app = web.Application(client_max_size=10**9)
        app.router.add_get("/user/ann/api/kernels/1/channels", self.socket)
        app.router.add_get("/events", self.events)
        app.router.add_post("/upload", self.upload)
        app.router.add_get("/headers", self.headers)
        app.router.add_post("/hub/login", self.headers)
        app.router.add_get("/hub/api/users/{name}/tokens", self.headers)
        app.router.add_post("/hub/api/users/{name}/tokens", self.headers)
        return app


class Site:
    def __init__(self, url: str, plain: str, upstream: Upstream, http: aiohttp.ClientSession) -> None:
        self.url, self.plain, self.upstream, self.http = url, plain, upstream, http


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    upstream = Upstream()
    runner = web.AppRunner(upstream.app())
    await runner.setup()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    try:
        async with serving(tmp_path, f"127.0.0.1:{listener.getsockname()[1]}") as (https_port, http_port):
            trust = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
            trust.check_hostname = False
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
                yield Site(f"https://127.0.0.1:{https_port}", f"http://127.0.0.1:{http_port}", upstream, http)
    finally:
        await runner.cleanup()


async def test_an_answer_streams_through_as_it_comes(site: Site) -> None:
    async with site.http.get(site.url + "/events") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"data: one\n\n"
        site.upstream.go.set()
        assert await answer.content.readuntil(b"\n\n") == b"data: two\n\n"


async def test_a_kernels_websocket_passes(site: Site) -> None:
    async with site.http.ws_connect(site.url + "/user/ann/api/kernels/1/channels") as kernel:
        await kernel.send_str("there and")
        assert await kernel.receive_str() == "there and back"


async def test_the_hub_hears_what_the_browser_asked_for(site: Site) -> None:
    """JupyterHub's XSRF check compares Host and Origin, reads Sec-Fetch-*, and makes links by X-Forwarded-Proto."""
    host = site.url.removeprefix("https://")
    sent = {"Origin": site.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "X-XSRFToken": "t"}
    async with site.http.get(site.url + "/headers", headers=sent) as answer:
        found: dict[str, Any] = await answer.json()
    assert found["host"] == [host]
    assert (found["x-forwarded-proto"], found["x-scheme"]) == (["https"], ["https"])
    assert found["x-forwarded-for"] == ["127.0.0.1"]
    assert {name.lower(): [value] for name, value in sent.items()}.items() <= found.items()


async def test_a_browser_cannot_say_who_it_is_or_how_it_came(site: Site) -> None:
    forged = {"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1", "X-Forwarded-Proto": "http"}
    async with site.http.get(site.url + "/headers", headers=forged) as answer:
        found = await answer.json()
    assert (found["x-forwarded-for"], found["x-real-ip"], found["x-forwarded-proto"]) == (
        ["127.0.0.1"],
        ["127.0.0.1"],
        ["https"],
    )
    # the proxy behind adds nginx's address, and nginx is the one reverse proxy that docker-compose.tls.yml speaks of
    (forwarded,) = found["x-forwarded-for"]
    assert client_address("172.20.0.2", f"{forwarded}, 172.20.0.9", IPv4Network("10.213.0.0/16"), 1) == "127.0.0.1"
    services = yaml.safe_load((COMPOSE / "docker-compose.tls.yml").read_text())["services"]
    for name in ("hub", "gateway"):
        assert services[name]["environment"] == {"CELLAR_REVERSE_PROXIES": "1"}


async def test_an_upload_goes_on_while_it_arrives(site: Site) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await site.upstream.arrived.wait()  # the first part is there before the second is sent
        yield b"x" * 100_000

    async with site.http.post(site.url + "/upload", data=slowly()) as answer:
        assert await answer.json() == {"bytes": 200_000}


async def test_an_upload_over_the_limit_is_refused(site: Site) -> None:
    async with site.http.post(site.url + "/upload", data=io.BytesIO(b"x" * 2_000_000)) as answer:
        assert answer.status == 413
    assert site.upstream.received == 0


async def test_plain_http_sends_the_browser_to_https(site: Site) -> None:
    async with site.http.get(site.plain + "/hub/login?next=lab", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, site.url + "/hub/login?next=lab")


@pytest.mark.parametrize(
    "path",
    ["/hub\\login", "/hub\\api\\users\\a\\tokens", "/hub/api/users/x%2f../tokens", "/hub/api/users/x%2F%2E./tokens"],
)
async def test_a_path_that_the_proxy_behind_would_read_otherwise_is_refused(site: Site, path: str) -> None:
    async with site.http.post(URL(site.url + path, encoded=True)) as answer:
        assert answer.status == 400


async def test_a_file_may_be_called_with_a_backslash(site: Site) -> None:
    async with site.http.get(URL(site.url + "/headers?x=%2f..%5C", encoded=True)) as answer:
        assert answer.status == 200


PASSWORDS = ["login", "api/users/ann/tokens", "api/users/a%2Fb/tokens", "api/users/a%0Ab/tokens"]


@pytest.mark.parametrize("path", PASSWORDS)
async def test_many_log_ins_from_one_address_are_slowed_down(site: Site, path: str) -> None:
    """JupyterHub takes a password in the body of the call that makes a token, too."""
    statuses = []
    for _ in range(20):
        async with site.http.post(URL(f"{site.url}/hub/{path}", encoded=True)) as answer:
            statuses.append(answer.status)
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    async with site.http.post(site.url + "/hub/login") as answer:
        assert answer.status == 429, "one count for both"
    for _ in range(20):
        async with site.http.get(site.url + "/hub/api/users/ann/tokens") as answer:
            assert answer.status == 200, "a look at them is no guess"
    async with site.http.get(site.url + "/headers") as answer:
        assert answer.status == 200
