"""A question is asked again only where it cannot have been taken, and by one layer only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest
from cellar.client import NO_RETRIES, ModelClient, RetryPolicy, make_http
from cellar.errors import ModelFailed, ModelServerDown, ModelServerError, ModelTimeout, QueueFull

from tests.core.conftest import AT_ONCE, ask, everything
from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM

BUSY = Scenario(status=503, times=1)


@dataclass(frozen=True)
class Noted(RetryPolicy):
    """Notes the attempts that failed; does something after the second."""

    base: float = 0.0
    asked: list[int] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def delay(self, attempt: int, retry_after: float | None = None) -> float | None:
        self.asked.append(attempt)
        if attempt == 1:
            self.meanwhile()
        return super().delay(attempt, retry_after)


async def ended(client: ModelClient) -> str:
    """How the request ended: the class of its failure, or the answer's end."""
    try:
        return repr((await everything(client))[-1])
    except (ModelFailed, ModelServerDown, ModelTimeout, QueueFull) as error:
        return type(error).__name__


@pytest.mark.parametrize("gateway", [False, True])
async def test_a_refused_connection_is_tried_twice_again(an_unused_port: int, gateway: bool) -> None:
    url, policy = f"http://127.0.0.1:{an_unused_port}/v1", Noted()
    client = ModelClient(make_http(url), url, retries=policy, gateway=gateway)
    assert await ended(client) == "ModelServerDown"
    assert policy.asked == [0, 1, 2]
    await client.aclose()


async def test_a_request_that_never_left_says_so(an_unused_port: int) -> None:
    url = f"http://127.0.0.1:{an_unused_port}/v1"
    client = ModelClient(make_http(url), url, retries=NO_RETRIES)
    with pytest.raises(ModelServerDown) as failed:
        await everything(client)
    assert failed.value.detail["unsent"] == 1
    await client.aclose()


@pytest.mark.parametrize("answer", [Scenario(status=429), Scenario(status=500), Scenario(close_before_answer=True)])
async def test_a_request_that_was_refused_did_leave(model: FakeVLLM, client: ModelClient, answer: Scenario) -> None:
    model.use(answer)
    with pytest.raises(ModelServerError) as failed:
        await everything(client)
    assert "unsent" not in failed.value.detail


async def test_a_question_that_had_left_before_its_server_went_did_leave(an_unused_port: int) -> None:
    model, url = FakeVLLM(), f"http://127.0.0.1:{an_unused_port}/v1"
    model.start(an_unused_port)
    model.use(Scenario(status=503))
    client = ModelClient(make_http(url), url, retries=Noted(retries=3, meanwhile=model.stop))
    with pytest.raises(ModelServerDown) as failed:
        await everything(client)
    assert "unsent" not in failed.value.detail
    await client.aclose()


async def test_a_server_that_comes_up_meanwhile_answers(an_unused_port: int) -> None:
    model, url = FakeVLLM(), f"http://127.0.0.1:{an_unused_port}/v1"
    client = ModelClient(make_http(url), url, retries=Noted(meanwhile=lambda: model.start(an_unused_port)))
    assert await ended(client) == "Finish(reason='stop')"
    await client.aclose()
    model.stop()


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_status_without_a_body_is_asked_again(model: FakeVLLM, client: ModelClient, status: int) -> None:
    model.use(Scenario(status=status, times=1), Scenario())
    assert await ended(client) == "Finish(reason='stop')"
    assert len(model.requests) == 2


async def test_twice_at_most(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(status=503))
    assert await ended(client) == "ModelFailed"
    assert len(model.requests) == 3


async def test_a_status_with_a_body_is_an_answer(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(status=503, body={"error": {"message": "no", "code": 503}}))
    assert await ended(client) == "ModelFailed"
    assert len(model.requests) == 1


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_other_statuses_are_never_asked_again(model: FakeVLLM, client: ModelClient, status: int) -> None:
    model.use(Scenario(status=status))
    with pytest.raises(Exception, match=r"\w"):
        await everything(client)
    assert len(model.requests) == 1


async def test_a_gateway_retries_by_itself(model: FakeVLLM, gateway_client: ModelClient) -> None:
    model.use(BUSY, Scenario())
    assert await ended(gateway_client) == "ModelFailed"
    assert len(model.requests) == 1


async def test_a_short_retry_after_is_honoured(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(status=503, headers={"retry-after": "0.01"}, times=1), Scenario())
    assert await ended(client) == "Finish(reason='stop')"


async def test_a_long_retry_after_is_the_persons_to_wait_for(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(status=503, headers={"retry-after": "60"}))
    with pytest.raises(QueueFull) as refused:
        await everything(client)
    assert refused.value.retry_after == 60
    assert len(model.requests) == 1


async def test_a_kept_socket_that_closed_before_a_byte_is_replaced(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(times=1), Scenario(close_before_answer=True, times=1), Scenario())
    assert await ended(client) == "Finish(reason='stop')"
    assert await ended(client) == "Finish(reason='stop')"
    await model.until(lambda it: it.running == 0)
    assert [request.outcome for request in model.requests] == ["finished", "cut", "finished"]


async def test_a_kept_socket_that_closed_says_nothing_of_the_servers_health(
    model: FakeVLLM, client: ModelClient
) -> None:
    """vLLM closes a connection behind an answer of 500."""
    for cuts, state in ((0, "up"), (1, "up"), (2, "down")):
        assert await ended(client) == "Finish(reason='stop')"  # and its socket is kept
        model.options.cuts_health = cuts
        assert (await client.health()).state == state


async def test_a_new_socket_that_closed_may_have_taken_the_question(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(close_before_answer=True))
    assert await ended(client) == "ModelFailed"
    assert len(model.requests) == 1


async def test_towards_a_gateway_a_kept_socket_is_not_replaced(model: FakeVLLM, gateway_client: ModelClient) -> None:
    model.use(Scenario(times=1), Scenario(close_before_answer=True, times=1), Scenario())
    assert await ended(gateway_client) == "Finish(reason='stop')"
    assert await ended(gateway_client) == "ModelFailed"
    assert len(model.requests) == 2


@pytest.mark.parametrize("trouble", ["silent", "slow_headers", "slow_prefill", "gated"])
async def test_silence_is_a_time_out_and_never_asked_again(model: FakeVLLM, trouble: str) -> None:
    model.use(trouble)
    client = ModelClient(make_http(model.url, read_timeout=0.05), model.url, retries=AT_ONCE)
    with pytest.raises(ModelTimeout):
        await everything(client)
    await model.until(lambda m: m.aborted == 1)
    assert len(model.requests) == 1
    await client.aclose()


async def test_a_full_pool_says_so(gated_model: FakeVLLM) -> None:
    http = make_http(gated_model.url, max_connections=1)
    http.timeout = httpx.Timeout(5.0, pool=0.01)
    client = ModelClient(http, gated_model.url, retries=NO_RETRIES)
    running = asyncio.create_task(everything(client))
    await gated_model.until(lambda m: m.waiting == 1)
    with pytest.raises(QueueFull):
        await everything(client, ask())
    gated_model.release_all()
    await running
    await client.aclose()


def test_delays_grow_up_to_their_cap_and_are_jittered() -> None:
    policy = RetryPolicy(retries=8, base=0.2, cap=2.0)
    drawn = [[policy.delay(attempt) or 0.0 for _ in range(200)] for attempt in range(8)]
    assert all(0 <= delay <= min(2.0, 0.2 * 2**attempt) for attempt, row in enumerate(drawn) for delay in row)
    assert len(set(drawn[3])) > 100
    assert policy.delay(8) is None
    assert policy.delay(0, retry_after=3.0) == 3.0
    assert policy.delay(0, retry_after=policy.max_wait + 1) is None
    assert NO_RETRIES.delay(0) is None
