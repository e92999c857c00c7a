"""Every text of the console is there in Korean, and none that nobody says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cellar_hub import console, people
from cellar_hub.console.page import STALE
from cellar_hub.console.phrases import phrases
from cellar_hub.console.policy import BROKEN, NO_FILE, NOT_BY_HAND
from cellar_hub.console.terms import FIELD_NAMES, TERMS, deed, details
from cellar_hub.console.usage import PRESETS
from cellar_hub.console.words import Words, chosen_language, korean

FOLDER = Path(str(console.__file__)).parent
SAID_BY = {"words": 0, "self.words": 0, "self.done": 1, "HTTPError": 1, "Done": 0, "Doubt": 0}
"""Functions whose argument is a text, and which one it is."""
IN_TEMPLATE = re.compile(r"""\bt\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
STATES = ("up", "down", "loading")  # said by their own words


def texts() -> set[str]:
    found = (
        set(_in_python())
        | set(FIELD_NAMES.values())
        | {BROKEN, NO_FILE, NOT_BY_HAND, STALE}
        | {text for _, text in PRESETS}
        | set(STATES)
    )
    found |= {f"{kind}:{word}" for kind, words in TERMS.items() for word in words}
    for each in (FOLDER / "templates").iterdir():
        found |= {ast.literal_eval(text) for text in IN_TEMPLATE.findall(each.read_text())}
    return found


def _in_python() -> Iterator[str]:
    for path in (*FOLDER.glob("*.py"), Path(str(people.__file__))):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                place = SAID_BY.get(ast.unparse(node.func))
                if ast.unparse(node.func) == "self" and path.name == "words.py":
                    place = 0
                if place is not None and len(node.args) > place:
                    yield from _constants(node.args[place])
            elif (
                isinstance(node, ast.Return)
                and isinstance(node.value, ast.Tuple)
                and path.name in ("users.py", "page.py")
            ):
                yield from _constants(node.value.elts[0])
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("message", "PASSWORD"):
                yield from _constants(node.value)


def _constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)


def test_every_text_is_there_in_korean_with_the_same_names_and_no_other() -> None:
    wanted, there = texts(), korean()
    assert sorted(wanted - set(there)) == []
    assert sorted(set(there) - wanted) == []
    for english, text in there.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", text)), english


def test_every_deed_that_any_service_tells_the_audit_has_a_name_in_korean() -> None:
    told: set[str] = set()
    for path in FOLDER.parent.rglob("*.py"):
        found = re.findall(r'"((?:user|group|token|policy|workspace|audit|usage|site|hub)\.[a-z.]+)"', path.read_text())
        told |= {each.removesuffix(".failed") for each in found if not each.endswith(".html")}
    known = {*TERMS["deed"], "user.login"}  # with how it ended behind it
    assert "user.block" in told and told - known == set()


def test_a_word_of_a_closed_set_is_translated_and_any_other_stays_what_it_is() -> None:
    in_korean, english = Words("ko", ZoneInfo("UTC")), Words("en", ZoneInfo("UTC"))
    assert deed(in_korean, "user.block") == "사용자 차단"
    assert deed(in_korean, "user.block.failed") == "사용자 차단: 실패"
    assert deed(in_korean, "destination.failed") == "사내 연결 실패"
    assert deed(in_korean, "user.teleport.failed") == "user.teleport.failed"
    assert deed(english, "user.block.failed") == "user.block.failed"
    change = '{"change":"set_field","table":"default","field":"tokens_per_day","value":5}'
    asked = {"user": "", "change_1": change, "change_2": '{"cut off…', "admin": "no", "count": 3}
    assert details(english, asked) == [
        ("change", "default.tokens_per_day = 5"),
        ("change", '{"cut off…'),
        ("admin", "no"),
        ("count", "3"),
    ]
    done = {"done": "may not log in any more, 3 tokens taken away, sang 2 songs"}
    assert details(in_korean, done) == [("한 일", "더는 로그인할 수 없음, 토큰 3개 회수, sang 2 songs")]
    assert details(english, done) == [("done", done["done"])]
    digest = {"sha256": "0123456789abcdef" * 4, "count": 1, "report": "747187eba75f-8"}
    assert details(english, digest) == [("sha256", "0123456789ab…")], "what tells a reader nothing is left to the files"
    assert details(in_korean, {"admin": "no", "odd": "no"}) == [("관리자", "아니요"), ("odd", "아니요")]
    done = {"done": "may not log in any more, 2 tokens taken away, workspace (the only one) is being stopped"}
    assert details(in_korean, done) == [("한 일", "더는 로그인할 수 없음, 토큰 2개 회수, 작업 공간 중지 중")]
    assert details(english, done) == [("done", done["done"])]
    assert [in_korean.term("mode", each) for each in ("agent", "Save")] == ["에이전트", "Save"]


SENTENCES = {
    "policy.py": {"SettingsError": 1},
    "policyedit.py": {"SettingsError": 1},
    "policyfile.py": {"SettingsError": 1},
    "policybook.py": {"SettingsError": 1},
    "watchedfile.py": {"SettingsError": 1},
    "destinations.py": {"SettingsError": 1, "wrong": 0},
    "audit/verify.py": {"report.add": 2, "Problem": 3},
    "audit/chain.py": {"Forged": 0},
}
"""Whose sentences administrators read: functions that say them, and which argument it is."""


def sentences() -> set[str]:
    """As the code has them, `{}` where something is put in."""
    found: set[str] = set()
    for name, said_by in SENTENCES.items():
        for node in ast.walk(ast.parse((FOLDER.parent / name).read_text())):
            if isinstance(node, ast.Call) and (place := said_by.get(ast.unparse(node.func))) is not None:
                said = node.args[place] if len(node.args) > place else None
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    found.add(said.value)
                elif isinstance(said, ast.JoinedStr):
                    found.add("".join(each.value if isinstance(each, ast.Constant) else "{}" for each in said.values))
    return found


def test_every_sentence_of_the_policy_and_the_audit_is_there_in_korean() -> None:
    assert "its port is none" in sentences() and sorted(sentences() - set(phrases())) == []
    for english, said in phrases().items():
        places = set(re.findall(r"\{(\d*)\}", said))
        assert places <= {str(number) for number in range(english.count("{}"))}, english


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("has [groups.a] max_tokens = 0; it must be 1 or more", "[groups.a] max_tokens = 0: 1 이상이어야 합니다"),
        (
            "has a wrong value: Expected `int`, got `str` - at `$.default.max_tokens`",
            "잘못된 값이 있습니다: `$.default.max_tokens`: `int`이어야 하는데 `str`입니다",
        ),
        ("has the announcement 'x' twice", "공지 'x': 두 번 있습니다"),
        ("nobody decided in 30 days", "30일 안에 아무도 결정하지 않음"),
        ("nobody knows this sentence", "nobody knows this sentence"),
    ],
)
def test_a_sentence_is_said_in_korean_with_what_was_put_into_it(sentence: str, said: str) -> None:
    assert Words("ko", ZoneInfo("UTC")).phrase(sentence) == said
    assert Words("en", ZoneInfo("UTC")).phrase(sentence) == sentence


@pytest.mark.parametrize(
    ("accepted", "chosen", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", None, "ko"),
        ("de-DE,en-US;q=0.9", None, "en"),
        ("de", None, "en"),
        ("", None, "en"),
        ("ko", "en", "en"),
        ("en", "zz", "en"),
    ],
)
def test_the_first_language_that_is_ours_is_used_unless_one_was_chosen(
    accepted: str, chosen: str | None, language: str
) -> None:
    assert chosen_language(accepted, chosen) == language


def test_numbers_are_short_where_a_rough_size_is_enough() -> None:
    words = Words("en", ZoneInfo("UTC"))
    assert [words.short(each) for each in (0, 999, 9_999, 10_000, 123_456, 1_500_000, 2e9)] == [
        "0",
        "999",
        "9,999",
        "10k",
        "123k",
        "1.5M",
        "2G",
    ]
    assert (words.number(None), words.percent(0.125), words.seconds(0.0421), words.seconds(2.5)) == (
        "–",
        "12%",
        "42 ms",
        "2.5 s",
    )
