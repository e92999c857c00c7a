"""Questions and answers through the gateway."""

from __future__ import annotations

import hashlib

import pytest
from cellar.chat import Delta, Finish, Opened, UsageSeen
from cellar_hub.gateway import answer as answer_reader

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat, events, question, said, streaming
from tests.hub.jupyter import Hub


async def test_an_answer_comes_back_whole(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    answer = await gateway.client(hub.user("ann")).post("/v1/chat/completions", json=chat("two words"))
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "two words"
    assert answer.json()["usage"]["completion_tokens"] == 2
    assert len(answer.headers["x-request-id"]) == 32


async def test_an_answer_streams_byte_for_byte(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    model.use("korean")
    async with streaming(gateway.client(hub.user("ann")), stream_options={"include_usage": True}) as response:
        body = await response.aread()
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert "네, 이 셀은" in said(body)
    assert events(body)[-2]["usage"]["prompt_tokens"] > 0 and events(body)[-1] == "[DONE]"


async def test_an_answer_too_long_to_be_read_counts_as_the_longest(
    hub: Hub, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four answers with the probabilities of every token are longer than what is kept of one: they were for nothing."""
    monkeypatch.setattr(answer_reader, "MAX_WHOLE", 100)
    asked = await gateway.client(hub.user("ann")).post("/v1/chat/completions", json=chat(max_tokens=64))
    assert asked.status_code == 200 and len(asked.content) > 100
    (end,) = await gateway.ends()
    assert (end.completion, end.estimated) == (64, True)


async def test_the_usage_event_stays_here_when_nobody_asked_for_it(hub: Hub, gateway: Gateway) -> None:
    async with streaming(gateway.client(hub.user("ann"))) as response:
        body = await response.aread()
    assert said(body) == "hello" and events(body)[-1] == "[DONE]"
    assert not any("usage" in event for event in events(body)[:-1])
    (end,) = await gateway.ends()
    assert (end.outcome, end.estimated, end.completion) == ("complete", False, 1)


async def test_our_own_client_asks_as_ever(hub: Hub, gateway: Gateway) -> None:
    client = gateway.cellar(hub.user("ann"))
    found = [event async for event in client.stream_chat(question("one two"))]
    assert isinstance(found[0], Opened) and isinstance(found[-2], UsageSeen) and found[-1] == Finish("stop")
    assert "".join(event.text for event in found if isinstance(event, Delta)) == "one two"
    (one,) = await client.models()
    assert (one.id, one.context_length, one.tokenizer) == ("fake-coder", 32768, True)
    assert await client.count_tokens("fake-coder", text="one two") == 2
    me = await client.me()
    assert (me.user, me.groups, [each.id for each in me.models]) == ("ann", ("llm",), ["fake-coder"])
    assert me.models[0].state == "up" and me.day.spent.requests == 1


async def test_the_model_server_gets_our_headers_and_none_of_the_clients(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    smuggled = {
        "x-request-id": "theirs",
        "x-session-id": "theirs",
        "x-vllm-priority": "-5",
        "x-data-parallel-rank": "3",
        "x-forwarded-for": "1.2.3.4",
        "cookie": "a=b",
        "accept-encoding": "gzip",
        "te": "trailers",
    }
    answer = await gateway.client(hub.user("ann"), **smuggled).post("/v1/chat/completions", json=chat())
    (exchange,) = model.requests
    seen = exchange.headers
    assert seen["x-request-id"] == answer.headers["x-request-id"] != "theirs"
    assert seen["x-session-id"] != "theirs" and "ann" not in seen["x-session-id"]
    assert seen["accept-encoding"] == "identity"
    assert set(seen) == {
        "host", "content-type", "accept", "x-request-id", "x-session-id", "accept-encoding", "user-agent",
        "content-length",
    }  # fmt: skip


async def test_the_prefix_cache_is_each_users_own(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    for name in ("ann", "ann", "ben"):
        body = chat(cache_salt="theirs", priority=-1)
        assert (await gateway.client(hub.user(name)).post("/v1/chat/completions", json=body)).is_success
    salts = [exchange.body["cache_salt"] for exchange in model.requests]
    assert salts[0] == salts[1] != salts[2] and "theirs" not in salts
    assert all(len(salt) == 64 for salt in salts)
    assert "priority" not in model.requests[0].body


async def test_a_group_may_share_its_prefix_cache(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    gateway = await make_gateway(policy='[default]\n[groups.research]\ncache_salt = "group"')
    for name, groups in (("rhea", ["research"]), ("rob", ["research"]), ("ann", [])):
        token = hub.user(name, *groups)
        assert (await gateway.client(token).post("/v1/chat/completions", json=chat())).is_success
    salts = [exchange.body["cache_salt"] for exchange in model.requests]
    assert salts[0] == salts[1] != salts[2]


@pytest.mark.parametrize("name", ["김철수", "a..b", "a b", "x" * 255, "ünï🎉", "rob'); drop table cellar_audit;--"])
async def test_a_user_may_have_any_name_that_the_hub_allows(
    hub: Hub, gateway: Gateway, model: FakeVLLM, name: str
) -> None:
    token = hub.user(name)
    assert (await gateway.client(token).post("/v1/chat/completions", json=chat())).is_success
    assert (await gateway.client(token).get("/cellar/v1/me")).json()["user"] == name.lower()
    opened, settled = await gateway.rows()
    assert opened.user == name.lower() and settled.outcome == "complete"
    assert (await gateway.revoke(user=name.lower())).json()["forgotten"] == 1


async def test_priorities_are_told_to_a_server_that_schedules_by_them(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    gateway = await make_gateway(CELLAR_PRIORITY="on")
    client = gateway.client(hub.user("ann"))
    for klass in ("", "agent", "batch"):
        await client.post("/v1/chat/completions", json=chat(), headers={"x-cellar-class": klass})
    assert [exchange.body["priority"] for exchange in model.requests] == [1, 2, 3]
    assert [exchange.headers["x-vllm-priority"] for exchange in model.requests] == ["1", "2", "3"]


async def test_the_books_know_who_asked_when_and_how_much_but_not_what(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    headers = {"x-cellar-mode": "edit", "x-cellar-turn": "turn-1"}
    async with gateway.client(hub.user("ann"), **headers).stream(
        "POST", "/v1/chat/completions", json=chat("one two three", stream=True)
    ) as response:
        await response.aread()
    opened, settled = await gateway.rows()
    assert (opened.user, opened.groups, opened.model, opened.kind) == ("ann", ("llm",), "fake-coder", "chat")
    assert (opened.mode, opened.turn, opened.client) == ("edit", "turn-1", "127.0.0.1")
    assert opened.request_id == settled.request_id == response.headers["x-request-id"]
    assert (settled.status, settled.outcome, settled.completion) == (200, "complete", 3)
    assert settled.ttft_ms is not None and settled.total_ms >= settled.ttft_ms >= 0
    assert opened.question_mac == gateway.house._keys.mac(b"one two three")
    assert settled.answer_mac == gateway.house._keys.mac(b"one two three")
    assert hashlib.sha256(b"one two three").hexdigest() not in opened.question_mac
    assert await gateway.left_open() == (0, 0)
