"""The decoder and encoder of server-sent events: one sentence of the specification per test."""

from __future__ import annotations

import pytest
from cellar.errors import ModelFailed
from cellar.sse import Comment, Message, SSEDecoder, SSEItem, encode_comment, encode_event

STEPS = (1, 2, 3, 5, 1_000_000)


def decode(data: bytes | str, step: int = 1_000_000) -> list[SSEItem]:
    raw = data.encode() if isinstance(data, str) else data
    decoder = SSEDecoder()
    return [item for at in range(0, len(raw), step) for item in decoder.feed(raw[at : at + step])]


def texts(data: bytes | str, step: int = 1_000_000) -> list[str]:
    return [item.data for item in decode(data, step) if isinstance(item, Message)]


@pytest.mark.parametrize("step", STEPS)
class TestHoweverTheChunksAreCut:
    def test_the_lines_of_an_event_are_joined_by_lf(self, step: int) -> None:
        assert texts("data: a\ndata: b\ndata\ndata: c\n\n", step) == ["a\nb\n\nc"]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_a_line_ends_at_lf_crlf_or_cr(self, step: int, end: str) -> None:
        assert texts(f"data: a{end}data: b{end}{end}data: c{end}{end}", step) == ["a\nb", "c"]

    def test_line_ends_may_be_mixed(self, step: int) -> None:
        assert texts("data: a\r\r\ndata: b\n\rdata: c\r\n\n", step) == ["a", "b", "c"]

    def test_separators_that_end_lines_elsewhere_are_text(self, step: int) -> None:
        text = "a\u0085b\u2028c\u2029d\x0be\x0cf\x1cg\x1dh\x1ei"
        assert texts(f"data: {text}\n\n", step) == [text]

    def test_characters_of_several_bytes_stay_whole(self, step: int) -> None:
        assert texts("data: 한국어 😀 e\u0301\n\n", step) == ["한국어 😀 e\u0301"]

    def test_a_bom_at_the_start_is_dropped_and_kept_elsewhere(self, step: int) -> None:
        assert texts("\ufeffdata: \ufeffa\n\ndata: \ufeffb\n\n", step) == ["\ufeffa", "\ufeffb"]

    def test_comments_come_in_their_place(self, step: int) -> None:
        assert decode(": queued position=1 ahead=2\n\ndata: a\n\n:bare\n:\n", step) == [
            Comment("queued position=1 ahead=2"),
            Message("a"),
            Comment("bare"),
            Comment(""),
        ]

    def test_one_blank_after_the_colon_is_not_data(self, step: int) -> None:
        assert texts("data:a\n\ndata:  b\n\ndata: \n\n", step) == ["a", " b", ""]

    def test_an_id_stays_until_the_next_one(self, step: int) -> None:
        items = decode("id: 0.17\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: a\0b\ndata: d\n\n", step)
        assert [item.id for item in items if isinstance(item, Message)] == ["0.17", "0.17", "", ""]

    def test_an_event_name_holds_for_one_event(self, step: int) -> None:
        assert decode("event: x\ndata: a\n\nevent: y\n\ndata: b\n\n", step) == [Message("a", "x"), Message("b")]

    def test_unknown_fields_and_retry_are_skipped(self, step: int) -> None:
        assert texts("retry: 10\ndatum: x\ndata : y\nplain\ndata: a\n\n", step) == ["a"]

    def test_what_was_encoded_is_decoded(self, step: int) -> None:
        data = encode_comment("connected") + encode_event(b'{"a":"\xe2\x80\xa8"}', "k.3") + encode_event(b"two\nlines")
        assert decode(data, step) == [
            Comment("connected"),
            Message('{"a":"\u2028"}', id="k.3"),
            Message("two\nlines", id="k.3"),
        ]


def test_an_event_is_out_at_its_cr_without_waiting_for_a_lf() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [Message("a")]
    assert decoder.feed(b"\ndata: b\n\n") == [Message("b")]


def test_an_event_without_its_blank_line_is_handed_out_at_the_end_only() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\ndata: b") == []
    assert decoder.close() == [Message("a\nb")]
    assert decoder.close() == []


def test_broken_utf8_becomes_replacement_characters() -> None:
    assert texts(b"data: a\xff\xfeb\n\n") == ["a\ufffd\ufffdb"]


def test_a_blank_line_without_data_is_no_event() -> None:
    assert decode("\n\n\nevent: x\n\nid: 1\n\n") == []


@pytest.mark.parametrize("step", [7, 1000])
def test_an_endless_line_is_refused_before_it_fills_the_memory(step: int) -> None:
    decoder = SSEDecoder(max_bytes=1000)
    with pytest.raises(ModelFailed, match="more than 1000 bytes"):
        for _ in range(1000):
            decoder.feed(b"x" * step)


def test_an_event_of_endlessly_many_lines_is_refused() -> None:
    decoder = SSEDecoder(max_bytes=1000)
    with pytest.raises(ModelFailed, match="more than 1000 bytes"):
        for _ in range(1000):
            decoder.feed(b"data: 12345\n")


def test_an_event_just_below_the_bound_passes() -> None:
    decoder = SSEDecoder(max_bytes=1000)
    assert decoder.feed(b"data: " + b"x" * 990 + b"\n\n") == [Message("x" * 990)]
    assert decoder.feed(b"data: " + b"y" * 990 + b"\n\n") == [Message("y" * 990)]


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb"])
def test_line_ends_in_a_comment_do_not_break_out_of_it(text: str) -> None:
    assert decode(encode_comment(text + "\ndata: evil\n\n")) == [
        Comment("a"),
        Comment("b"),
        Comment("data: evil"),
        Comment(""),
        Comment(""),
    ]
