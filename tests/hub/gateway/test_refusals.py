"""Who is refused, with what words, and that nothing reaches the model server then."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx
import pytest
from cellar.errors import Forbidden, ModelNotFound, QueueFull, QuotaExceeded, RateLimited, Unauthorized
from cellar.refusals import refusal
from cellar_hub import watchedfile
from cellar_hub.audit import Opened
from cellar_hub.gateway import app

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat, streaming
from tests.hub.jupyter import Hub


async def ask(gateway: Gateway, token: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return await gateway.client(token, **headers).post("/v1/chat/completions", json=chat(**more))


async def send_raw(gateway: Gateway, data: bytes) -> bytes:
    """Exactly these bytes; all that comes until the gateway closes."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= found.keys()
    assert len(answer.headers["x-request-id"]) == 32
    return found


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer forged", "token forged"])
async def test_without_a_good_token_nobody_gets_in(gateway: Gateway, model: FakeVLLM, header: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("GET", "/cellar/v1/me")):
            answer = await http.request(method, path, json=chat(), headers={"authorization": header} if header else {})
            assert answer.status_code == 401 and error(answer)["code"] == "unauthorized"
            assert answer.headers["www-authenticate"] == "Bearer"
    assert isinstance(refusal(401, answer.headers, answer.content), Unauthorized)
    assert not model.requests


async def test_a_token_in_the_address_is_no_token(hub: Hub, gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        assert (await http.get(f"/v1/models?token={hub.user('ann')}")).status_code == 401


async def test_two_authorizations_are_refused(hub: Hub, gateway: Gateway) -> None:
    headers = [("authorization", "Bearer forged"), ("authorization", f"Bearer {hub.user('ann')}")]
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        assert (await http.get("/v1/models", headers=headers)).status_code == 400


async def test_jupyterhubs_own_word_for_a_token_is_understood(hub: Hub, gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        answer = await http.get("/v1/models", headers={"authorization": f"token {hub.user('ann')}"})
    assert [row["id"] for row in answer.json()["data"]] == ["fake-coder"]
    assert set(answer.json()["data"][0]) == {"id", "object", "created", "owned_by", "max_model_len", "roles"}


async def test_a_user_without_the_scope_is_forbidden(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    answer = await ask(gateway, hub.outsider("otto"))
    assert answer.status_code == 403 and error(answer)["code"] == "permission_denied"
    assert isinstance(refusal(403, answer.headers, answer.content), Forbidden)
    assert not model.requests


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/", "/v1/models/", "//v1/models", "/v1/../v1/models", "/v1/%2e%2e/health", "/health",
        "/metrics", "/healthz", "/revoke", "/v1/responses", "/v1/messages", "/v1/load_lora_adapter", "/invocations",
        "/sleep", "/detokenize", "/services/cellar/metrics", "/services/cellar/services/cellar/v1/models", "/docs",
        "/v1/models%00", "/cellar/v1/me/", "/v1/chat/completions/render",
    ],
)  # fmt: skip
async def test_every_other_address_is_refused(hub: Hub, gateway: Gateway, model: FakeVLLM, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {hub.user('ann')}\r\nContent-Length: 0\r\n"
        )
        answer = await send_raw(gateway, head.encode() + b"Connection: close\r\n\r\n")
        assert answer.split(b" ")[1] in (b"404", b"405") and b'"code":"not_found"' in answer
        assert b"x-request-id: " in answer
    assert not model.requests


async def test_a_method_that_is_not_meant_is_refused(hub: Hub, gateway: Gateway) -> None:
    client = gateway.client(hub.user("ann"))
    assert (await client.get("/v1/chat/completions")).status_code == 405
    assert (await client.post("/v1/models", json={})).status_code == 405


async def test_the_same_routes_answer_under_the_hubs_prefix(hub: Hub, gateway: Gateway) -> None:
    client = gateway.client(hub.user("ann"))
    assert (await client.get("/services/cellar/cellar/v1/me")).json()["user"] == "ann"
    answer = await client.post("/services/cellar/v1/chat/completions", json=chat())
    assert answer.json()["choices"][0]["message"]["content"] == "hello"


async def test_the_hub_may_live_under_a_path(hub: Hub, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(CELLAR_BASE_PATH="/jupyter/")
    client = gateway.client(hub.user("ann"))
    assert (await client.get("/jupyter/services/cellar/cellar/v1/me")).json()["user"] == "ann"
    assert (await client.get("/services/cellar/cellar/v1/me")).status_code == 404


POLICY = """
[default]
models = ["fake-coder"]
modes = ["ask"]
tools = false
max_tokens = 32

[groups.research]
models = ["other"]
modes = ["agent"]
tools = true

[[announcements]]
id = "a"
level = "info"
text = "Hello"
"""


async def test_policy_decides_models_modes_tools_and_length(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    model.options.models = ["fake-coder", "other"]
    gateway = await make_gateway(policy=POLICY)
    plain, research = hub.user("ann"), hub.user("rhea", "research")
    assert [row["id"] for row in (await gateway.client(plain).get("/v1/models")).json()["data"]] == ["fake-coder"]
    for token, more, status in (
        (plain, {"model": "other"}, 404),
        (plain, {"model": "nonsense"}, 404),
        (plain, {"headers": {"x-cellar-mode": "agent"}}, 403),
        (plain, {"tools": [{"type": "function", "function": {"name": "f"}}]}, 403),
        (plain, {"headers": {"x-cellar-mode": "ask"}}, 200),
        (research, {"model": "other", "headers": {"x-cellar-mode": "agent"}}, 200),
    ):
        answer = await ask(gateway, token, **more)
        assert answer.status_code == status, answer.text
        if status == 404:
            assert isinstance(refusal(404, answer.headers, answer.content), ModelNotFound)
    assert [exchange.body["max_tokens"] for exchange in model.requests] == [32, 32]
    me = (await gateway.client(plain).get("/cellar/v1/me")).json()
    assert me["max_tokens"] == 32 and me.get("modes", ["ask"]) == ["ask"]
    assert me["announcements"] == [{"id": "a", "level": "info", "text": "Hello"}]
    refused = [end for end in await gateway.ends() if end.outcome == "refused"]
    assert [(end.status, end.error_code) for end in refused] == [(403, "permission_denied")]
    assert await gateway.left_open() == (0, 0)


async def test_a_changed_policy_counts_without_a_restart_and_a_broken_one_changes_nothing(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchedfile, "LOOK_EVERY", 0.0)
    gateway: Gateway = await make_gateway(policy="[default]\nmax_tokens = 10")
    path = gateway.house.settings.policy
    assert path is not None

    async def cap() -> int:
        found = (await gateway.client(hub.user("ann")).get("/cellar/v1/me")).json()["max_tokens"]
        return int(found)

    assert await cap() == 10
    path.write_text("[default]\nmax_tokens = 20 # changed")
    assert await cap() == 20
    for broken in ("[default]\nmax_tokens = 'many'", "", "\n"):
        path.write_text(broken)
        assert await cap() == 20
    assert "cellar_policy_ok 0.0" in (await gateway.get_operations("/metrics")).text
    os.replace(path, path.with_suffix(".old"))
    assert await cap() == 20


async def test_a_used_up_quota_is_a_429_with_its_numbers_and_begins_anew_next_day(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REFUSAL_EVERY", 3600.0)  # a busy machine takes more than ten seconds for what follows
    gateway = await make_gateway(policy="[default]\ntokens_per_day = 100")
    token = hub.user("quinn")
    answers = [await ask(gateway, token, max_tokens=40) for _ in range(40)]
    statuses = [answer.status_code for answer in answers]
    full = statuses.index(429)
    assert set(statuses[:full]) == {200} and set(statuses[full:]) == {429}
    said = refusal(429, answers[-1].headers, answers[-1].content)
    assert isinstance(said, QuotaExceeded) and said.detail["limit"] == 100
    assert int(answers[-1].headers["retry-after"]) > 0
    await gateway.settled()
    reached = len(model.requests)
    assert (await ask(gateway, token, max_tokens=40)).status_code == 429
    assert len(model.requests) == reached
    assert (await ask(gateway, hub.user("ann"), max_tokens=40)).status_code == 200
    me = (await gateway.client(token).get("/cellar/v1/me")).json()
    assert me["day"]["limit"] == 100 and "reserved" not in me["day"]
    assert me["day"]["spent"]["prompt"] + me["day"]["spent"]["completion"] <= 100
    refused = [end for end in await gateway.ends() if end.outcome == "refused"]
    assert [end.error_code for end in refused] == ["quota_exceeded"]
    assert await gateway.left_open() == (0, 0)


async def test_a_used_up_quota_costs_the_model_server_no_answer_in_one_piece(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    gateway = await make_gateway(policy="[default]\ntokens_per_day = 50")
    model.use("slow_headers")  # as servers do: no head before the whole answer is there
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(ask(gateway, hub.user("quinn3"), max_tokens=60) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {429}
    assert not model.requests


async def test_what_is_under_way_counts_against_the_quota(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(policy="[default]\ntokens_per_day = 100")
    token = hub.user("quinn2")
    async with streaming(gateway.client(token), max_tokens=60) as running:
        assert (await ask(gateway, token, max_tokens=60)).status_code == 429
        gated_model.release_all()
        await running.aread()
    await gateway.settled()
    assert (await ask(gateway, token, max_tokens=60)).status_code == 200


async def test_requests_per_minute(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    gateway = await make_gateway(policy="[default]\nrequests_per_minute = 3")
    token = hub.user("rita")
    answers = [await ask(gateway, token) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert isinstance(refusal(429, answers[3].headers, answers[3].content), RateLimited)
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60
    assert (await ask(gateway, hub.user("ann"))).status_code == 200
    assert len(model.requests) == 4


async def test_a_full_queue_is_refused_as_plain_http(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(policy="[default]\nmax_waiting = 1", CELLAR_MAX_INFLIGHT="1")
    token = hub.user("ann")
    async with streaming(gateway.client(token)) as running:
        waiting = asyncio.create_task(ask(gateway, token))
        async with asyncio.timeout(20):
            while not next(iter(gateway.house._queues.values())).waiting:  # noqa: ASYNC110 - the loop is shared
                await asyncio.sleep(0.01)
        for more in ({}, {"stream": True}):
            answer = await ask(gateway, token, **more)
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
            assert isinstance(refusal(503, answer.headers, answer.content), QueueFull)
        gated_model.release_all()
        await running.aread()
        assert (await waiting).status_code == 200
    assert len(await gateway.ends()) == 2


async def test_the_groups_of_a_row_are_who_may_ask_it(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    model.options.models = ["fake-coder", "secret"]
    rows = f"""
    [[models]]
    model = "fake-coder"
    base_url = "{model.url}"
    [[models]]
    model = "secret"
    base_url = "{model.url}"
    groups = ["research"]
    """
    gateway = await make_gateway(models=rows)
    assert (await ask(gateway, hub.user("ann"), model="secret")).status_code == 404
    assert (await ask(gateway, hub.user("rhea", "research"), model="secret")).status_code == 200
    client = gateway.client(hub.user("ann"))
    assert (await client.post("/v1/embeddings", json={"model": "fake-coder", "input": "x"})).status_code == 404
    assert (await client.post("/tokenize", json={"model": "secret", "prompt": "x"})).status_code == 404
    assert not model.counted


async def test_what_is_no_request_is_refused(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    gateway = await make_gateway(CELLAR_MAX_BODY="10000")
    client = gateway.client(hub.user("ann"))
    path, kind = "/v1/chat/completions", {"content-type": "application/json"}
    for body, headers, status in (
        (b"{", kind, 400),
        (b"", kind, 400),
        (json.dumps(chat()).encode(), {"content-type": "text/plain"}, 415),
        (json.dumps(chat()).encode(), {**kind, "content-encoding": "gzip"}, 415),
        (json.dumps(chat("x" * 10_000)).encode(), kind, 413),
    ):
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code == status
        error(answer)

    async def long() -> Any:
        for _ in range(100):
            yield b"x" * 4096

    answer = await client.post(path, content=long(), headers=kind)
    assert answer.status_code == 413
    assert not model.requests and not [row for row in await gateway.rows() if isinstance(row, Opened)]


async def test_the_audits_address_is_what_the_proxy_saw_and_not_what_a_client_claims(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    gateway = await make_gateway()
    for forwarded in ("192.0.2.7", "9.9.9.9, 192.0.2.7"):  # as the proxy, which is the other end here, hands it on
        answer = await ask(gateway, hub.user("ann"), headers={"X-Forwarded-For": forwarded, "X-Real-IP": "9.9.9.9"})
        assert answer.status_code == 200
    # and here the other end is a workspace
    sealed = await make_gateway(CELLAR_WORKSPACE_POOL="127.0.0.0/16", CELLAR_GATEWAY_NAME="gateway-2")
    assert (await ask(sealed, hub.user("ann"), headers={"X-Forwarded-For": "9.9.9.9"})).status_code == 200
    clients = [row.client for row in [*await gateway.rows(), *await sealed.rows()] if isinstance(row, Opened)]
    assert set(clients) == {"192.0.2.7", "127.0.0.1"}
