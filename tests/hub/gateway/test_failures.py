"""Model server, hub or database away; answers that break off; what is asked again and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from cellar.chat import ChatRequest
from cellar.errors import ModelLoading, ModelServerDown
from cellar.refusals import refusal

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat, events, said, streaming
from tests.hub.jupyter import Hub
from tests.hub.postgres import Cluster


async def ask(gateway: Gateway, token: str, **more: Any) -> httpx.Response:
    return await gateway.client(token).post("/v1/chat/completions", json=chat(**more))


async def test_a_model_server_that_is_down_is_a_503_and_nothing_is_missing_in_the_books(
    hub: Hub, make_gateway: MakeGateway, an_unused_port: int
) -> None:
    rows = f'[[models]]\nmodel = "fake-coder"\nbase_url = "http://127.0.0.1:{an_unused_port}/v1"'
    gateway = await make_gateway(models=rows)
    for stream in (True, False):
        answer = await ask(gateway, hub.user("ann"), stream=stream)
        assert answer.status_code == 503 and "retry-after" in answer.headers
        assert isinstance(refusal(503, answer.headers, answer.content), ModelServerDown)
    assert [(end.status, end.outcome, end.error_code, end.prompt) for end in await gateway.ends()] == [
        (503, "error", "model_down", 0)
    ] * 2
    assert await gateway.left_open() == (0, 0)
    me = (await gateway.client(hub.user("ann")).get("/cellar/v1/me")).json()
    assert me["models"][0]["state"] == "down"
    assert "cellar_model_server_up" in (await gateway.get_operations("/metrics")).text


async def test_a_model_that_is_loading_says_so(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    model.use("loading")
    answer = await ask(gateway, hub.user("ann"), stream=True)
    assert isinstance(refusal(answer.status_code, answer.headers, answer.content), ModelLoading)


async def test_a_key_the_model_server_refuses_is_not_the_users_fault(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    model.use("unauthorized")
    answer = await ask(gateway, hub.user("ann"))
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "model_failed"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_proxys_word_of_a_server_that_died_is_not_shown_to_users(
    hub: Hub, gateway: Gateway, model: FakeVLLM, stream: bool
) -> None:
    """As vllm-router says it."""
    text = "Request failed: error sending request for url (http://10.0.0.5:8001/v1/chat/completions)"
    model.use(Scenario(status=500, body=text, content_type="text/plain; charset=utf-8"))
    answer = await ask(gateway, hub.user("ann"), stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "model_failed")
    assert "10.0.0.5" not in answer.text
    (end,) = await gateway.ends()
    assert (end.status, end.outcome, end.prompt) == (502, "error", 0)


async def test_the_key_goes_to_the_model_server_and_never_to_the_client(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    model.options.api_key = "the-servers-key"
    gateway = await make_gateway(VLLM_API_KEY="the-servers-key")
    answer = await ask(gateway, hub.user("ann"))
    assert answer.status_code == 200 and "the-servers-key" not in str(answer.headers) + answer.text
    assert model.requests[0].headers["authorization"] == "Bearer the-servers-key"


async def test_an_answer_that_breaks_off_is_cut_for_the_client_too(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    model.use(Scenario(text="this answer breaks off here", cut_after=4, gated=True))
    seen = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with streaming(gateway.client(hub.user("ann"))) as response:
            model.release(3)
            async for chunk in response.aiter_raw():
                seen += chunk
                if said(seen) == "this answer breaks":
                    model.release_all()
    (end,) = await gateway.ends()
    assert (end.outcome, end.error_code, end.estimated) == ("interrupted", "model_failed", True)
    assert end.completion >= 3  # the fourth came together with the end of the connection
    assert await gateway.left_open() == (0, 0)


async def test_an_error_within_the_stream_passes_as_it_came(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    model.use("error_in_stream")
    answer = await ask(gateway, hub.user("ann"), stream=True)
    assert events(answer.text)[-2]["error"]["message"] == "CUDA error" and events(answer.text)[-1] == "[DONE]"
    (end,) = await gateway.ends()
    assert (end.status, end.outcome, end.error_code, end.completion) == (200, "error", "500", 3)


async def test_silence_of_the_model_server_ends(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    gateway = await make_gateway(CELLAR_READ_TIMEOUT="1")
    for scenario, status in (("silent", 504), ("slow_prefill", 200)):
        model.use(scenario)
        answer = await ask(gateway, hub.user("ann"), stream=True)
        assert answer.status_code == status
        if status == 200:
            assert events(answer.text)[0]["error"]["code"] == 504
        await model.until(lambda m: not m.running)
    assert [end.error_code for end in await gateway.ends()] == ["model_timeout"] * 2


async def test_a_first_answer_that_is_compiled_for_long_is_not_cut(
    hub: Hub, make_gateway: MakeGateway, slow_model: FakeVLLM
) -> None:
    """As vLLM does it: the head at once, a comment now and then, and the first token after any time-out of ours."""
    slow_model.use(Scenario(text="at last", prefill="after_headers", keep_alive_every=0.1))
    gateway = await make_gateway(CELLAR_READ_TIMEOUT="1")
    answer = asyncio.create_task(ask(gateway, hub.user("ann"), stream=True))
    await slow_model.until(lambda m: bool(m.requests) and m.requests[0].comments >= 20)
    slow_model.release_all()
    assert said((await answer).content) == "at last"
    (end,) = await gateway.ends()
    assert end.outcome == "complete" and (end.ttft_ms or 0) > 1500


async def test_a_gateway_that_starts_before_its_model_server_says_so_until_that_has_told_what_it_serves(
    hub: Hub, make_gateway: MakeGateway, an_unused_port: int
) -> None:
    """After the machine was started: weights take minutes, and nobody knows yet what will be served."""
    gateway = await make_gateway(VLLM_BASE_URL=f"http://127.0.0.1:{an_unused_port}/v1")
    client, token = gateway.cellar(hub.user("ann")), hub.user("ann")
    for asked in (client.models(), client.count_tokens("fake-coder", text="x")):
        with pytest.raises(ModelServerDown):
            await asked
    assert (await client.health()).state == "down"
    answer = await ask(gateway, token, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_down")
    late = FakeVLLM()
    late.options.health = 503
    late.start(an_unused_port)
    try:
        assert (await ask(gateway, token)).json()["error"]["code"] == "model_loading"
        assert (await client.health()).state == "loading"
        late.options.health = 200
        assert said((await ask(gateway, token, stream=True)).content) == "hello"
        assert (await ask(gateway, token, model="nobody")).status_code == 404
    finally:
        late.stop()


async def test_the_log_says_why_a_model_server_is_not_well_once(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await make_gateway()
    health = gateway.house.health
    await health.look()
    caplog.clear()
    model.options.api_key = "another"
    (known,) = health.servers.values()
    known.listed_at = 0.0  # the list is asked for again
    for _ in range(2):
        await health.look()
    model.options.api_key, model.options.health = "", 503
    await health.look()
    model.options.health = 200
    await health.look()
    assert [record.getMessage() for record in caplog.records if record.name.endswith(".health")] == [
        f"model server {model.url} is down: HTTP 401; it does not accept the gateway's key",
        f"model server {model.url} is loading: HTTP 503; vLLM says so when its engine has died",
        f"model server {model.url} is up",
    ]


@pytest.mark.parametrize("trouble", ["stopping", "engine_died"])
async def test_a_model_server_that_stops_is_named_so_and_looked_at_at_once(
    hub: Hub, gateway: Gateway, model: FakeVLLM, trouble: str
) -> None:
    model.use(trouble)
    model.options.health = 503
    await gateway.house.health.look()  # the next look of its own would come in seconds
    model.options.health = 200
    client = gateway.cellar(hub.user("ann"))
    request = ChatRequest(model="fake-coder", messages=[{"role": "user", "content": "hello"}], max_tokens=64)
    with pytest.raises(ModelServerDown) as stopped:
        [event async for event in client.stream_chat(request)]
    assert stopped.value.detail["why"] == "stopped"
    (known,) = gateway.house.health.servers.values()
    async with asyncio.timeout(1):
        while known.state != "up":  # noqa: ASYNC110 - a state without an event
            await asyncio.sleep(0.01)
    (end,) = await gateway.ends()
    assert end.outcome == "error" and end.error_code in ("model_500", "500")
    assert await gateway.left_open() == (0, 0)


async def test_a_model_server_that_was_started_again_answers_and_the_books_are_closed(
    hub: Hub, make_gateway: MakeGateway, an_unused_port: int
) -> None:
    first, second = FakeVLLM(), FakeVLLM()
    first.start(an_unused_port)
    gateway = await make_gateway(VLLM_BASE_URL=first.url)
    client = gateway.client(hub.user("ann"))
    try:
        first.use(Scenario(text="one two three", gated=True))
        with pytest.raises(httpx.RemoteProtocolError):
            async with streaming(client) as response:
                first.release()
                async for _ in response.aiter_raw():
                    await asyncio.to_thread(first.stop)
        down = await ask(gateway, hub.user("ann"), stream=True)
        assert (down.status_code, down.json()["error"]["code"]) == (503, "model_down")
        second.start(an_unused_port)
        assert said((await ask(gateway, hub.user("ann"), stream=True)).content) == "hello"
    finally:
        first.stop()
        second.stop()
    ends = await gateway.ends()
    assert [end.outcome for end in ends] == ["interrupted", "error", "complete"]
    assert await gateway.left_open() == (0, 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_server_that_counts_wrongly_breaks_no_books(
    hub: Hub, gateway: Gateway, model: FakeVLLM, stream: bool
) -> None:
    model.use(Scenario(text="one two three", prompt_tokens=-7))
    assert (await ask(gateway, hub.user("ann"), stream=stream)).status_code == 200
    (end,) = await gateway.ends()
    assert (end.outcome, end.prompt, end.completion) == ("complete", 0, 3)
    assert await gateway.left_open() == (0, 0)


# -- asked again, or not ----------------------------------------------------------------------------------------------


async def test_a_proxys_no_without_a_body_is_asked_again(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    model.use("busy_then_ok")
    assert said((await ask(gateway, hub.user("ann"), stream=True)).content) == "second time lucky"
    assert len(model.requests) == 2


async def test_a_socket_that_was_kept_too_long_is_no_failure(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    assert (await ask(gateway, hub.user("ann"))).status_code == 200
    model.use(Scenario(close_before_answer=True, times=1), Scenario(text="again"))
    assert (await ask(gateway, hub.user("ann"))).json()["choices"][0]["message"]["content"] == "again"


async def test_a_fresh_socket_that_closes_may_have_brought_the_question_and_is_not_asked_again(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    await gateway.house.health.stop()
    await asyncio.sleep(0)
    model.use(Scenario(close_before_answer=True))
    await gateway.house._transport.client._connector.close()  # no kept sockets
    gateway.house._transport.client = None
    answer = await ask(gateway, hub.user("ann"))
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "model_failed"
    assert len(model.requests) == 1


# -- hub and database -------------------------------------------------------------------------------------------------


async def test_without_the_hub_known_users_go_on_and_unknown_ones_wait(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    known, unknown = hub.user("ann"), hub.user("unknown")
    assert (await ask(gateway, known)).status_code == 200
    await asyncio.to_thread(hub.stop)
    try:
        assert (await ask(gateway, known)).status_code == 200
        answer = await ask(gateway, unknown)
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "hub_down"
        assert (await gateway.get_operations("/healthz")).json()["hub"] is False
    finally:
        await asyncio.to_thread(hub.start)
    assert (await ask(gateway, unknown)).status_code == 200


async def test_without_the_database_nothing_is_relayed_and_nothing_is_lost(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM, postgresql: Cluster
) -> None:
    gateway = await make_gateway(CELLAR_DATABASE_URL=postgresql.create_database())
    token = hub.user("ann")
    async with streaming(gateway.client(token)) as running:
        gated_model.release(1)
        stream = running.aiter_raw()
        await anext(stream)
        await asyncio.to_thread(postgresql.stop)
        try:
            gated_model.release_all()
            async for _ in stream:
                pass
            for more in ({"stream": True}, {"stream": False}):
                answer = await ask(gateway, token, **more)
                assert answer.status_code == 503 and answer.json()["error"]["code"] == "database_down"
            assert (await gateway.get_operations("/healthz")).status_code == 503
        finally:
            await asyncio.to_thread(postgresql.start)
    ends = await gateway.ends()
    assert [end.outcome for end in ends] == ["complete"]
    assert (await ask(gateway, token)).status_code == 200
    assert (await gateway.get_operations("/healthz")).status_code == 200
    assert await gateway.left_open() == (0, 0)


# -- revocation -------------------------------------------------------------------------------------------------------


async def test_a_revoked_users_requests_end_at_once(hub: Hub, gateway: Gateway, gated_model: FakeVLLM) -> None:
    async with streaming(gateway.client(hub.user("eve"))) as response:
        gated_model.release(1)
        stream = response.aiter_raw()
        seen = await anext(stream)
        assert (await gateway.revoke(user="eve")).json() == {"forgotten": 1, "stopped": 1, "unheard": 0}
        async for chunk in stream:
            seen += chunk
    *_, error, done = events(seen.decode())
    assert (error["error"]["code"], done) == (401, "[DONE]")
    await gated_model.until(lambda m: m.aborted == 1)
    opened, event, settled = sorted(await gateway.rows(), key=lambda row: row.at)
    assert settled.outcome == "stopped" and (event.action, event.subject) == ("token.revoke", "eve")
    assert opened.user == "eve"


async def test_a_stopped_servers_token_is_refused_at_once_when_the_hub_says_so(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    token = await asyncio.to_thread(hub.start_server, "sam")
    assert (await ask(gateway, token)).status_code == 200
    await asyncio.to_thread(hub.stop_server, "sam")
    assert (await gateway.revoke(user="sam", server="")).json() == {"forgotten": 1, "stopped": 0, "unheard": 0}
    assert (await ask(gateway, token)).status_code == 401


@pytest.mark.parametrize("token", ["", "wrong", "x" * 10_000])
async def test_only_the_hub_may_revoke(hub: Hub, gateway: Gateway, token: str) -> None:
    assert (await gateway.revoke(token or "-", user="ann")).status_code in (401, 431)
    assert (await gateway.revoke(hub.user("ann"), user="ann")).status_code == 401


@pytest.mark.parametrize("who", [{}, {"server": "x"}, {"user": ""}, {"user": "x", "more": "y"}])
async def test_a_revocation_names_somebody(gateway: Gateway, who: dict[str, str]) -> None:
    assert (await gateway.revoke(**who)).status_code == 400
