"""Waiting in the fair queue, as clients and the model server see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cellar.chat import Opened, Queued
from cellar.errors import QueueFull

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat, events, question, said, streaming
from tests.hub.jupyter import Hub

ONE_PLACE = {"CELLAR_MAX_INFLIGHT": "1"}
ROOMY = "[default]\nmax_waiting = 64\nmax_running = 64"


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110 - what is waited for happens in this loop, and tells nobody
            await asyncio.sleep(0.005)


def waiting(gateway: Gateway) -> int:
    return sum(queue.waiting for queue in gateway.house._queues.values())


def running(gateway: Gateway) -> int:
    return sum(queue.running for queue in gateway.house._queues.values())


async def ask(gateway: Gateway, token: str, **more: Any) -> httpx.Response:
    return await gateway.client(token).post("/v1/chat/completions", json=chat(**more))


async def test_a_stream_that_waits_is_told_its_place(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    async with streaming(gateway.client(hub.user("ann"))) as first:
        client = gateway.cellar(hub.user("ben"))
        answer = client.stream_chat(question("mine"))
        assert await anext(answer) == Queued(position=1, ahead=0)
        assert len(gated_model.requests) == 1
        gated_model.release_all()
        await first.aread()
        assert isinstance(await anext(answer), Opened)
        async for _ in answer:
            pass
    ends = await gateway.ends()
    assert [end.outcome for end in ends] == ["complete", "complete"]
    assert ends[1].queued_ms >= 250


async def test_comments_come_every_two_seconds_and_count_down(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    async with streaming(gateway.client(hub.user("ann"))) as first:
        before = asyncio.create_task(ask(gateway, hub.user("ben"), stream=True))
        await until(lambda: waiting(gateway) == 1)
        async with streaming(gateway.client(hub.user("cleo"))) as mine:
            assert mine.headers["content-type"].startswith("text/event-stream")
            lines = mine.aiter_lines()
            assert await anext(lines) == ": queued position=2 ahead=1"
            gated_model.release(6)
            await first.aread()
            assert [await anext(lines), await anext(lines)] == ["", ": queued position=1 ahead=0"]
            gated_model.release_all()
            await before


async def test_who_is_admitted_at_once_gets_the_model_servers_own_status(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    model.use("too_long")
    answer = await ask(gateway, hub.user("ann"), stream=True)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "input_tokens"
    (end,) = await gateway.ends()
    assert (end.status, end.outcome, end.error_code, end.prompt) == (400, "refused", "model_400", 0)


async def test_a_refusal_after_the_wait_is_an_event_with_its_status(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    async with streaming(gateway.client(hub.user("ann"))) as first:
        async with streaming(gateway.client(hub.user("ben"))) as mine:
            lines = mine.aiter_lines()
            assert (await anext(lines)).startswith(": queued")
            gated_model.use("too_long")
            gated_model.release_all()
            await first.aread()
            rest = "\n".join([line async for line in lines])
    error, done = events(rest.lstrip("\n"))
    assert error["error"]["code"] == 400 and error["error"]["param"] == "input_tokens" and done == "[DONE]"


async def test_whoever_does_not_stream_waits_in_silence(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    async with streaming(gateway.client(hub.user("ann"))) as first:
        mine = asyncio.create_task(ask(gateway, hub.user("ben"), text="mine"))
        await until(lambda: waiting(gateway) == 1)
        gated_model.release_all()
        await first.aread()
        assert (await mine).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_a_wait_that_gets_too_long_ends(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM, stream: bool
) -> None:
    gateway = await make_gateway(**ONE_PLACE, CELLAR_MAX_WAIT="1")
    async with streaming(gateway.client(hub.user("ann"))):
        answer = await ask(gateway, hub.user("ben"), stream=stream)
        if stream:
            assert answer.status_code == 200
            assert events(answer.text)[-2]["error"]["code"] == 503 and events(answer.text)[-1] == "[DONE]"
        else:
            assert answer.status_code == 503 and answer.json()["error"]["code"] == "queue_full"
        with pytest.raises(QueueFull):
            async for _ in gateway.cellar(hub.user("ben")).stream_chat(question()):
                pass
        assert waiting(gateway) == 0
        await until(lambda: not gateway.house.books.pending)
    assert {end.error_code for end in await gateway.ends()} == {"queue_full", ""}
    assert await gateway.left_open() == (0, 0)


async def test_one_user_with_fifty_questions_delays_another_by_one_place_at_most(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM
) -> None:
    gateway = await make_gateway(policy=ROOMY, CELLAR_MAX_INFLIGHT="2")
    greedy, modest = hub.user("greedy"), hub.user("modest")
    gated_model.use(Scenario(text="done", gated=True))
    many = [asyncio.create_task(ask(gateway, greedy, text=f"g{n}", stream=True)) for n in range(50)]
    await until(lambda: waiting(gateway) == 48 and gated_model.waiting == 2)
    one = asyncio.create_task(ask(gateway, modest, text="modest", stream=True))
    await until(lambda: waiting(gateway) == 49)
    for asked in (3, 4):  # a place at a time: at most one of the greedy one's questions goes between
        gated_model.release()
        await until(lambda: len(gated_model.requests) == asked and gated_model.waiting == 2)  # noqa: B023
    assert "modest" in [exchange.body["messages"][0]["content"] for exchange in gated_model.requests]
    gated_model.release_all()
    assert said((await one).content) == "done"
    await asyncio.gather(*many)
    assert max_at_once(gated_model) <= 2


async def test_an_answer_in_one_piece_counts_for_the_order_like_a_streamed_one(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    ann, ben = hub.user("ann"), hub.user("ben")
    await ask(gateway, ben, text="word " * 120)  # its prompt counts 200, its answer about 500
    model.use(Scenario(words=2000))
    await ask(gateway, ann, text="short", stream=False)
    model.use("gated")
    async with streaming(gateway.client(hub.user("cleo"))) as first:
        others = []
        for name, token in (("ann", ann), ("ben", ben)):
            others.append(asyncio.create_task(ask(gateway, token, text=name)))
            await until(lambda: waiting(gateway) == len(others))
        model.use("echo")
        model.release_all()
        await first.aread()
        await asyncio.gather(*others)
    assert [exchange.body["messages"][0]["content"] for exchange in model.requests][-2:] == ["ben", "ann"]


async def test_an_answer_in_one_piece_without_its_usage_counts_as_the_longest(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    model.use(Scenario(text="a few words", usage=False))
    assert (await ask(gateway, hub.user("ben"))).status_code == 200
    (end,) = await gateway.ends()
    assert (end.outcome, end.completion, end.estimated) == ("complete", 64, True)


def max_at_once(model: FakeVLLM) -> int:
    """Requests that were at the model server at one moment, as it saw them."""
    moments = [(exchange.received_ns, 1) for exchange in model.requests]
    moments += [(exchange.last_ns, -1) for exchange in model.requests if exchange.last_ns is not None]
    at_once = most = 0
    for _, change in sorted(moments):
        at_once += change
        most = max(most, at_once)
    return most


# -- Stop: the client hangs up ----------------------------------------------------------------------------------------


async def stop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_stop_while_queued_gives_the_place_up_and_asks_nobody(
    hub: Hub, make_gateway: MakeGateway, gated_model: FakeVLLM, stream: bool
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    async with streaming(gateway.client(hub.user("ann"))) as first:
        mine = asyncio.create_task(ask(gateway, hub.user("ben"), stream=stream))
        await until(lambda: waiting(gateway) == 1)
        await stop(mine)
        await until(lambda: waiting(gateway) == 0)
        gated_model.release_all()
        await first.aread()
    ends = {end.outcome: end for end in await gateway.ends()}
    assert ends["stopped"].prompt == ends["stopped"].completion == 0
    assert len(gated_model.requests) == 1
    assert await gateway.left_open() == (0, 0)


@pytest.mark.parametrize("scenario", ["silent", "slow_headers", "slow_prefill"])
@pytest.mark.parametrize("stream", [True, False])
async def test_stop_while_prefilling_frees_the_model_server(
    hub: Hub, gateway: Gateway, model: FakeVLLM, scenario: str, stream: bool
) -> None:
    model.use(scenario)
    mine = asyncio.create_task(ask(gateway, hub.user("ben"), stream=stream))
    await model.until(lambda m: m.running == 1)
    await stop(mine)
    await model.until(lambda m: m.aborted == 1)
    await until(lambda: running(gateway) == 0)
    (end,) = await gateway.ends()
    longest = 0 if stream else 64  # of an answer in one piece nobody sees how far it came
    assert (end.outcome, end.estimated, end.completion) == ("stopped", True, longest) and end.prompt > 0
    assert await gateway.left_open() == (0, 0)


async def test_stop_while_streaming_frees_the_model_server_and_counts_what_was_said(
    hub: Hub, gateway: Gateway, gated_model: FakeVLLM
) -> None:
    async with streaming(gateway.client(hub.user("ben"))) as response:
        gated_model.release(3)
        seen = b""
        async for chunk in response.aiter_raw():
            seen += chunk
            if said(seen) == "one two three":
                break
    await gated_model.until(lambda m: m.aborted == 1)
    await until(lambda: running(gateway) == 0)
    (end,) = await gateway.ends()
    assert (end.status, end.outcome, end.estimated, end.completion) == (200, "stopped", True, 3)
    assert end.answer_mac == gateway.house._keys.mac(b"one two three")
    me = (await gateway.client(hub.user("ben")).get("/cellar/v1/me")).json()
    assert me["day"]["spent"]["completion"] == 3
    assert await gateway.left_open() == (0, 0)


async def test_a_place_that_is_freed_goes_to_the_next_at_once(
    hub: Hub, make_gateway: MakeGateway, silent_model: FakeVLLM
) -> None:
    gateway = await make_gateway(**ONE_PLACE)
    first = asyncio.create_task(ask(gateway, hub.user("ann"), stream=True))
    await silent_model.until(lambda m: m.running == 1)
    second = asyncio.create_task(ask(gateway, hub.user("ben"), text="mine"))
    await until(lambda: waiting(gateway) == 1)
    silent_model.use("echo")
    await stop(first)
    assert (await second).json()["choices"][0]["message"]["content"] == "mine"
