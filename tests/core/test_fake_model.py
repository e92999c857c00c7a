"""The fake model server is as strict as a real one, tells the truth about its clients, and is steered from afar."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from cellar.client import ModelClient

from tests.core.conftest import ask, everything
from tests.fakes import answers
from tests.fakes.fixtures import unused_port
from tests.fakes.scenarios import PRESETS, Scenario
from tests.fakes.vllm import FakeVLLM

HELLO = [{"role": "user", "content": "hello"}]


def post(model: FakeVLLM, path: str, body: Any) -> httpx.Response:
    return httpx.post(model.root + path, json=body, trust_env=False)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "fake-coder", "messages": HELLO, "temperature": None},
        {"model": "fake-coder", "messages": HELLO, "temprature": 1},
        {"model": "fake-coder", "messages": [{"role": "user", "content": "x", "path": "y"}]},
        {"model": "fake-coder", "messages": []},
        {"model": "fake-coder", "messages": [*HELLO, *HELLO]},
        {"model": "fake-coder", "messages": [*HELLO, {"role": "assistant", "content": "hi"}]},
        {"model": "fake-coder", "messages": HELLO, "max_tokens": 0},
    ],
)
def test_unknown_null_and_wrong_fields_are_refused(model: FakeVLLM, body: dict[str, Any]) -> None:
    answer = post(model, "/v1/chat/completions", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400


def test_more_tokens_than_the_model_reads_are_refused_as_vllm_does(model: FakeVLLM) -> None:
    model.options.max_model_len = 20
    body = {"model": "fake-coder", "messages": [{"role": "user", "content": "word " * 30}]}
    message = post(model, "/v1/chat/completions", body).json()["error"]["message"]
    assert re.search(r"maximum context length is 20 tokens.*contains \d+ input tokens", message)


@pytest.mark.parametrize("name", answers.ANSWERS)
def test_tokens_joined_are_the_answer(name: str) -> None:
    assert "".join(answers.to_tokens(answers.ANSWERS[name])) == answers.ANSWERS[name]


def test_generated_answers_have_as_many_tokens_as_asked() -> None:
    assert len(answers.markdown(1560, maths=True)) == 1560
    assert len(answers.words(4000)) == 4000


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"endless_line"}))
async def test_every_preset_can_be_chosen_by_name_and_aborted(model: FakeVLLM, client: ModelClient, name: str) -> None:
    post(model, "/control", {"use": name})
    asked = asyncio.create_task(everything(client))
    await model.until(lambda m: bool(m.requests) and (m.waiting > 0 or m.running == 0 or name == "silent"))
    asked.cancel()
    await asyncio.wait([asked])
    await model.until(lambda m: m.running == 0)


async def test_a_browser_test_can_gate_release_and_watch_over_http(model: FakeVLLM, client: ModelClient) -> None:
    post(model, "/control", {"use": [{"text": "one two", "gated": True}]})
    asked = asyncio.create_task(everything(client))
    async with httpx.AsyncClient(base_url=model.root, trust_env=False) as control:
        state = (await control.get("/control/wait?running=1&waiting=1&requests=1")).json()
        assert state["requests"][0]["body"]["messages"][0]["content"] == "Why?"
        await control.post("/control/release", json={"n": 1})
        await control.post("/control/release", json={"all": True})
        await asked
        request = (await control.get("/control/wait?finished=1")).json()["requests"][0]
        assert request["received_ns"] < request["first_ns"] <= request["last_ns"]
        await control.post("/control/reset")
        assert (await control.get("/control/state")).json()["requests"] == []


def test_a_wish_that_is_none_is_refused_with_the_presets(model: FakeVLLM) -> None:
    assert "gated" in post(model, "/control", {"use": "nonsense"}).json()["presets"]
    assert post(model, "/control", {"use": [{"colour": "red"}]}).status_code == 400


async def test_the_time_of_a_hang_up_is_known(gated_model: FakeVLLM, client: ModelClient) -> None:
    asked = asyncio.create_task(everything(client, ask()))
    await gated_model.until(lambda m: m.waiting == 1)
    asked.cancel()
    await gated_model.until(lambda m: m.aborted == 1)
    request = gated_model.requests[0]
    assert request.fin_ns is not None and request.fin_ns > request.received_ns


async def test_scenarios_follow_each_other(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(text="first", times=1), Scenario(text="second", times=2), Scenario(text="third"))
    said = [await client.chat(ask()) for _ in range(5)]
    assert said == ["first", "second", "second", "third", "third"]


def test_the_command_line_says_when_it_is_ready_and_ends_on_sigterm() -> None:
    port = unused_port()
    command = [sys.executable, "-m", "tests.fakes.vllm", "--port", str(port), "--scenario", "korean", "--rate", "1000"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready http://127.0.0.1:{port}/v1\n"
        models = httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False).json()
        assert models["data"][0]["max_model_len"] == 32768
        process.terminate()
    assert process.returncode == 0
