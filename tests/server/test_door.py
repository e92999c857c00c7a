"""Who may come in: every route wants the token or the cookie with its XSRF header, and every refusal has one shape."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from cellar import errors, wire
from cellar_jupyter.server.routes import handlers
from cellar_jupyter.server.routes.base import STATUS, Route
from jupyter_server.base.handlers import APIHandler

from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer
from tests.server.servers import TOKEN, JupyterServer, Panel

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PATHS = {"(?P<identity>[A-Za-z0-9_-]{1,64})": "0123456789abcdef-0123456789", "(?P<rest>.*)": "anything/else"}


def every_route() -> list[tuple[str, str]]:
    """(method, path below the server's base) of every method that a route has."""
    found = []
    for pattern, route in handlers("/"):
        path = pattern
        for named, example in PATHS.items():
            path = path.replace(named, example)
        found += [(method, path) for method in METHODS if method.lower() in vars(route)]
    assert len(found) > 15
    return found


@pytest.fixture
async def browser(server: JupyterServer) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in by cookie, as a browser is; no XSRF header yet."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        await client.get("api/me", params={"token": TOKEN})
        await client.get("a-page-to-get-the-xsrf-cookie")
        assert "_xsrf" in client.cookies
        yield client


@pytest.mark.parametrize(("method", "path"), every_route())
async def test_nobody_comes_in_without_a_token(server: JupyterServer, method: str, path: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as stranger:
        answer = await stranger.request(method, path, content=b"{}")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize(("method", "path"), every_route())
async def test_a_cookie_alone_is_not_enough(browser: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await browser.get("api/me")).status_code == 200
    answer = await browser.request(method, path, content=b"{}")
    assert answer.status_code == 403


async def test_a_cookie_with_its_xsrf_header_is(browser: httpx.AsyncClient) -> None:
    header = {"X-XSRFToken": browser.cookies["_xsrf"]}
    assert (await browser.get("cellar/api/status", headers=header)).status_code == 200
    body = {"request_key": secrets.token_hex(8), "text": "from a browser"}
    assert (await browser.post("cellar/api/turns", headers=header, json=body)).status_code == 201


def test_every_route_is_behind_jupyters_own_door() -> None:
    for _, route in handlers("/"):
        assert issubclass(route, Route) and issubclass(route, APIHandler)


async def test_the_server_finds_no_route_without_a_rule(server: JupyterServer, panel: Panel) -> None:
    assert (await panel.http.get("status")).status_code == 200
    assert "without @allow_unauthenticated" not in server.log()


async def test_an_id_that_is_a_path_leads_nowhere(server: JupyterServer, panel: Panel) -> None:
    (server.home / "data" / "cellar" / "stolen.jsonl").write_text("{}")
    for query in ("turn=../stolen:0", "turn=..%2Fstolen-1:", "turn=/etc/passwd:"):
        assert (await panel.http.get(f"events?{query}")).status_code == 404
    assert (await panel.http.get("turns/..%2Fstolen")).status_code == 404


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == set(errors.all_errors())


async def test_an_unknown_route_answers_in_our_shape(panel: Panel) -> None:
    answer = await panel.http.get("no/such/thing")
    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "not_found", "message": "No such route"}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b'{"text": "no key"}', 400),
        (b'{"request_key": "short", "text": "x"}', 400),
        (b'{"request_key": "0123456789abcdef", "text": 5}', 400),
        (b'{"request_key": "0123456789abcdef", "text": "x", "unknown": 1}', 400),
        (b'{"request_key": "0123456789abcdef", "text": "x", "mode": "agent"}', 403),
        (b'{"request_key": "0123456789abcdef", "text": "x", "conversation_id": "../../etc"}', 400),
        (b'{"request_key": "0123456789abcdef", "text": "x", "conversation_id": "0123456789abcdef"}', 404),
        (b'{"request_key": "0123456789abcdef", "text": "x", "context": [{"type": "virus"}]}', 400),
        (b'{"request_key": "0123456789abcdef", "text": "%b"}' % (b"x" * 10_000_000), 413),
    ],
    ids=str,
)
async def test_a_bad_request_is_refused_with_its_reason(
    panel: Panel, model: FakeVLLM, body: bytes, status: int
) -> None:
    answer = await panel.http.post("turns", content=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] and error["message"]
    assert not model.requests


async def test_what_was_asked_stands_in_no_log_line(server: JupyterServer, panel: Panel, model: FakeVLLM) -> None:
    model.use("broken")
    await panel.finished("the word is xylophone-4711")
    await panel.http.post("turns", content=b'{"request_key": "0123456789abcdef", "text": "xylophone-4711", "no": 1}')
    await panel.http.post("turns", content=b'{"text": "xylophone-4711')
    await panel.http.get("conversations", params={"q": "xylophone-4711"})
    lines = [line for line in server.log().splitlines() if "xylophone-4711" in line]
    assert not lines


async def test_what_was_searched_stands_in_no_log_line_either_when_everything_is_logged(a_server: StartServer) -> None:
    server = a_server("--log-level=DEBUG")
    async with server.panel() as panel:
        assert (await panel.http.get("conversations", params={"q": "xylophone-4711"})).status_code == 200
        assert (await panel.http.get("search", params={"q": "xylophone-4711"})).status_code == 200
        assert (await panel.http.get("search", params={"q": "xylophone-4711" * 20})).status_code == 400
        assert (await panel.http.get("nothing", params={"q": "xylophone-4711"})).status_code == 404
    log = server.log()
    assert "GET /cellar/api/search (" in log and "GET /cellar/api/conversations (" in log
    assert "xylophone" not in log


def test_an_error_body_is_what_the_panel_reads() -> None:
    body = wire.ErrorBody(error=errors.QuotaExceeded("used up", retry_after=5, detail={"limit": 7}).info())
    assert json.loads(msgspec.json.encode(body)) == {
        "error": {"code": "quota_exceeded", "message": "used up", "retry_after": 5, "detail": {"limit": 7}}
    }
