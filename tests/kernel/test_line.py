"""The magic's line and the names in it: pure, no shell."""

from __future__ import annotations

import pytest
from cellar import wire
from cellar.errors import all_errors
from cellar_jupyter.kernel.interpolation import interpolate
from cellar_jupyter.kernel.options import FORMATS, Options, UsageError, parse_line
from cellar_jupyter.kernel.session import notes_of
from cellar_jupyter.kernel.words import ENGLISH, KOREAN, Words, language_of


def test_options_stand_before_the_question() -> None:
    assert parse_line(' -m "my model" -f code -o x --context=cell write -f it') == Options(
        model="my model", format="code", output="x", context="cell", text="write -f it"
    )


def test_two_dashes_end_the_options() -> None:
    assert parse_line("-m a -- -x is negative").text == "-x is negative"


@pytest.mark.parametrize("line", ["fix", "explain", "models", "usage", "help", "reset"])
def test_a_command_word_alone_is_a_command(line: str) -> None:
    assert parse_line(line).command == line


def test_a_command_word_that_begins_a_question_is_a_question() -> None:
    assert parse_line("fix the loop").command == "ask"
    assert parse_line("help me with pandas").text == "help me with pandas"


def test_fix_above_a_cell_means_that_code() -> None:
    options = parse_line("fix quickly", "x = 1/0\n")
    assert (options.command, options.text) == ("fix", "quickly\nx = 1/0")


def test_a_line_and_a_cell_are_one_question() -> None:
    assert parse_line("shorter please", "  def f(): ...\n").text == "shorter please\n  def f(): ..."


@pytest.mark.parametrize("line", ["-z 1 q", "-f", "-f x q", "-o 1 q", "--context x q", ""])
def test_a_bad_line_is_a_usage_error_and_never_an_exit(line: str) -> None:
    with pytest.raises(UsageError):
        parse_line(line)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"b": 1}}',
        "{}",
        "{ x + 1 }",
        "f'{x!r:>10}'",
        "{x:>3}",
        "${HOME}",
        "{{}}",
        r"\frac{1}{2}",
        "{a b}",
        "{1: 2}",
    ],
)
def test_braces_around_anything_but_a_name_stay(text: str) -> None:
    assert interpolate(text, {}, repr) == text


def test_a_name_in_double_braces_stays_in_single_ones() -> None:
    assert interpolate("{{x}} {x} {{x.y}}", {"x": 7}, repr) == "{x} 7 {x.y}"


def test_a_reference_may_stand_inside_other_braces() -> None:
    assert interpolate('{"a": {x}}', {"x": 7}, repr) == '{"a": 7}'


def test_a_huge_value_is_cut_in_its_middle() -> None:
    text = interpolate("{x}", {"x": "a" * 50_000 + "end"}, repr)
    assert len(text) < 21_000 and text.endswith("end") and "left out" in text


def test_a_long_value_is_cut_between_words_because_half_a_secret_cannot_be_masked() -> None:
    secret = "zq-Very.Long_Env-Secret.Value.98765-abcdef"
    for start in range(13_250, 13_340, 7):
        value = ("log line\n" * 3_000)[:start] + " " + secret + "\n" + "tail\n" * 3_000
        rest = interpolate("{x}", {"x": value}, repr).replace(secret, "")
        assert secret[:6] not in rest


def test_nothing_is_called() -> None:
    with pytest.raises(UsageError):
        interpolate("{x['missing']}", {"x": {}}, repr)
    assert interpolate("{x()}", {"x": print}, repr) == "{x()}"


def test_every_sentence_is_there_in_both_languages_with_the_same_values() -> None:
    import string

    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert ENGLISH.keys() == KOREAN.keys()
    for key, english in ENGLISH.items():
        assert fields(english) == fields(KOREAN[key]), key


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_error_has_a_sentence(language: str) -> None:
    words = Words(language)
    for each in all_errors():
        line = words.error(each("two\nlines", retry_after=7), "http://here/v1")
        assert "\n" not in line and "7 s" in line


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "CELLAR_LANG": "en"}, "en"),
        ({"LANG": "C.UTF-8", "CELLAR_LANG": "ko"}, "ko"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_comes_from_cellar_lang_then_lang(environ: dict[str, str], language: str) -> None:
    assert language_of(environ) == language


def test_every_format_is_explained_to_the_model() -> None:
    from cellar_jupyter.kernel.formats import ASK

    assert set(ASK) == set(FORMATS)


def a_receipt(*rows: tuple[str, str, str], left_out_turns: int = 0) -> wire.Receipt:
    parts = tuple(wire.ReceiptPart(kind=kind, label=label, state=state, tokens=1) for kind, label, state in rows)  # type: ignore[arg-type]  # a test's shorthand
    return wire.Receipt(
        model="m", parts=parts, prompt_tokens=9, budget=99, context_length=100, max_tokens=1,
        left_out_turns=left_out_turns,
    )  # fmt: skip


def test_what_the_model_did_not_get_to_read_is_told_in_one_line() -> None:
    receipt = a_receipt(
        ("history", "2 earlier turns", "cut"),
        ("notebook", "this kernel", "cut"),
        ("error", "NameError", "left_out"),
        ("question", "", "sent"),
        left_out_turns=3,
    )
    assert notes_of(receipt, "complete", Words("en")) == (
        "Left out, because it did not fit: NameError. Shortened to fit: this kernel. Oldest questions left out: 3.",
    )
    assert notes_of(a_receipt(("notebook", "this kernel", "sent")), "complete", Words("en")) == ()
