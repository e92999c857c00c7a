"""The magic's line and the names in it: pure, no shell."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import cellar
import httpx
import pytest
from cellar import wire
from cellar.errors import ContextTooLong, ModelFailed, ModelServerDown, QuotaExceeded, all_errors
from cellar.refusals import refusal
from cellar.settings import PROBLEMS, SettingsError
from cellar.transport import transport_error
from cellar_jupyter.kernel.endpoint import chosen_language
from cellar_jupyter.kernel.executed import own_source
from cellar_jupyter.kernel.interpolation import interpolate
from cellar_jupyter.kernel.options import FORMATS, Options, UsageError, parse_line
from cellar_jupyter.kernel.session import notes_of
from cellar_jupyter.kernel.words import ENGLISH, KOREAN, KOREAN_HINTS, TABLES, Words, language_of


def test_options_stand_before_the_question() -> None:
    assert parse_line(' -m "my model" -f code -o x --context=cell write -f it') == Options(
        model="my model", format="code", output="x", context="cell", text="write -f it"
    )


def test_two_dashes_end_the_options() -> None:
    assert parse_line("-m a -- -x is negative").text == "-x is negative"
    assert parse_line("-- fix") == Options(text="fix")


@pytest.mark.parametrize("line", ["fix", "explain", "models", "usage", "help", "reset"])
def test_a_command_word_alone_is_a_command(line: str) -> None:
    assert parse_line(line).command == line


def test_a_command_word_that_begins_a_question_is_a_question() -> None:
    assert parse_line("fix the loop").command == "ask"
    assert parse_line("help me with pandas").text == "help me with pandas"


@pytest.mark.parametrize(
    "line", ["fix -f code -m a", "-f code fix -m a", "-m a fix --format=code", "-m b fix -m a -f code"]
)
def test_options_stand_on_either_side_of_a_command_word(line: str) -> None:
    assert parse_line(line) == Options(command="fix", format="code", model="a")


@pytest.mark.parametrize("word", ["explain", "models", "usage", "reset"])
def test_every_command_word_takes_options_behind_it(word: str) -> None:
    assert parse_line(f"{word} --context none") == Options(command=parse_line(word).command, context="none")
    assert parse_line(f"{word} --help").command == "help"


@pytest.mark.parametrize(
    "line",
    ["explain -f in grep", "fix -f code the loop", "explain -xzf of tar", "explain the -f of grep", "usage -h of ls"],
)
def test_a_question_about_an_option_is_a_question(line: str) -> None:
    assert parse_line(line) == Options(text=line)
    assert parse_line(f"-m a {line}") == Options(model="a", text=line)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("fix -f", "option_needs_value"),
        ("fix -f python", "bad_format"),
        ("explain --context all", "bad_context"),
        ("fix --fromat code", "unknown_option"),
        ("usage --all -f code", "unknown_option"),
    ],
)
def test_a_wrong_option_behind_a_command_word_is_refused_and_not_asked(line: str, key: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_line(line)
    assert raised.value.key == key
    assert parse_line(f"-- {line}") == Options(text=line)


def test_options_behind_fix_above_a_cell_come_before_its_words() -> None:
    assert parse_line("fix -f code -m a quickly -f", "x = 1/0") == Options(
        command="fix", format="code", model="a", text="quickly -f", code="x = 1/0"
    )
    for words in ("-f in grep", "-xzf of tar", "-h of ls"):
        assert parse_line(f"explain {words}", "x = 1") == Options(command="explain", text=words, code="x = 1")


def test_fix_above_a_cell_means_that_code() -> None:
    options = parse_line("fix quickly", "\n  x = 1/0\n")
    assert (options.command, options.text, options.code) == ("fix", "quickly", "  x = 1/0")


def test_fix_above_nothing_is_the_command_alone_or_a_question() -> None:
    assert parse_line("fix", "\n").code == ""
    assert parse_line("fix the loop", "\n") == Options(text="fix the loop")


def test_a_line_and_a_cell_are_one_question() -> None:
    assert parse_line("shorter please", "  def f(): ...\n").text == "shorter please\n  def f(): ..."


@pytest.mark.parametrize("line", ["-z 1 q", "-f", "-f x q", "-o 1 q", "-o class q", "--context x q", ""])
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


def test_no_expression_is_evaluated() -> None:
    with pytest.raises(UsageError):
        interpolate("{x['missing']}", {"x": {}}, repr)
    assert interpolate("{x()}", {"x": print}, repr) == "{x()}"


@pytest.mark.parametrize(
    "code",
    [
        '`print(f"{x}")`',
        "``a ` {x}``",
        "```python\nreturn {x}, {nowhere}\n```",
        "~~~\n```\n{x}\n~~~",
        "```\n{x} of an unfinished block",
        "`{{x}}`",
    ],
)
def test_code_of_a_question_stays_as_it_is(code: str) -> None:
    assert interpolate(f"{{x}} is\n{code}", {"x": 7}, repr) == f"7 is\n{code}"


def test_behind_code_names_are_filled_in_again() -> None:
    assert interpolate("`{x}` {x} ``{x}`` {x} it's ` {x}", {"x": 7}, repr) == "`{x}` 7 ``{x}`` 7 it's ` 7"
    assert interpolate("```\n{x}\n```\n{x}", {"x": 7}, repr) == "```\n{x}\n```\n7"


class Trap:
    """Every way to read it runs into an error."""

    @property
    def v(self) -> int:
        raise RuntimeError("the sensor\nis off")

    def __getitem__(self, key: int) -> int:
        raise ZeroDivisionError("no items")

    def __repr__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{p.v}", "RuntimeError: the sensor is off"),
        ("{p[0]}", "ZeroDivisionError: no items"),
        ("{p}", "ValueError: no words"),
    ],
)
def test_a_value_that_cannot_be_read_is_told_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        interpolate(text, {"p": Trap()}, repr)
    assert Words("en").say(raised.value.key, **raised.value.values) == f"{text[1:-1]} cannot be read: {problem}"


def test_every_sentence_is_there_in_both_languages_with_the_same_values() -> None:
    import string

    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    of_errors = {each.code for each in all_errors()}  # they choose what they say of an error
    assert ENGLISH.keys() == KOREAN.keys()
    for key in ENGLISH.keys() - of_errors:
        assert fields(ENGLISH[key]) == fields(KOREAN[key]), key


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_error_has_a_sentence(language: str) -> None:
    words = Words(language)
    for each in all_errors():
        line = words.error(each("two\nlines", retry_after=7), "http://here/v1")
        assert "\n" not in line and line.endswith({"en": "(~7 s)", "ko": "(약 7초 후)"}[language])


def test_a_korean_sentence_has_no_english_in_it() -> None:
    words = Words("ko")
    assert words.error(ModelFailed("The model server failed (HTTP 500)", detail={"status": 500}), "") == (
        "모델 서버에서 오류가 발생했습니다 (HTTP 500)."
    )
    assert words.error(ModelFailed("The model server closed the stream"), "") == "모델 서버에서 오류가 발생했습니다."


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 418, 429, 500, 502, 503])
def test_no_line_says_the_same_twice(status: int) -> None:
    error = refusal(status, {}, b"")
    for language in ("en", "ko"):
        line = Words(language).error(error, "http://here/v1")
        for said in ("server", "refuse", "fail", "allow", "not found", "서버", "허용", "거부", "오류"):
            assert line.lower().count(said) <= 1, line
        assert line.endswith((".", "?")) and not line.endswith(".."), line


def hints_of_the_core() -> set[str]:
    """Every `hint=` in the source of `cellar`, and the constants named so."""
    found: set[str] = set()
    for file in Path(cellar.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            named = isinstance(node, ast.keyword) and node.arg == "hint"
            named = named or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("_HINT"))
            value = getattr(node, "value", None)
            if named and isinstance(value, ast.Constant):
                found.add(value.value)
    return found


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_setting_that_is_wrong_is_told_in_one_language(code: str) -> None:
    error = SettingsError("CELLAR_ANY", code)
    english, korean = (Words(language).say(f"setting_{code}", name=error.name) for language in ("en", "ko"))
    assert english.endswith(str(error))
    assert "CELLAR_ANY" in korean and "must" not in korean and "is not" not in korean


def test_every_hint_of_an_error_is_there_in_korean() -> None:
    assert hints_of_the_core() == KOREAN_HINTS.keys()


@pytest.mark.parametrize("hint", KOREAN_HINTS)
def test_a_line_says_what_helps_behind_what_happened(hint: str) -> None:
    error = ModelServerDown("It did not work", hint=hint)
    line = Words("en").error(error, "http://here/v1")
    assert line.startswith(f"It did not work (http://here/v1). {hint}") and line[-1] in ".?" and line[-2] not in ".?"
    assert (
        Words("ko")
        .error(error, "http://here/v1")
        .endswith(f"연결할 수 없습니다 (http://here/v1). {KOREAN_HINTS[hint]}")
    )


@pytest.mark.parametrize("language", TABLES)
def test_no_letter_touches_the_end_of_an_address(language: str) -> None:
    """JupyterLab makes a link of an address, and takes a Korean particle behind it for a part of it."""
    texts = [*TABLES[language].values(), *KOREAN_HINTS.values()]
    assert [text for text in texts if re.search(r"(\{url\}|https?://[!-~]+?)\)?[가-힣]", text)] == []


def test_a_hint_takes_the_place_of_the_advice_for_the_code() -> None:
    assert "%ai reset" in Words("en").error(ContextTooLong("too long"), "")
    line = Words("en").error(ContextTooLong("too long", hint="Shorten the question."), "")
    assert line == "The question is too long for this model. Shorten the question."


def test_a_certificate_that_is_not_trusted_is_not_told_as_a_server_that_is_down() -> None:
    error = transport_error(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"))
    line = Words("en").error(error, "https://here/v1")
    assert "certificate is not trusted" in line and "CELLAR_CA_BUNDLE" in line and "running" not in line
    assert "CELLAR_CA_BUNDLE" in Words("ko").error(error, "https://here/v1")


def test_a_server_that_says_why_it_does_not_allow_something_is_quoted() -> None:
    error = refusal(403, {}, b'{"error": {"message": "Not for your group!"}}')
    assert Words("en").error(error, "") == "You are not allowed to do this: Not for your group!"
    assert "“Not for your group!”" in Words("ko").error(error, "")


def test_a_quota_says_when_it_begins_anew_where_the_server_tells() -> None:
    words = Words("en")
    assert words.error(QuotaExceeded("used up"), "") == "Your token quota is used up."
    assert " until 20" in words.error(QuotaExceeded("used up", detail={"resets_at": 1893456000}), "")


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


def test_the_language_chosen_in_jupyterlab_comes_before_lang(tmp_path: Path) -> None:
    environ = {"JPY_SESSION_NAME": "a.ipynb", "JUPYTERLAB_SETTINGS_DIR": str(tmp_path), "LANG": "en_US.UTF-8"}
    assert chosen_language(environ) == ""
    file = tmp_path / "@jupyterlab" / "translation-extension" / "plugin.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text('{\n    // Examples: "locale": "es_CO"\n    "locale": "ko_KR"\n}')
    assert language_of(environ, chosen_language(environ)) == "ko"
    assert language_of({**environ, "CELLAR_LANG": "en"}, chosen_language(environ)) == "en"
    assert chosen_language({**environ, "JPY_SESSION_NAME": ""}) == ""  # a console has a language of its own
    file.write_text('{"locale": "default"}')
    assert chosen_language(environ) == ""


@pytest.mark.parametrize(
    ("source", "own"),
    [
        ("%load_ext cellar_jupyter\nimport math\nVALUE = 1", "import math\nVALUE = 1"),
        ("x = 1\n%ai what is x?\ny = 2", "x = 1\ny = 2"),
        ("%ai a long \\\n  question\ny = 2", "y = 2"),
        ("\n%%ai\nwhat is\nx = 1", ""),
        ("%reload_ext cellar_jupyter", ""),
        ("%%time\n%ai hello", "%%time\n"),
        ("aid = 1\nx %ai", "aid = 1\nx %ai"),
    ],
)
def test_what_asked_the_assistant_is_left_out_of_a_cell(source: str, own: str) -> None:
    assert own_source(source) == own


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
