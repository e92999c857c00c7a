"""The model client against a real socket: what goes out, what comes in, and what a hang-up does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Literal

import pytest
from cellar import wire
from cellar.client import (
    ChatRequest,
    Delta,
    Finish,
    ModelClient,
    ModelEvent,
    Opened,
    Queued,
    Reasoning,
    UsageSeen,
    make_http,
)
from cellar.errors import ModelFailed, RequestRefused

from tests.core.conftest import ask, everything
from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM, ServerOptions, running


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


class TestWhatGoesOut:
    async def test_only_fields_that_are_set_are_sent(self, model: FakeVLLM, client: ModelClient) -> None:
        await everything(client)
        assert model.requests[0].body == {
            "model": "fake-coder",
            "messages": [{"role": "user", "content": "Why?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def test_set_fields_and_extra_ones_are_sent_and_nulls_never(
        self, model: FakeVLLM, client: ModelClient
    ) -> None:
        extra = {"chat_template_kwargs": {"enable_thinking": False}, "seed": None, "top_k": 5}
        await everything(client, ask(max_tokens=7, temperature=0.0, stop=["END"], extra=extra))
        body = model.requests[0].body
        assert (body["max_tokens"], body["temperature"], body["stop"], body["top_k"]) == (7, 0.0, ["END"], 5)
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        assert "seed" not in body and "top_p" not in body

    async def test_the_key_travels_as_bearer_and_headers_are_added(self) -> None:
        with running(ServerOptions(api_key="s3cret")) as model:
            client = ModelClient(make_http(model.url), model.url, "s3cret")
            async for _ in client.stream_chat(ask(), headers={"X-Cellar-Turn": "t1"}):
                pass
            await client.aclose()
            sent = model.requests[0].headers
            assert (sent["authorization"], sent["x-cellar-turn"]) == ("Bearer s3cret", "t1")
            assert sent["accept-encoding"] == "identity"

    async def test_without_a_key_no_authorization_is_sent(self, model: FakeVLLM, client: ModelClient) -> None:
        await everything(client)
        assert "authorization" not in model.requests[0].headers

    async def test_proxy_variables_are_not_followed(
        self, model: FakeVLLM, an_unused_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{an_unused_port}")
        client = ModelClient(make_http(model.url), model.url)
        assert text_of(await everything(client)) == "Why?"
        await client.aclose()

    async def test_a_configured_proxy_is_used(self, model: FakeVLLM) -> None:
        client = ModelClient(make_http("http://elsewhere.invalid/v1", proxy=model.root), "http://elsewhere.invalid/v1")
        with pytest.raises(RequestRefused):
            await client.models()  # the fake got an absolute target, which it does not know
        await client.aclose()
        assert model.connections > 0

    async def test_a_redirect_is_not_followed(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use(Scenario(status=307, headers={"location": model.url + "/chat/completions"}, times=1), Scenario())
        with pytest.raises(RequestRefused, match="redirects"):
            await everything(client)
        assert len(model.requests) == 1


class TestWhatComesIn:
    async def test_an_answer_from_beginning_to_end(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use(Scenario(tokens=["It ", "is ", "42."], prompt_tokens=9, cached_tokens=4))
        events = await everything(client)
        assert events[0] == Opened()
        assert text_of(events) == "It is 42."
        assert events[-2:] == [UsageSeen(prompt=9, completion=3, cached=4), Finish("stop")]

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("piece", [1, 7, None])
    async def test_separators_and_korean_survive_any_cutting(
        self, model: FakeVLLM, client: ModelClient, piece: int | None, newline: Literal["\n", "\r\n", "\r"]
    ) -> None:
        said = "가\u2028나\u2029다\u0085라\x0b마\x1c 😀"
        model.use(Scenario(text=said, piece=piece, newline=newline))
        assert text_of(await everything(client)) == said

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    async def test_thoughts_are_told_apart_from_text(
        self, model: FakeVLLM, client: ModelClient, field: Literal["reasoning", "reasoning_content"]
    ) -> None:
        model.use(Scenario(text="42", reasoning="Six times seven", reasoning_field=field))
        events = await everything(client)
        assert [event for event in events if isinstance(event, Reasoning)] == [Reasoning("Six times seven")]
        assert text_of(events) == "42"

    async def test_tokens_of_one_piece_are_one_delta(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use(Scenario(words=100, batch=100))
        deltas = [event for event in await everything(client) if isinstance(event, Delta)]
        assert len(deltas) == 1 and deltas[0].text.startswith("w0 w1 w2")

    async def test_keep_alive_comments_say_nothing(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use("keep_alive")
        assert text_of(await everything(client)) == "still here"

    async def test_the_queue_is_told_before_the_answer_opens(
        self, model: FakeVLLM, gateway_client: ModelClient
    ) -> None:
        model.use(Scenario(text="hi", queue=[(3, 5), (1, 0)]))
        events = await everything(gateway_client)
        assert events[:4] == [Queued(3, 5), Queued(1, 0), Opened(), Delta("hi")]

    async def test_length_is_said(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use("length")
        assert (await everything(client))[-1] == Finish("length")

    @pytest.mark.parametrize("trouble", ["cut", "no_done"])
    async def test_an_answer_that_breaks_off_keeps_its_text_and_finishes_without_reason(
        self, model: FakeVLLM, client: ModelClient, trouble: str
    ) -> None:
        model.use(trouble)
        events = await everything(client)
        assert text_of(events).startswith("this answer")
        assert events[-1] == Finish(None)

    async def test_an_answer_the_server_aborted_has_no_reason(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use(Scenario(text="half", finish="abort"))
        assert (await everything(client))[-1] == Finish(None)
        with pytest.raises(ModelFailed, match="broke the answer off"):
            await client.chat(ask())

    @pytest.mark.parametrize(("finish", "done"), [("stop", False), (None, True)])
    async def test_a_finish_reason_or_done_is_enough_for_an_end(
        self, model: FakeVLLM, client: ModelClient, finish: str | None, done: bool
    ) -> None:
        model.use(Scenario(text="whole", finish=finish, done=done))
        assert (await everything(client))[-1] == Finish("stop")

    async def test_a_whole_answer_without_streaming(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use(Scenario(text="It is 42."))
        assert await client.chat(ask(max_tokens=5)) == "It is 42."
        assert "stream" not in model.requests[0].body

    async def test_connections_are_kept_for_the_next_question(self, model: FakeVLLM, client: ModelClient) -> None:
        before = model.connections
        for _ in range(3):
            await everything(client)
        assert model.connections == before + 1

    async def test_an_endless_line_is_an_error_and_not_all_of_memory(
        self, model: FakeVLLM, client: ModelClient
    ) -> None:
        model.use(Scenario(tokens=["x" * 9_000_000]))
        with pytest.raises(ModelFailed, match="more than"):
            await everything(client)
        await model.until(lambda m: m.running == 0)

    async def test_streams_run_side_by_side(self, model: FakeVLLM, client: ModelClient) -> None:
        model.use("gated")
        streams = [asyncio.create_task(everything(client)) for _ in range(8)]
        await model.until(lambda m: m.waiting == 8)
        model.release_all()
        assert [text_of(events) for events in await asyncio.gather(*streams)] == ["one two three four five six"] * 8


class TestHangingUp:
    async def test_closing_the_iterator_closes_the_upstream_socket(
        self, gated_model: FakeVLLM, client: ModelClient
    ) -> None:
        async with aclosing(client.stream_chat(ask())) as events:
            assert await anext(events) == Opened()
            gated_model.release()
            assert await anext(events) == Delta("one")
        await gated_model.until(lambda m: m.aborted == 1)
        assert gated_model.requests[0].fin_ns is not None
        assert gated_model.requests[0].sent == 1

    @pytest.mark.parametrize("trouble", ["gated", "slow_prefill", "slow_headers", "silent", "queued"])
    async def test_cancelling_the_reader_closes_it_at_any_stage(
        self, model: FakeVLLM, client: ModelClient, trouble: str
    ) -> None:
        model.use(trouble)
        reader = asyncio.create_task(everything(client))
        await model.until(lambda m: m.running == 1 and (m.waiting == 1 or trouble == "silent"))
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await model.until(lambda m: m.aborted == 1 and m.running == 0)

    async def test_leaving_at_finish_is_no_abort_and_keeps_the_connection(
        self, model: FakeVLLM, client: ModelClient
    ) -> None:
        before = model.connections
        for _ in range(3):
            async with aclosing(client.stream_chat(ask())) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        break
        await model.until(lambda m: m.finished == 3)
        assert (model.aborted, model.connections) == (0, before + 1)

    async def test_a_hang_up_leaves_other_streams_alone(self, gated_model: FakeVLLM, client: ModelClient) -> None:
        first, second = (asyncio.create_task(everything(client)) for _ in range(2))
        await gated_model.until(lambda m: m.waiting == 2)
        first.cancel()
        await gated_model.until(lambda m: m.aborted == 1)
        gated_model.release_all()
        assert text_of(await second) == "one two three four five six"


class TestWhatTheServerIs:
    async def test_models_of_vllm(self, client: ModelClient) -> None:
        assert await client.models() == [wire.Model(id="fake-coder", context_length=32768, tokenizer=True)]

    async def test_models_of_llama_cpp(self, a_llama: FakeVLLM) -> None:
        client = ModelClient(make_http(a_llama.url), a_llama.url)
        assert await client.models() == [wire.Model(id="tiny", context_length=8192, vision=False, tokenizer=False)]
        assert await client.health() == wire.ModelServer(state="up", tiny=True)
        await client.aclose()

    async def test_tokens_are_counted_at_the_root_not_below_v1(self, model: FakeVLLM, client: ModelClient) -> None:
        assert await client.count_tokens("fake-coder", text="one two three") == 3
        assert await client.count_tokens("fake-coder", messages=[{"role": "user", "content": "one two"}]) == 10
        assert model.counted == [
            {"model": "fake-coder", "prompt": "one two three", "add_special_tokens": False},
            {
                "model": "fake-coder",
                "messages": [{"role": "user", "content": "one two"}],
                "add_generation_prompt": True,
            },
        ]

    async def test_a_server_without_tokenizer_counts_nothing(self, model: FakeVLLM, client: ModelClient) -> None:
        model.options.tokenizer = False
        assert await client.count_tokens("fake-coder", text="one") is None
        assert (await client.models())[0].tokenizer is False

    async def test_a_server_without_the_route_counts_nothing(self, model: FakeVLLM) -> None:
        client = ModelClient(make_http(model.url), model.root + "/nowhere/v1")
        assert await client.count_tokens("fake-coder", text="one") is None
        await client.aclose()

    async def test_health_is_up_loading_or_down(self, a_llama: FakeVLLM) -> None:
        client = ModelClient(make_http(a_llama.url), a_llama.url)
        assert (await client.health()).state == "up"
        a_llama.options.health = 503
        assert (await client.health()).state == "loading"
        a_llama.stop()
        assert (await client.health()).state == "down"
        await client.aclose()

    async def test_health_of_a_gateway_is_its_list_of_models(
        self, model: FakeVLLM, gateway_client: ModelClient
    ) -> None:
        model.options.health = 500
        assert (await gateway_client.health()).state == "up"


@pytest.fixture
async def a_llama() -> AsyncIterator[FakeVLLM]:
    """As llama.cpp answers."""
    with running(ServerOptions(llama=True, models=["tiny"], max_model_len=8192)) as fake:
        yield fake


async def test_the_http_client_is_made_at_the_first_request(model: FakeVLLM) -> None:
    made: list[object] = []

    def make() -> object:
        made.append(make_http(model.url))
        return made[-1]

    client = ModelClient(make, model.url)  # type: ignore[arg-type]
    assert made == []
    await everything(client)
    await everything(client)
    assert len(made) == 1
    await client.aclose()


def test_importing_the_client_does_not_import_httpx() -> None:
    """httpx costs some 100 ms, which a Jupyter server's start must not pay."""
    code = "import sys, cellar.client, cellar.settings; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_http_client_is_bounded_and_its_sockets_expire_before_the_servers() -> None:
    http = make_http("http://127.0.0.1:1/v1")
    assert http.timeout.as_dict() == {"connect": 5.0, "read": 300.0, "write": 30.0, "pool": 10.0}
    assert http.trust_env is False and http.follow_redirects is False
    pool = http._transport._pool  # type: ignore[attr-defined]
    assert pool._max_connections == 32 and pool._keepalive_expiry < 5.0


def test_a_request_is_a_frozen_value() -> None:
    request = ChatRequest(model="m", messages=[])
    with pytest.raises(AttributeError):
        request.model = "other"  # type: ignore[misc]
