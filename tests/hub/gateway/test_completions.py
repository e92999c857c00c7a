"""Ghost text, embeddings, and what the model servers tell of themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, events, streaming
from tests.hub.gateway.test_queueing import ask, until, waiting
from tests.hub.jupyter import Hub


def complete(**more: Any) -> dict[str, Any]:
    return {"model": "fake-coder", "prompt": "def f(", "max_tokens": 64, **more}


async def test_a_completion_streams_and_is_counted(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    model.use(Scenario(text="x): return"))
    client = gateway.client(hub.user("ann"))
    answer = await client.post("/v1/completions", json=complete(stream=True))
    told = [event["choices"][0]["text"] for event in events(answer.text)[:-1]]
    assert "".join(told) == "x): return"
    whole = await client.post("/v1/completions", json=complete())
    assert whole.json()["choices"][0]["text"] == "x): return"
    opened, first, _, second = await gateway.rows()
    assert opened.kind == "completion" and first.answer_mac == second.answer_mac != ""
    assert (first.completion, first.estimated, second.completion) == (len(told), False, len(told))


async def test_ghost_text_waits_behind_no_chat(hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM) -> None:
    gateway = await make_gateway(policy="[default]\nmax_running = 64", CELLAR_MAX_INFLIGHT="4")
    chats = [asyncio.create_task(ask(gateway, hub.user("ann"), stream=True)) for _ in range(6)]
    await until(lambda: waiting(gateway) == 3 and gated_model.waiting == 3)
    async with gateway.client(hub.user("ann")).stream("POST", "/v1/completions", json=complete(stream=True)) as mine:
        assert mine.status_code == 200
        await gated_model.until(lambda m: m.waiting == 4)
        gated_model.release_all()
        await mine.aread()
    await asyncio.gather(*chats)
    assert [exchange.body.get("prompt") for exchange in gated_model.requests[:4]][3] == "def f("


async def test_a_superseded_completion_is_aborted_at_the_model_server(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    model.use(Scenario(text="late", prefill="before_headers"))
    client = gateway.client(hub.user("ann"))
    first = asyncio.create_task(client.post("/v1/completions", json=complete()))
    await model.until(lambda m: m.running == 1)
    first.cancel()
    await model.until(lambda m: m.aborted == 1)


async def test_embeddings_where_a_server_has_them(hub: Hub, gateway: Gateway) -> None:
    body = {"model": "fake-coder", "input": ["one", "two three"]}
    answer = await gateway.client(hub.user("ann")).post("/v1/embeddings", json=body)
    assert answer.status_code == 200 and len(answer.json()["data"]) == 2
    opened, settled = await gateway.rows()
    assert (opened.kind, settled.prompt, settled.completion) == ("embeddings", 3, 0)


async def test_what_vllm_tells_of_itself_is_told_on(hub: Hub, gateway: Gateway, gated_model: FakeVLLM) -> None:
    (known,) = gateway.house.health.servers.values()
    async with streaming(gateway.client(hub.user("ann"))):
        await gated_model.until(lambda m: m.running == 1)
        await gateway.house.health.look()
        assert known.values["running"] == 1 and known.values["kv_cache"] == 0.25
        assert known.values["generation_tokens"] == 3000
        text = (await gateway.get_operations("/metrics")).text
    url = known.server.base_url
    assert f'cellar_model_server{{server="{url}",value="running"}} 1.0' in text
    assert f'cellar_running{{server="{url}"}} 1.0' in text
    assert "annabel" not in text
