"""What a reasoning model thinks, from a server that writes it into the answer's text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cellar.chat import ChatParser, Delta, Finish, Reasoning
from cellar.thinking import ThinkingSplitter


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def split(text: str, size: int) -> dict[str, str]:
    """All reasoning and all text, from pieces of `size` characters."""
    splitter = ThinkingSplitter()
    told = [found for piece in pieces(text, size) for found in splitter.feed(piece)] + splitter.close()
    return {kind: "".join(part for each, part in told if each == kind) for kind in ("reasoning", "text")}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("answer", "reasoning", "text"),
    [
        ("<think>hm</think>Yes.", "hm", "Yes."),
        ("\n<think>\nhm\n</think>\n\nYes.", "\nhm\n", "Yes."),
        ("<think></think>Yes.", "", "Yes."),
        ("<think>a < b </thin", "a < b </thin", ""),
        ("<think>never closed", "never closed", ""),
        ("Yes.", "", "Yes."),
        ("  Yes.", "", "  Yes."),
        ("<thinker>", "", "<thinker>"),
        ("<thi", "", "<thi"),
        ("Write <think>x</think>.", "", "Write <think>x</think>."),
        ("<think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
        ("``" + "`\n<think>x</think>", "", "``" + "`\n<think>x</think>"),
        ("", "", ""),
    ],
)
def test_a_thought_at_the_very_beginning_is_reasoning_however_it_is_cut(
    answer: str, reasoning: str, text: str, size: int
) -> None:
    assert split(answer, size) == {"reasoning": reasoning, "text": text}


def test_text_is_handed_out_as_soon_as_it_can_be_told() -> None:
    splitter = ThinkingSplitter()
    assert splitter.feed("Yes") == [("text", "Yes")]
    assert splitter.settled
    splitter = ThinkingSplitter()
    assert splitter.feed("<think>a <") == [("reasoning", "a ")]
    assert splitter.feed("b") == [("reasoning", "<b")]


def test_a_stream_with_tags_reads_like_one_with_a_reasoning_field() -> None:
    tagged = b"".join(
        b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text for text in (b"<thi", b"nk>hm</think>", b"Yes.")
    )
    parser = ChatParser()
    events = [*parser.feed(tagged), *parser.feed(b"data: [DONE]\n\n")]
    kept = [event for event in events if isinstance(event, Delta | Reasoning | Finish)]
    assert kept == [Reasoning("hm"), Delta("Yes."), Finish("stop")]
