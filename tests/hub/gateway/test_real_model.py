"""Through the gateway to a real model: llama.cpp with the embedded one."""

from __future__ import annotations

import httpx
import pytest
from cellar.chat import ChatRequest, Delta, Finish, UsageSeen
from cellar.errors import ContextTooLong
from cellar_hub.audit.rows import Opened

from tests.core.test_real_model import a_real_model
from tests.hub.gateway.conftest import MakeGateway, said
from tests.hub.jupyter import Hub

__all__ = ["a_real_model"]  # a fixture
pytestmark = pytest.mark.real_model


async def test_a_real_model_answers_through_the_gateway(hub: Hub, make_gateway: MakeGateway, a_real_model: str) -> None:
    gateway = await make_gateway(VLLM_BASE_URL=a_real_model)
    client = gateway.cellar(hub.user("ann"))
    (model,) = await client.models()
    assert model.context_length >= 2048 and not model.tokenizer
    messages = [{"role": "user", "content": "Say hello."}]
    request = ChatRequest(model=model.id, messages=messages, max_tokens=8, temperature=0.0)
    events = [event async for event in client.stream_chat(request)]
    text = "".join(event.text for event in events if isinstance(event, Delta))
    usage = next(event for event in events if isinstance(event, UsageSeen))
    assert text and isinstance(events[-1], Finish)
    whole = await client.chat(request)
    first, second = await gateway.ends()
    assert (first.prompt, first.completion, first.estimated) == (usage.prompt, usage.completion, False)
    assert whole == text and first.answer_mac == second.answer_mac == gateway.house._keys.mac(text.encode())


async def test_its_answers_are_of_512_tokens_at_most_whatever_is_asked_for(
    hub: Hub, make_gateway: MakeGateway, a_real_model: str
) -> None:
    gateway = await make_gateway("[default]\nmax_tokens = 3000\n", VLLM_BASE_URL=a_real_model)
    plain: httpx.AsyncClient = gateway.client(hub.user("ann"))
    (model,) = await gateway.cellar(hub.user("ann")).models()
    for wish in ({}, {"max_tokens": 2000}):
        body = {"model": model.id, "messages": [{"role": "user", "content": "Say yes."}], "stop": [" "], **wish}
        assert (await plain.post("/v1/chat/completions", json=body)).status_code == 200
    asked = [row.max_tokens for row in await gateway.rows() if isinstance(row, Opened)]
    assert asked == [512, 512]


async def test_its_refusals_and_its_usage_pass_as_they_should(
    hub: Hub, make_gateway: MakeGateway, a_real_model: str
) -> None:
    gateway = await make_gateway(VLLM_BASE_URL=a_real_model)
    client = gateway.cellar(hub.user("ann"))
    (model,) = await client.models()
    long = ChatRequest(model=model.id, messages=[{"role": "user", "content": "word " * 20_000}], max_tokens=8)
    with pytest.raises(ContextTooLong):
        [event async for event in client.stream_chat(long)]
    body = {"model": model.id, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "stream": True}
    plain: httpx.AsyncClient = gateway.client(hub.user("ann"))
    answer = await plain.post("/v1/chat/completions", json=body)
    assert said(answer.content) and '"choices":[]' not in answer.text  # nobody asked for the usage
    assert [end.outcome for end in await gateway.ends()] == ["refused", "length"]


async def test_no_other_name_of_max_tokens_gets_more_of_it(
    hub: Hub, make_gateway: MakeGateway, a_real_model: str
) -> None:
    """llama.cpp lets `n_predict` override `max_tokens`, and `n_cmpl` answer more than once."""
    gateway = await make_gateway(VLLM_BASE_URL=a_real_model, policy="[default]\nmax_tokens = 4")
    plain = gateway.client(hub.user("ann"))
    (model,) = await gateway.cellar(hub.user("ann")).models()
    body = {"model": model.id, "n_predict": 64, "n_cmpl": 2, "max_tokens": 64, "temperature": 0.0}
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    for path, asked in (("chat/completions", chat), ("completions", {"prompt": "one two three"})):
        answer = (await plain.post(f"/v1/{path}", json=body | asked)).json()
        assert answer["usage"]["completion_tokens"] <= 4 and len(answer["choices"]) == 1
