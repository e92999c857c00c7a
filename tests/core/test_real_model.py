"""The same client against a real server: llama.cpp with a small model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cellar.client import ChatRequest, Delta, Finish, ModelClient, Opened, UsageSeen, make_http
from cellar.errors import ContextTooLong

from tests.fakes.fixtures import unused_port

pytestmark = pytest.mark.real_model
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def a_real_model() -> Iterator[str]:
    free_port = unused_port()
    pytest.importorskip("xllamacpp", reason="the embedded model's server (xllamacpp) is not installed")
    command = [sys.executable, "-m", "tools.embedded_model", "--port", str(free_port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert any("ready" in line for line in process.stdout), "the embedded model did not start"
        yield f"http://127.0.0.1:{free_port}/v1"
        process.terminate()


@pytest.fixture
async def real(a_real_model: str) -> AsyncIterator[ModelClient]:
    client = ModelClient(make_http(a_real_model), a_real_model)
    yield client
    await client.aclose()


async def test_a_real_model_answers_and_says_what_it_is(real: ModelClient) -> None:
    model = (await real.models())[0]
    assert (model.vision, model.tokenizer) == (False, False)
    assert model.context_length >= 2048
    health = await real.health()
    assert (health.state, health.tiny) == ("up", True)
    request = ChatRequest(
        model=model.id, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8, temperature=0.0
    )
    events = [event async for event in real.stream_chat(request)]
    assert events[0] == Opened()
    assert any(isinstance(event, Delta) for event in events)
    assert isinstance(events[-2], UsageSeen) and events[-2].prompt > 0
    assert isinstance(events[-1], Finish) and events[-1].reason in ("stop", "length")
    assert await real.chat(request) != ""


async def test_a_real_model_says_how_much_too_long(real: ModelClient) -> None:
    model = (await real.models())[0]
    request = ChatRequest(model=model.id, messages=[{"role": "user", "content": "word " * 20_000}], max_tokens=8)
    with pytest.raises(ContextTooLong) as refused:
        [event async for event in real.stream_chat(request)]
    assert refused.value.detail["limit"] == model.context_length
    assert int(refused.value.detail["n_prompt"]) > 15_000
