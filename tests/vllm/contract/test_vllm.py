"""What only a real vLLM shows: its cache, its queue, its grammar, its scheduler."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psutil
import pytest

from tests.vllm.contract.conftest import Served

pytestmark = pytest.mark.timeout(300)

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
TALE = "Tell me a very long story about a lighthouse. " * 8
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
ADD = {"type": "function", "function": {"name": "add", "description": "Adds two numbers.", "parameters": SCHEMA}}


def cached(answer: httpx.Response) -> int:
    count: int = answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    return count


@asynccontextmanager
async def asking(vllm: Served, count: int, text: str = TALE, **fields: Any) -> AsyncIterator[list[asyncio.Task[int]]]:
    """`count` streams that go on until the block ends; each task ends with a status."""
    fields = {"max_tokens": 3000, "ignore_eos": True, "stream": True, **fields}

    async def one(number: int) -> int:
        body = {"model": vllm.model, "messages": [{"role": "user", "content": f"{number} {text}"}], **fields}
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=120, headers=vllm.headers) as http:
            async with http.stream("POST", f"{vllm.url}/chat/completions", json=body) as answer:
                async for _ in answer.aiter_raw():
                    pass
                return answer.status_code

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    try:
        yield tasks
    except AssertionError as error:
        over = [task for task in tasks if task.done() and not task.cancelled()]
        ended = {task.get_name(): task.exception() or task.result() for task in over}
        error.add_note(f"of the {count} streams had ended by themselves: {ended}")
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(vllm.wait_for, RUNNING, 0, 5)


async def reached(vllm: Served, name: str, value: float, seconds: float = 30) -> float:
    return await asyncio.to_thread(vllm.wait_for, name, value, seconds)


# --- cache


def test_a_prompt_that_was_read_before_is_found_in_the_cache_by_whole_blocks(vllm: Served) -> None:
    text = "The cache is asked. " * 60
    first, second = vllm.chat(text), vllm.chat(text)
    assert cached(first) == 0
    prompt = second.json()["usage"]["prompt_tokens"]
    assert prompt - 32 <= cached(second) <= prompt
    assert cached(second) % 32 == 0


def test_a_salt_keeps_one_users_cache_from_another(vllm: Served) -> None:
    text = "Salted. " * 100
    assert cached(vllm.chat(text, cache_salt="ann")) == 0
    assert cached(vllm.chat(text, cache_salt="ben")) == 0
    assert cached(vllm.chat(text, cache_salt="ann")) > 0


# --- stop


async def test_who_leaves_while_the_prompt_is_read_frees_the_server_within_a_second(vllm: Served) -> None:
    async with asking(vllm, 1, "Read all of this. " * 700) as (task,):
        await reached(vllm, RUNNING, 1)
        assert not task.done()
        task.cancel()
        assert await reached(vllm, RUNNING, 0, 5) <= 1


async def test_who_leaves_the_queue_is_never_read(vllm: Served) -> None:
    async with asking(vllm, 17) as tasks:
        await reached(vllm, RUNNING, 16)
        await reached(vllm, WAITING, 1)
        tasks[16].cancel()
        assert await reached(vllm, WAITING, 0, 5) <= 1
        assert vllm.metric(RUNNING) == 16


async def test_past_the_queues_length_it_says_503_before_anything_is_sent(vllm: Served) -> None:
    async with asking(vllm, 24):
        await reached(vllm, RUNNING, 16)
        await reached(vllm, WAITING, 8)
        answer = await asyncio.to_thread(vllm.chat)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == 503
    assert "retry-after" not in answer.headers


# --- priority


@pytest.mark.parametrize(
    ("asked", "headers"),
    [
        ({"priority": 1}, {}),
        ({"priority": 3}, {"X-Vllm-Priority": "1"}),  # why the gateway strips a client's headers
    ],
)
async def test_a_lower_number_overtakes_in_the_queue_and_a_header_counts_more_than_the_body(
    vllm: Served, asked: dict[str, int], headers: dict[str, str]
) -> None:
    """Sixteen run; of two that wait the later, with the lower number, is let in first when one leaves."""
    order: list[str] = []

    async def one(name: str, fields: dict[str, int], headers: dict[str, str]) -> None:
        body = {"model": vllm.model, "messages": [{"role": "user", "content": name}], "max_tokens": 1, **fields}
        async with httpx.AsyncClient(trust_env=False, timeout=120, headers=vllm.headers | headers) as http:
            assert (await http.post(f"{vllm.url}/chat/completions", json=body)).status_code == 200
        order.append(name)

    async with asking(vllm, 16, priority=0) as running:
        await reached(vllm, RUNNING, 16)
        batch = asyncio.create_task(one("batch", {"priority": 2}, {}))
        await reached(vllm, WAITING, 1)
        completion = asyncio.create_task(one("completion", asked, headers))
        await reached(vllm, WAITING, 2)
        running[0].cancel()
        await asyncio.gather(batch, completion)
    assert order == ["completion", "batch"]


@pytest.mark.parametrize("priority", [0, 3])
def test_a_server_without_the_policy_takes_a_priority_and_ignores_it(plain_vllm: Served, priority: int) -> None:
    assert plain_vllm.chat(priority=priority).status_code == 200


# --- grammar


def test_an_answer_follows_a_json_schema(vllm: Served) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}
    answer = vllm.chat("Add two and three.", max_tokens=64, response_format=wanted).json()["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert set(json.loads(answer["message"]["content"])) == {"a", "b"}


def test_guided_json_is_ignored_without_a_word(vllm: Served) -> None:
    """Why we send `response_format`."""
    answer = vllm.chat("Say hello.", guided_json=SCHEMA)
    assert answer.status_code == 200 and not answer.json()["choices"][0]["message"]["content"].startswith("{")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_a_tool_is_called_with_arguments_of_its_schema(vllm: Served, choice: Any) -> None:
    answer = vllm.chat("Add two and three.", max_tokens=64, tools=[ADD], tool_choice=choice).json()["choices"][0]
    (call,) = answer["message"]["tool_calls"]
    assert call["function"]["name"] == "add"
    assert {name: type(value) for name, value in json.loads(call["function"]["arguments"]).items()} == {
        "a": int,
        "b": int,
    }


def test_a_streamed_tool_call_is_named_first_and_its_arguments_come_in_pieces(vllm: Served) -> None:
    text = vllm.chat("Add two and three.", max_tokens=64, tools=[ADD], tool_choice="required", stream=True).text
    chunks = [json.loads(block.removeprefix("data: ")) for block in text.split("\n\n")[:-2]]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert calls[0]["function"]["name"] == "add" and calls[0]["id"]
    assert set(json.loads("".join(call["function"].get("arguments") or "" for call in calls))) == {"a", "b"}


def test_without_the_switch_a_small_model_calls_a_tool_with_anything(plain_vllm: Served) -> None:
    """Why `cellar-vllm serve` sets --tool-strict-level=parameter."""
    asked = {"max_tokens": 64, "tools": [ADD], "tool_choice": "required"}
    answer = plain_vllm.chat("Add two and three.", **asked).json()["choices"][0]["message"]
    calls = answer.get("tool_calls") or []
    assert not calls or not calls[0]["function"]["arguments"].startswith('{"a"')


# --- what it does not have


def test_text_in_the_middle_is_no_field_of_its_own(vllm: Served) -> None:
    answer = vllm.post("/v1/completions", prompt="def add(a, b):", suffix="return c", max_tokens=4)
    assert answer.status_code == 400
    assert "suffix is only supported" in answer.json()["error"]["message"]


def test_a_chat_model_has_no_embeddings(vllm: Served) -> None:
    assert vllm.post("/v1/embeddings", input="x").status_code == 404


@pytest.mark.parametrize("path", ["/invocations", "/generative_scoring", "/detokenize", "/scale_elastic_ep"])
def test_where_it_would_answer_without_its_key_it_is_shut(vllm: Served, path: str) -> None:
    body = {"model": vllm.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    assert httpx.post(vllm.root + path, json=body, trust_env=False).status_code == 404
    assert vllm.post(path, **body).status_code == 404


def test_it_is_started_as_a_dry_run_says(vllm: Served) -> None:
    assert vllm.process is not None
    started = [word for child in psutil.Process(vllm.process.pid).children() for word in child.cmdline()]
    assert started[1:4] == ["-m", "vllm.entrypoints.cli.main", "serve"]


def test_neither_prompt_nor_answer_is_in_its_log(vllm: Served) -> None:
    assert vllm.log is not None
    vllm.chat("The password is sesame-4711.", max_tokens=4)
    vllm.post("/v1/chat/completions", messages="sesame-4711 where a list should be")
    assert "sesame-4711" not in vllm.log.read_text()
