"""A vLLM in trouble: told to stop, without a chat template, without room. The fake's troubles are these, word for word.

Each real one here is a server of its own, half a minute and more: `make test-long`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cellar.chat import ChatRequest, Delta, Finish
from cellar.errors import ModelServerDown, RequestRefused

from tests.fakes import openai
from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import wait_until
from tests.vllm.contract.conftest import CONTEXT, OPTIONS, Served, serving, vllm_running
from tools import vllm_cpu

pytestmark = pytest.mark.timeout(400)
REAL = pytest.param("vllm", marks=pytest.mark.long)
Mortal = tuple[Served, Callable[[], None]]


def asked(served: Served, text: str = "Say hello.", **more: object) -> ChatRequest:
    fields: dict[str, object] = {"max_tokens": 8, **more}
    return ChatRequest(model=served.model, messages=[{"role": "user", "content": text}], **fields)  # type: ignore[arg-type]


@pytest.fixture(params=["fake", REAL])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mortal]:
    """A server, and what tells it to stop."""
    if request.param == "fake":
        fake: FakeVLLM = request.getfixturevalue("model")
        fake.use(Scenario(words=300, rate=100))

        def stop() -> None:
            fake.options.stopping = True

        yield Served(fake.root, fake.options.models[0], fake.options.max_model_len), stop
    else:
        with vllm_running(tmp_path) as served:
            assert served.process is not None
            yield served, served.process.terminate


async def test_told_to_stop_it_ends_what_is_under_way_and_takes_nothing_new_but_says_that_it_is_well(
    mortal: Mortal,
) -> None:
    served, stop = mortal
    client = served.client()
    long = asked(served, "Tell me a very long story.", max_tokens=1000, extra={"ignore_eos": True})
    stream = client.stream_chat(long)
    while not isinstance(await anext(stream), Delta):
        pass
    stop()
    await asyncio.to_thread(wait_until, lambda: served.chat().status_code == 500, "a refusal")
    answer = await asyncio.to_thread(served.chat)
    assert answer.json() == openai.error_body(openai.STOPPING, "InternalServerError", 500)
    with pytest.raises(ModelServerDown) as stopped:
        [event async for event in client.stream_chat(asked(served))]
    assert stopped.value.detail["why"] == "stopped"
    assert (await client.health()).state == "up"
    assert [event async for event in stream][-1] == Finish("length" if served.process else "stop")
    await client.aclose()
    if served.process is not None:
        assert await asyncio.to_thread(served.process.wait, 60) == 0


@pytest.fixture(params=["fake", REAL])
def base_model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """It completes text, and has no template for a conversation."""
    if request.param == "fake":
        fake: FakeVLLM = request.getfixturevalue("model")
        fake.options.chat_template = False
        yield Served(fake.root, fake.options.models[0], fake.options.max_model_len)
        return
    if not vllm_cpu.there():
        pytest.skip("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    weights = tmp_path / "base"
    weights.mkdir()
    for file in vllm_cpu.weights().iterdir():
        if file.name not in ("chat_template.jinja", "tokenizer_config.json"):
            (weights / file.name).symlink_to(file)
    settings = json.loads((vllm_cpu.weights() / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (weights / "tokenizer_config.json").write_text(json.dumps(settings))
    options = ["--gpu=8", "--role=completion", f"--context={CONTEXT}", "--", *OPTIONS]
    env = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    with serving(tmp_path, vllm_cpu.python(), weights, options, CONTEXT, env) as served:
        yield served


async def test_a_base_model_refuses_to_chat_and_to_count_a_conversation_and_completes_text(base_model: Served) -> None:
    said = base_model.chat()
    assert (said.status_code, said.json()) == (400, openai.no_template())
    counted = base_model.post("/tokenize", messages=[{"role": "user", "content": "x"}])
    assert (counted.status_code, counted.json()) == (400, openai.no_template())
    client = base_model.client()
    with pytest.raises(RequestRefused) as refused:
        [event async for event in client.stream_chat(asked(base_model))]
    assert refused.value.detail["why"] == "no_chat_template"
    (model,) = await client.models()
    assert model.tokenizer
    await client.aclose()
    assert base_model.post("/v1/completions", prompt="def add(a, b):", max_tokens=4).status_code == 200


@pytest.mark.long
def test_a_context_that_does_not_fit_ends_the_start_in_plain_words_and_for_good(tmp_path: Path) -> None:
    words = (
        r"vLLM ended with 2:\n[\s\S]*\ncellar-vllm: vLLM has ended before it served\. A context of 4096 tokens does "
        r"not fit beside the weights; \d+ would: --context \d+, or a larger card\. A new start does not help before"
    )
    with pytest.raises(AssertionError, match=words), vllm_running(tmp_path, "--num-gpu-blocks-override=16"):
        pass
