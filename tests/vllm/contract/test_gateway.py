"""The gateway before a real vLLM: what it counts, sets, frees and says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from cellar.chat import ChatRequest, Delta, Finish, UsageSeen
from cellar.errors import CellarError, ContextTooLong

from tests.hub.conftest import hub
from tests.hub.gateway.conftest import Gateway, MakeGateway, gateway_env, make_gateway
from tests.hub.jupyter import Hub
from tests.vllm.contract.conftest import KEY, Served, vllm_running
from tests.vllm.contract.test_vllm import RUNNING, TALE, WAITING, asking, reached

__all__ = ["gateway_env", "hub", "make_gateway"]  # fixtures
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def gateway(make_gateway: MakeGateway, vllm: Served) -> Gateway:
    found: Gateway = await make_gateway(
        VLLM_BASE_URL=vllm.url, VLLM_API_KEY=KEY, CELLAR_PRIORITY="on", CELLAR_MAX_INFLIGHT="20"
    )
    await found.house.health.look()
    return found


def request(vllm: Served, text: str, **more: Any) -> ChatRequest:
    fields = {"max_tokens": 8, "temperature": 0.0, **more}
    return ChatRequest(model=vllm.model, messages=[{"role": "user", "content": text}], **fields)


async def test_what_an_answer_cost_is_in_the_books_as_vllm_counted_it(hub: Hub, gateway: Gateway, vllm: Served) -> None:
    client = gateway.cellar(hub.user("ann"))
    asked = request(vllm, "Books are kept. " * 40)
    usages = []
    for _ in range(2):
        events = [event async for event in client.stream_chat(asked)]
        assert any(isinstance(event, Delta) for event in events) and isinstance(events[-1], Finish)
        usages.append(next(event for event in events if isinstance(event, UsageSeen)))
    ends = await gateway.ends()
    assert [(end.prompt, end.completion, end.estimated) for end in ends] == [
        (usage.prompt, usage.completion, False) for usage in usages
    ]
    assert usages[0].cached == 0 and usages[1].cached is not None and usages[1].cached > 100


async def test_two_users_share_no_cache_unless_the_policy_says_so(
    hub: Hub, make_gateway: MakeGateway, vllm: Served
) -> None:
    for salt, shared in (("user", False), ("none", True)):
        policy = f'[default]\ncache_salt = "{salt}"\n'
        gateway = await make_gateway(
            policy, VLLM_BASE_URL=vllm.url, VLLM_API_KEY=KEY, CELLAR_GATEWAY_NAME=f"gateway-{salt}"
        )
        await gateway.house.health.look()
        asked = request(vllm, f"Shared is {shared}. " * 40)
        cached = []
        for user in ("ann", "ben"):
            events = [event async for event in gateway.cellar(hub.user(user)).stream_chat(asked)]
            cached.append(next(event.cached for event in events if isinstance(event, UsageSeen)))
        assert cached[0] == 0 and (cached[1] or 0) > 0 if shared else cached == [0, 0]


async def test_a_prompt_that_is_too_long_is_vllms_own_refusal_in_the_panels_words(
    hub: Hub, gateway: Gateway, vllm: Served
) -> None:
    with pytest.raises(ContextTooLong):
        [event async for event in gateway.cellar(hub.user("ann")).stream_chat(request(vllm, "word " * 6000))]
    assert [end.outcome for end in await gateway.ends()] == ["refused"]


@pytest.mark.parametrize("text", ["Count to one thousand.", "Read all of this. " * 700])
async def test_stop_frees_the_gpu_within_a_second_while_it_writes_and_while_it_reads(
    hub: Hub, gateway: Gateway, vllm: Served, text: str
) -> None:
    stream = gateway.cellar(hub.user("ann")).stream_chat(request(vllm, text, max_tokens=500))
    reading = asyncio.ensure_future(anext(stream))
    await reached(vllm, RUNNING, 1)
    if len(text) < 100:
        await reading
        while not isinstance(await anext(stream), Delta):
            pass
    reading.cancel()
    await asyncio.wait([reading])
    await stream.aclose()
    assert await reached(vllm, RUNNING, 0, 5) <= 1
    (end,) = await gateway.ends()
    assert (end.outcome, end.estimated) == ("stopped", True)
    assert await gateway.left_open() == (0, 0)


async def test_whoever_waits_in_vllms_own_queue_leaves_it_by_stop(hub: Hub, gateway: Gateway, vllm: Served) -> None:
    """The gateway lets one more chat through than vLLM works on."""
    client = gateway.cellar(hub.user("ann"))

    async def one() -> None:
        async for _ in client.stream_chat(request(vllm, TALE, max_tokens=500)):
            pass

    async with asking(vllm, 16):
        await reached(vllm, RUNNING, 16)
        waiting = asyncio.create_task(one())
        await reached(vllm, WAITING, 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await reached(vllm, WAITING, 0, 5) <= 1
        assert vllm.metric(RUNNING) == 16
    (end,) = await gateway.ends()
    assert (end.outcome, end.completion) == ("stopped", 0)
    assert await gateway.left_open() == (0, 0)


async def test_the_panel_and_the_metrics_hear_what_vllm_says_of_itself(
    hub: Hub, gateway: Gateway, vllm: Served
) -> None:
    client = gateway.cellar(hub.user("ann"))
    (model,) = await client.models()
    assert (model.id, model.context_length, model.tokenizer) == (vllm.model, vllm.context, True)
    await gateway.house.health.look()
    text = (await gateway.get_operations("/metrics")).text
    for value in ("running", "waiting", "kv_cache", "prefix_cache_hits", "generation_tokens"):
        assert re.search(rf'^cellar_model_server\{{[^}}]*value="{value}"[^}}]*\}} \S+$', text, re.MULTILINE), value


async def test_a_tool_is_called_through_the_gateway_by_the_openai_client(
    hub: Hub, gateway: Gateway, vllm: Served
) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "double", "parameters": schema}}
    async with openai.AsyncOpenAI(api_key=hub.user("ann"), base_url=gateway.url + "/v1", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model=vllm.model,
            messages=[{"role": "user", "content": "Double 21."}],
            tools=[tool],  # type: ignore[list-item]
            tool_choice="required",
            max_tokens=64,
        )
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function" and re.fullmatch(r'\{\s*"a"\s*:\s*-?\d+\s*\}', call.function.arguments)


async def test_an_engine_that_dies_in_mid_answer_is_said_to_its_user_and_in_the_audit(
    hub: Hub, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    with vllm_running(tmp_path) as mortal:
        gateway = await make_gateway(VLLM_BASE_URL=mortal.url, VLLM_API_KEY=KEY)
        await gateway.house.health.look()
        client = gateway.cellar(hub.user("ann"))
        stream = client.stream_chat(request(mortal, TALE, max_tokens=3000, extra={"ignore_eos": True}))
        while not isinstance(await anext(stream), Delta):
            pass
        engine = next(
            process
            for process in psutil.process_iter(["cmdline", "name"])
            if "EngineCore" in (process.info["name"] or "") + " ".join(process.info["cmdline"] or [])
            and any(str(mortal.root.rpartition(":")[2]) in " ".join(parent.cmdline()) for parent in process.parents())
        )
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(CellarError) as said:
            async for _ in stream:
                pass
        assert "EngineCore" not in str(said.value)
        await gateway.house.health.look()
        with pytest.raises(CellarError):
            await client.chat(request(mortal, "Anybody there?"))
        first, second = await gateway.ends()
        assert (first.outcome, second.outcome) == ("error", "error")
        assert await gateway.left_open() == (0, 0)
        assert mortal.process is not None and mortal.log is not None
        assert await asyncio.to_thread(mortal.process.wait, 30) == 1, "a status with which it is started again"
        assert mortal.log.read_text().splitlines()[-1].startswith("cellar-vllm: vLLM has stopped serving")
