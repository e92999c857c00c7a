"""Every text of the console is there in Korean, and none that nobody says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cellar_hub import console
from cellar_hub.console.policy import LABELS
from cellar_hub.console.usage import PRESETS
from cellar_hub.console.words import Words, chosen_language, korean

FOLDER = Path(str(console.__file__)).parent
SAID_BY = {"words": 0, "self.words": 0, "self.done": 1, "HTTPError": 1}
"""Functions whose argument is a text, and which one it is."""
IN_TEMPLATE = re.compile(r"""\bt\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
LEVELS = ("info", "warning", "error", "up", "down", "loading")  # said by their own words


def texts() -> set[str]:
    found = set(_in_python()) | set(LABELS.values()) | {text for _, text in PRESETS} | set(LEVELS)
    for each in (FOLDER / "templates").iterdir():
        found |= {ast.literal_eval(text) for text in IN_TEMPLATE.findall(each.read_text())}
    return found


def _in_python() -> Iterator[str]:
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                place = SAID_BY.get(ast.unparse(node.func))
                if ast.unparse(node.func) == "self" and path.name == "words.py":
                    place = 0
                if place is not None and len(node.args) > place:
                    yield from _constants(node.args[place])
            elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and path.name == "users.py":
                yield from _constants(node.value.elts[0])
            elif isinstance(node, ast.Return) and isinstance(node.value, ast.Constant) and path.name == "page.py":
                yield from (text for text in _constants(node.value) if text)
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
        "10.0k",
        "123k",
        "1.5M",
        "2.0G",
    ]
    assert (words.number(None), words.percent(0.125), words.seconds(0.0421), words.seconds(2.5)) == (
        "–",
        "12%",
        "42 ms",
        "2.5 s",
    )
