"""What a vLLM does, asked of a real one and of the fake that stands in for it elsewhere: the same cases, one answer."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import pytest
from cellar.chat import ChatRequest, Delta, Finish, Opened, UsageSeen
from cellar.errors import ContextTooLong, Unauthorized

from tests.vllm.contract.conftest import Served

pytestmark = pytest.mark.timeout(300)
LONG = "word " * 6000


def events(answer: httpx.Response) -> list[str]:
    """The data of a stream's events."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    return [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]


def test_a_streamed_answer_begins_with_the_role_and_ends_with_its_reason_its_usage_and_done(served: Served) -> None:
    answer = served.chat(stream=True, stream_options={"include_usage": True})
    *chunks, done = events(answer)
    assert answer.status_code == 200 and done == "[DONE]"
    first, *middle, last = [json.loads(chunk) for chunk in chunks]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in middle)
    assert [chunk["choices"][0]["finish_reason"] for chunk in middle][-1] in ("stop", "length")
    assert last["choices"] == []
    usage = last["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]


def test_no_usage_comes_where_nobody_asked_for_it(served: Served) -> None:
    assert '"choices":[]' not in served.chat(stream=True).text


def test_a_whole_answer_says_what_it_cost(served: Served) -> None:
    answer = served.chat().json()
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["usage"]["completion_tokens"] <= 8
    assert answer["usage"]["prompt_tokens"] > 0


async def test_our_client_reads_it(served: Served) -> None:
    client = served.client()
    (model,) = await client.models()
    assert (model.id, model.context_length, model.tokenizer) == (served.model, served.context, True)
    assert (await client.health()).state == "up"
    messages = [{"role": "user", "content": "Say hello."}]
    request = ChatRequest(model=model.id, messages=messages, max_tokens=8, temperature=0.0)
    seen = [event async for event in client.stream_chat(request)]
    assert seen[0] == Opened()
    assert any(isinstance(event, Delta) for event in seen)
    assert isinstance(seen[-2], UsageSeen) and isinstance(seen[-1], Finish)
    await client.aclose()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_is_too_long_is_refused_before_anything_is_sent(served: Served, stream: bool) -> None:
    answer = served.chat(LONG, stream=stream)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("BadRequestError", "input_tokens", 400)
    assert f"maximum context length is {served.context} tokens" in error["message"]
    client = served.client()
    request = ChatRequest(model=served.model, messages=[{"role": "user", "content": LONG}], max_tokens=8)
    with pytest.raises(ContextTooLong):
        [event async for event in client.stream_chat(request)]
    await client.aclose()


def test_more_tokens_than_there_can_be_are_refused(served: Served) -> None:
    answer = served.chat(max_tokens=served.context + 1)
    assert answer.status_code == 400
    assert "max_tokens" in answer.json()["error"]["message"]


def test_an_unknown_model_is_404_with_its_name(served: Served) -> None:
    answer = served.chat(model="nobody")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("NotFoundError", "model", 404)
    assert "`nobody` does not exist" in error["message"]


@pytest.mark.parametrize(
    "fields",
    [{"messages": "hello"}, {"messages": []}, {"messages": [{"role": "user", "content": "x"}], "temperature": "hot"}],
)
def test_wrong_fields_are_400_in_openais_shape(served: Served, fields: dict[str, object]) -> None:
    answer = served.post("/v1/chat/completions", **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400


def test_what_is_no_json_is_400(served: Served) -> None:
    headers = served.headers | {"Content-Type": "application/json"}
    answer = httpx.post(f"{served.url}/chat/completions", content=b'{"model":', headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_nothing_is_answered_in_another_shape_than_other_errors(served: Served, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.get(f"{served.url}/models", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})


def test_tokens_are_counted_without_a_key_as_the_answer_counts_them(served: Served) -> None:
    messages = [{"role": "user", "content": "How many tokens is this?"}]
    asked = {"model": served.model, "messages": messages}
    counted = httpx.post(f"{served.root}/tokenize", json=asked, trust_env=False).json()
    assert counted["count"] == len(counted["tokens"]) and counted["max_model_len"] == served.context
    answered = served.post("/v1/chat/completions", messages=messages, max_tokens=1).json()
    assert answered["usage"]["prompt_tokens"] == counted["count"]
    text = httpx.post(f"{served.root}/tokenize", json={"prompt": "one two"}, trust_env=False).json()
    assert text["count"] >= 2


def test_a_request_id_comes_back_and_names_the_answer(served: Served) -> None:
    answer = served.post(
        "/v1/chat/completions",
        {"X-Request-Id": "turn-7"},
        messages=[{"role": "user", "content": "Hi"}],
        max_tokens=1,
    )
    assert answer.json()["id"] == "chatcmpl-turn-7"


@pytest.mark.parametrize("salt", ["x" * 129, "", "a/b", "a@b", "a\\b"])
def test_a_salt_that_is_none_is_refused(served: Served, salt: str) -> None:
    assert served.chat(cache_salt=salt).status_code == 400


def test_text_is_completed_under_its_own_path(served: Served) -> None:
    answer = served.post("/v1/completions", prompt="def add(a, b):", max_tokens=4).json()
    assert answer["object"] == "text_completion" and answer["choices"][0]["text"]
    *chunks, done = events(served.post("/v1/completions", prompt="def add(a, b):", max_tokens=4, stream=True))
    assert done == "[DONE]" and json.loads(chunks[0])["choices"][0]["text"]


def test_what_it_says_of_itself_has_the_names_that_the_gateway_reads(served: Served) -> None:
    text = httpx.get(served.root + "/metrics", trust_env=False).text
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "generation_tokens_total"):
        assert re.search(rf'^vllm:{name}\{{engine="0",model_name="{served.model}"\}} \S+$', text, re.MULTILINE), name


async def test_whoever_hangs_up_takes_the_request_along(served: Served) -> None:
    client = served.client()
    text = "Count from one to one thousand."
    request = ChatRequest(model=served.model, messages=[{"role": "user", "content": text}], max_tokens=2000)
    stream = client.stream_chat(request)
    async for event in stream:
        if isinstance(event, Delta):
            break
    await stream.aclose()
    await asyncio.to_thread(served.wait_for, "vllm:num_requests_running", 0, 1.0)
    await client.aclose()


async def test_our_client_knows_a_refused_key_by_whatever_shape_it_comes_in(served: Served) -> None:
    wrong = Served(served.root, served.model, served.context, "wrong").client()
    with pytest.raises(Unauthorized):
        await wrong.models()
    await wrong.aclose()
