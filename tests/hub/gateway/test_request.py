"""What the model server gets of a request, and what the gateway reads in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cellar_hub.gateway.refused import Refused
from cellar_hub.gateway.request import Asked, Kind, parse_request, parse_tokenize


def ask(body: Any, kind: Kind = "chat", **more: Any) -> Asked:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_request(data, kind, **{"max_tokens": 1000, **more})


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}


def sent(asked: Asked, **ours: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked.body(**ours))
    return found


def test_unknown_fields_are_kept() -> None:
    body = sent(ask(chat(chat_template_kwargs={"enable_thinking": False}, novelty=[1, 2.5, None])))
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["novelty"] == [1, 2.5, None]


def test_text_arrives_as_it_was_written() -> None:
    text = '가나다 \u2028 \x85 \U0001f389 \\ " \x00'
    body = sent(ask({"model": "m", "messages": [{"role": "user", "content": text}]}))
    assert body["messages"][0]["content"] == text


@pytest.mark.parametrize(
    ("wish", "given"),
    [({}, 1000), ({"max_tokens": 50}, 50), ({"max_tokens": 5000}, 1000), ({"max_tokens": None}, 1000)],
)
def test_max_tokens_is_set_and_capped(wish: dict[str, Any], given: int) -> None:
    asked = ask(chat(**wish))
    assert asked.max_tokens == given
    assert sent(asked)["max_tokens"] == given
    assert "max_completion_tokens" not in sent(asked)


def test_the_newer_name_of_max_tokens_wins_and_is_capped_too() -> None:
    body = sent(ask(chat(max_completion_tokens=2000, max_tokens=5, min_tokens=1500)))
    assert (body["max_completion_tokens"], body["max_tokens"], body["min_tokens"]) == (1000, 1000, 1000)


def test_a_missing_max_tokens_leaves_room_for_the_prompt() -> None:
    assert ask(chat(), context_length=lambda _: 2000).max_tokens == 500
    assert ask({"model": "m", "prompt": "x"}, "completion").max_tokens == 16


@pytest.mark.parametrize("value", [0, -1, True, "5", 1.5, [5]])
def test_a_max_tokens_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        ask(chat(max_tokens=value))
    assert refused.value.status == 400 and refused.value.param == "max_tokens"


def test_a_stream_always_tells_its_usage() -> None:
    asked = ask(chat(stream=True, stream_options={"continuous_usage_stats": True}))
    assert sent(asked)["stream_options"] == {"include_usage": True}
    assert not asked.wants_usage
    seen = ask(chat(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}))
    assert seen.wants_usage
    assert sent(seen)["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert "stream_options" not in sent(ask(chat()))


def test_salt_priority_and_names_are_ours() -> None:
    body = chat(cache_salt="theirs", priority=-9, request_id="x", session_id="y", vllm_xargs={"session_id": 1, "a": 2})
    assert sent(ask(body)) == {**chat(), "vllm_xargs": {"a": 2}, "max_tokens": 1000}
    ours = sent(ask(body), cache_salt="ours", priority=1)
    assert (ours["cache_salt"], ours["priority"]) == ("ours", 1)


def test_other_names_of_what_is_ours_are_dropped() -> None:
    """llama.cpp's n_predict overrides max_tokens; vLLM takes its internals from vllm_xargs as well."""
    body = chat(n_predict=10**6, n_cmpl=4, id_slot=0, vllm_xargs={"kv_transfer_params": "x", "a": 2})
    assert sent(ask(body)) == {**chat(), "vllm_xargs": {"a": 2}, "max_tokens": 1000}


@pytest.mark.parametrize(
    "more",
    [
        {"chat_template": "{{ 1 }}"},
        {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}},
        {"chat_template_kwargs": {"tokenize": True}},
        {"chat_template_kwargs": {"tools": [{}]}},
        {"prompt_embeds": "gASV"},
        {"messages": [{"role": "user", "content": [{"type": "image_embeds", "image_embeds": "gASV"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "prompt_embeds", "prompt_embeds": "gASV"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "prompt_embeds", "data": "gASV"}]}]},
    ],
)
def test_programs_and_pickles_for_the_model_server_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        ask(chat(**more))
    assert refused.value.status == 400
    with pytest.raises(Refused):
        parse_tokenize(json.dumps(chat(**more)).encode())


def test_a_template_s_arguments_count_as_prompt() -> None:
    assert ask(chat(documents=[{"text": "x" * 3000}])).prompt > 1000
    assert ask(chat(chat_template_kwargs={"note": "x" * 3000})).prompt > 1000


def test_answers_in_one_request_are_bounded_and_reserved() -> None:
    assert ask(chat(n=4, max_tokens=10)).reserve == 2 + 40
    assert ask({"model": "m", "prompt": "x", "best_of": 3, "max_tokens": 5}, "completion").max_tokens == 15
    assert ask({"model": "m", "prompt": ["x", "y"], "max_tokens": 5}, "completion").max_tokens == 10
    for bad in (chat(n=5), chat(n=0), chat(n=True)):
        with pytest.raises(Refused):
            ask(bad)
    with pytest.raises(Refused):
        ask({"model": "m", "prompt": ["x", "y", "z"], "n": 2}, "completion")


def test_the_prompt_is_estimated_from_its_bytes() -> None:
    assert ask(chat()).prompt == 2
    korean = {"model": "m", "messages": [{"role": "user", "content": "가" * 30}]}
    assert ask(korean).prompt == 30
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    parts = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "what"}, picture]}]}
    assert ask(parts).prompt == 2 + 1200
    assert ask({"model": "m", "prompt": [1, 2, 3]}, "completion").prompt == 3
    assert ask({"model": "m", "input": ["abc", "abcd"]}, "embeddings").reserve == 1 + 2


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "x" * 300_000}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "x" * 300_000}]},
        {"role": "assistant", "content": [{"type": "x" * 300_000, "text": ""}]},
        {"role": "assistant", "content": "a", "reasoning": "x" * 300_000},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "x" * 300_000}}]},
        {"role": "user", "content": "a", "name": "x" * 300_000},
        {"role": "x" * 300_000, "content": "a"},
    ],
)
def test_whatever_a_template_may_write_of_a_message_counts(message: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [message, {"role": "user", "content": "hello"}]}
    assert 100_000 <= ask(body).prompt <= 100_100


@pytest.mark.parametrize("media", ["uuid", "image_url"])
def test_a_picture_that_another_request_sent_cannot_be_named(media: str) -> None:
    picture: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    (picture if media == "uuid" else picture["image_url"])["uuid"] = "theirs"
    body = {"model": "m", "messages": [{"role": "user", "content": [picture]}]}
    for read in (ask, lambda each: parse_tokenize(json.dumps(each).encode())):
        with pytest.raises(Refused) as refused:
            read(body)
        assert refused.value.status == 400


def test_the_question_is_the_last_user_message() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": "b"},
    ]
    assert ask({"model": "m", "messages": messages}).question == b"second"
    assert ask({"model": "m", "prompt": "def f("}, "completion").question == b"def f("


@pytest.mark.parametrize(
    ("kind", "fields", "wish", "klass"),
    [
        ("chat", {}, "", "chat"),
        ("chat", {}, "completion", "chat"),
        ("chat", {}, "agent", "agent"),
        ("chat", {}, " BATCH ", "batch"),
        ("chat", {}, "royal", "chat"),
        ("completion", {"prompt": "x", "max_tokens": 256}, "", "completion"),
        ("completion", {"prompt": "x", "max_tokens": 257}, "", "chat"),
        ("completion", {"prompt": "x", "max_tokens": 100, "n": 3}, "", "chat"),
        ("completion", {"prompt": "x"}, "batch", "batch"),
        ("embeddings", {"input": "x"}, "", "agent"),
    ],
)
def test_the_class_is_what_is_seen_and_can_only_be_lowered(
    kind: Kind, fields: dict[str, Any], wish: str, klass: str
) -> None:
    body = chat() if kind == "chat" else {"model": "m", **fields}
    assert ask(body, kind, wish=wish).klass == klass


def test_tools_are_noticed() -> None:
    assert ask(chat(tools=[{"type": "function"}])).tools and not ask(chat()).tools


def test_tools_within_a_message_are_refused() -> None:
    developer = {"role": "developer", "content": "x", "tools": [{"type": "function", "function": {"name": "f"}}]}
    with pytest.raises(Refused) as refused:
        ask(chat(messages=[developer, {"role": "user", "content": "hello"}]))
    assert refused.value.status == 400 and refused.value.param == "messages"
    assert not ask(chat(messages=[{**developer, "tools": None}, {"role": "user", "content": "hello"}])).tools


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"model": "m", "model": "n", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x", "content": "y"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\xff"}]}',
        '{"model": "m", "messages": [{"role": "user", "content": "x"}]}'.encode("utf-16"),
        b'{"model": "m", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": "m", "x": ' + b"9" * 5000 + b"}",
        b'{"messages": [{"role": "user", "content": "x"}]}',
        b'{"model": 5, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m"}',
        b'{"model": "m", "messages": []}',
        b'{"model": "m", "messages": ["x"]}',
        b'{"model": "m", "messages": [{"role": "user", "content": 5}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": ["x"]}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true, "stream_options": 1}',
    ],
)
def test_what_is_no_request_is_refused_without_being_quoted(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        ask(body)
    assert refused.value.status == 400
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("url", ["http://10.0.0.1/x.png", "file:///etc/passwd", "//host/x", ""])
def test_the_model_server_is_sent_to_no_address(url: str) -> None:
    for part in ({"type": "image_url", "image_url": {"url": url}}, {"type": "audio_url", "audio_url": url}):
        body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
        with pytest.raises(Refused):
            ask(body)
        with pytest.raises(Refused):
            parse_tokenize(json.dumps(body).encode())  # to count a picture's tokens it is loaded
        for kind, name in (("completion", "prompt"), ("embeddings", "input")):
            with pytest.raises(Refused):
                ask({**body, name: "x"}, kind)  # type: ignore[arg-type]  # a loop forgets the literals
