"""The bytes of an answer pass as they came; what they say is read beside that."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cellar_hub.gateway.answer import MAX_EVENT, AnswerReader


def event(value: Any, newline: str = "\n") -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}{newline}{newline}".encode()


def delta(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}


USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
}


def stream(newline: str = "\n") -> tuple[bytes, bytes]:
    """(a whole answer, the same without its usage event)."""
    end = newline + newline
    head = f": keep-alive{end}".encode() + event(delta(""), newline)
    text = event(delta("하나 \u2028"), newline) + event(delta("둘"), newline) + event(delta("", "stop"), newline)
    done = f"data: [DONE]{end}".encode()
    return head + text + event(USAGE, newline) + done, head + text + done


def run(data: bytes, piece: int, **how: Any) -> tuple[bytes, AnswerReader]:
    reader = AnswerReader(**{"stream": True, **how})
    passed = b"".join(reader.feed(data[start : start + piece]) for start in range(0, len(data), piece))
    return passed + reader.close(), reader


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 64, 10_000])
def test_bytes_pass_untouched_however_they_are_cut(newline: str, piece: int) -> None:
    whole, _ = stream(newline)
    passed, reader = run(whole, piece)
    assert passed == whole
    assert (reader.events, reader.outcome, reader.done) == (2, "complete", True)
    assert reader.usage is not None
    assert (reader.usage.prompt_tokens, reader.usage.completion_tokens, reader.usage.cached) == (7, 3, 4)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 64, 10_000])
def test_the_usage_event_is_taken_out_for_a_client_that_did_not_ask(newline: str, piece: int) -> None:
    whole, without = stream(newline)
    passed, reader = run(whole, piece, hide_usage=True)
    assert passed.replace(b"\n", b"").replace(b"\r", b"") == without.replace(b"\n", b"").replace(b"\r", b"")
    if newline == "\n":
        assert passed == without
    assert reader.usage is not None and reader.usage.completion_tokens == 3


def test_whole_events_are_not_kept_back() -> None:
    reader = AnswerReader(stream=True, hide_usage=True)
    assert reader.feed(event(delta("a"))) == event(delta("a"))
    first, second = event(delta("b")), event(delta("c"))
    assert reader.feed(first + second[:9]) == first
    assert reader.feed(second[9:]) == second


def test_the_text_is_hashed_as_it_grows_and_the_same_for_both_kinds_of_answer() -> None:
    streamed, whole = hashlib.sha256(), hashlib.sha256()
    run(stream()[0], 3, text_hash=streamed)
    message = {"choices": [{"message": {"role": "assistant", "content": "하나 \u2028둘"}, "finish_reason": "stop"}]}
    passed, reader = run(json.dumps({**message, "usage": USAGE["usage"]}).encode(), 5, stream=False, text_hash=whole)
    assert streamed.digest() == whole.digest()
    assert json.loads(passed)["choices"] == message["choices"]
    assert reader.usage is not None and reader.usage.prompt_tokens == 7


def test_completions_count_by_their_text() -> None:
    reader = AnswerReader(stream=True)
    reader.feed(event({"choices": [{"index": 0, "text": "def"}]}) + event({"choices": [{"text": "", "index": 0}]}))
    assert reader.events == 1


def test_reasoning_and_tool_calls_are_tokens_too() -> None:
    reader = AnswerReader(stream=True)
    reader.feed(event(delta("", reasoning="hm")) + event(delta("", tool_calls=[{"index": 0}])))
    assert reader.events == 2


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"message": "secret prompt", "type": "InternalServerError", "code": 500}, "500"),
        ({"message": "secret prompt", "type": "Server Error: secret"}, "error"),
        ("secret prompt", "error"),
    ],
)
def test_an_error_event_is_seen_but_never_quoted(error: Any, word: str) -> None:
    passed, reader = run(event(delta("a")) + event({"error": error}) + b"data: [DONE]\n\n", 4)
    assert reader.outcome == "error" and reader.error == word
    assert b"secret" in passed


@pytest.mark.parametrize(
    ("tail", "outcome"),
    [
        (b"", "interrupted"),
        (event(delta("", "length")), "length"),
        (event(delta("", "abort")), "error"),
        (b"data: [DONE]\n\n", "complete"),
        (b"data:[DONE]", "complete"),
        (event(delta("", "tool_calls")), "complete"),
    ],
)
def test_how_an_answer_ended(tail: bytes, outcome: str) -> None:
    _, reader = run(event(delta("a")) + tail, 1000)
    assert reader.outcome == outcome


@pytest.mark.parametrize("hide", [True, False])
def test_an_event_too_long_to_read_passes_and_what_follows_is_read_again(hide: bool) -> None:
    long = event(delta("x" * (2 * MAX_EVENT)))
    whole = long + event(delta("a", "stop")) + event(USAGE) + b"data: [DONE]\n\n"
    passed, reader = run(whole, 100_000, hide_usage=hide)
    assert passed == (whole.replace(event(USAGE), b"") if hide else whole)
    assert reader.finish == "stop" and reader.usage is not None


def test_what_is_no_json_passes() -> None:
    passed, reader = run(b"data: oops\n\nevent: x\ndata: 5\n\n\n\n", 2, hide_usage=True)
    assert passed == b"data: oops\n\nevent: x\ndata: 5\n\n\n\n"
    assert reader.outcome == "interrupted"
