"""The openai package and plain HTTP, unchanged: at the gateway's own address, and through the hub's proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from tests.fakes.fixtures import unused_port
from tests.fakes.vllm import FakeVLLM, Scenario
from tests.hub import jupyter
from tests.hub.gateway import process
from tests.hub.gateway.conftest import Gateway, MakeGateway, events, said
from tests.hub.jupyter import Hub

MESSAGES: Any = [{"role": "user", "content": "one two three"}]


async def exercise(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["fake-coder"]
    whole = await client.chat.completions.create(model="fake-coder", messages=MESSAGES, max_tokens=20)
    assert whole.choices[0].message.content == "one two three"
    assert whole.usage is not None and whole.usage.completion_tokens == 3
    text = ""
    stream = await client.chat.completions.create(model="fake-coder", messages=MESSAGES, stream=True)
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""  # fails when the usage event is shown unasked
    assert text == "one two three"
    vectors = await client.embeddings.create(model="fake-coder", input="x", encoding_format="float")
    assert len(vectors.data) == 1


async def test_the_openai_client_works_unchanged(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=hub.user("ann")) as client:
        await exercise(client)


async def test_the_openai_client_understands_our_refusals(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    gateway = await make_gateway(policy="[default]\ntokens_per_day = 10\n")
    url = gateway.url + "/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="forged", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with openai.AsyncOpenAI(base_url=url, api_key=hub.user("ann"), max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="nonsense", messages=MESSAGES)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.RateLimitError) as full:
            await client.chat.completions.create(model="fake-coder", messages=MESSAGES, max_tokens=1000)
        assert full.value.code == "quota_exceeded"
    await gateway.stop()
    model.use("error_in_stream")
    gateway = await make_gateway(policy="[default]")
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=hub.user("ann"), max_retries=0) as client:
        stream = await client.chat.completions.create(model="fake-coder", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


@pytest_asyncio.fixture
async def proxied(model: FakeVLLM, tmp_path: Path) -> AsyncIterator[tuple[Hub, process.GatewayProcess]]:
    """A hub behind configurable-http-proxy, and the gateway as its service."""
    if not jupyter.proxy_command():
        pytest.skip("configurable-http-proxy is not installed, and there is no npm to install it")
    home = tmp_path / "hub"
    home.mkdir()
    hub = Hub(home, proxy=True, gateway_url=f"http://127.0.0.1:{unused_port()}")
    env = {
        "VLLM_BASE_URL": model.url,
        "CELLAR_DATA": str(tmp_path / "data"),
        "CELLAR_HUB_API_URL": hub.api,
        "CELLAR_GATEWAY_TOKEN": hub.gateway_token,
        "CELLAR_STOP_GRACE": "0",
        "CELLAR_GATEWAY_LISTEN": hub.gateway_url.removeprefix("http://"),
    }
    with process.running(env, tmp_path / "log") as gateway:
        await asyncio.to_thread(hub.start)
        try:
            yield hub, gateway
        finally:
            await asyncio.to_thread(hub.close)


async def test_the_same_clients_work_through_the_hubs_proxy(
    proxied: tuple[Hub, process.GatewayProcess], model: FakeVLLM
) -> None:
    hub, _ = proxied
    url = hub.public + "/services/cellar/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=hub.user("ann")) as client:
        await exercise(client)
    model.use("gated")
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {hub.user('ann')}"}, timeout=30) as http:
        body = {"model": "fake-coder", "messages": MESSAGES, "stream": True}
        model.release(1)  # the proxy hands the head on with the first byte
        async with http.stream("POST", url + "/chat/completions", json=body) as response:
            seen = b""
            async for chunk in response.aiter_raw():
                seen += chunk
                if said(seen) == "one":
                    break  # the first token came before the second was said: nothing buffers
    await model.until(lambda m: m.aborted == 1)


async def test_an_answer_that_is_cut_off_ends_with_an_error_behind_the_proxy_too(
    proxied: tuple[Hub, process.GatewayProcess], model: FakeVLLM
) -> None:
    """The proxy does not pass on that its upstream broke off: a client would wait for ever."""
    hub, _ = proxied
    model.use(Scenario(text="this answer breaks off here", cut_after=4, gated=True))
    model.release(3)
    headers = {"authorization": f"Bearer {hub.user('ann')}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        body = {"model": "fake-coder", "messages": MESSAGES, "stream": True}
        async with http.stream("POST", hub.public + "/services/cellar/v1/chat/completions", json=body) as answer:
            seen = b""
            async for chunk in answer.aiter_raw():
                seen += chunk
                if said(seen) == "this answer breaks":
                    model.release_all()
    *_, error, done = events(seen)
    assert (error["error"]["type"], done) == ("model_failed", "[DONE]")
