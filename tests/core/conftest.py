"""A client of the fake model server, closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cellar.client import ChatRequest, ModelClient, ModelEvent, RetryPolicy, make_http

from tests.fakes.vllm import FakeVLLM

AT_ONCE = RetryPolicy(retries=2, base=0.0)
"""Retries as in earnest, without the waiting."""


def ask(text: str = "Why?", **fields: Any) -> ChatRequest:
    return ChatRequest(model="fake-coder", messages=[{"role": "user", "content": text}], **fields)


async def everything(client: ModelClient, request: ChatRequest | None = None) -> list[ModelEvent]:
    return [event async for event in client.stream_chat(request or ask())]


@pytest.fixture
async def client(model: FakeVLLM) -> AsyncIterator[ModelClient]:
    made = ModelClient(make_http(model.url), model.url, retries=AT_ONCE)
    yield made
    await made.aclose()


@pytest.fixture
async def gateway_client(model: FakeVLLM) -> AsyncIterator[ModelClient]:
    """The fake behind it plays Cellar's gateway."""
    made = ModelClient(make_http(model.url), model.url, retries=AT_ONCE, gateway=True)
    yield made
    await made.aclose()
