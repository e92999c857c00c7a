"""Titles, slash commands and the sentences that a model reads."""

from __future__ import annotations

import typing

import pytest
from cellar import prompts, wire
from cellar.context import PromptInput, build_prompt, estimate, title_from

from tests.core.context.a_notebook import AConversation, a_model, newest


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("How do I merge two DataFrames?", "How do I merge two DataFrames?"),
        ("  \n\n# **Plot** the `level` column.\nMore text", "Plot the level column"),
        ("Fix this. It fails when the list is empty and I do not know why.", "Fix this"),
        ("/fix it fails for empty input", "Fix: it fails for empty input"),
        ("/explain", "Explain"),
        ("```python\nprint(1)\n```\nWhy does this print 1?", "Why does this print 1?"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("Hi, please explain [this page](http://x/y) to me", "explain this page to me"),
        ("안녕하세요, 결측치를 어떻게 처리하나요?", "결측치를 어떻게 처리하나요?"),
        ("데이터프레임에서 지역별 평균을 구하고 그 결과를 막대 그래프로 그린 다음 파일로 저장하는 방법을 자세히 알려줘",
         "데이터프레임에서 지역별 평균을 구하고 그 결과를 막대 그래프로 그린 다음 파일로 저장하는 방법을 자세히…"),
        ("가" * 200, "가" * 59 + "…"),
        ("a\u202eb\x00c", "a b c"),
        ("", ""),
        ("\n \n", ""),
        ("/data/sales.csv is broken", "/data/sales.csv is broken"),
    ],
)  # fmt: skip
def test_a_title_is_the_first_thing_that_was_asked(text: str, title: str) -> None:
    assert title_from(text) == title
    assert len(title) <= 60


@pytest.mark.parametrize("name", ["explain", "fix", "document", "test", "optimize", "plot", "sql", "translate"])
def test_a_command_becomes_an_instruction_with_the_users_words_behind_it(name: str) -> None:
    assert prompts.expand_command(f"/{name}") == prompts.COMMANDS[name]
    assert prompts.expand_command(f"/{name} 한국어로") == f"{prompts.COMMANDS[name]}\n\nThe user adds: 한국어로"
    assert prompts.expand_command(f"/{name}\nsecond line") == f"{prompts.COMMANDS[name]}\n\nThe user adds: second line"


@pytest.mark.parametrize("text", ["/foo bar", "/tmp/x is full", "fix this", "/", "/ fix", "/fixit", "", "a /fix"])
def test_what_is_no_command_is_sent_as_typed(text: str) -> None:
    assert prompts.expand_command(text) == text


def test_the_prompt_expands_a_command_by_itself() -> None:
    prompt = build_prompt(PromptInput(model=a_model(), question="/plot the level"))
    assert newest(prompt).startswith(prompts.COMMANDS["plot"])


@pytest.mark.parametrize("name", prompts.COMMANDS)
def test_a_command_reaches_the_model_as_it_is_written(name: str) -> None:
    assert newest(build_prompt(PromptInput(model=a_model(), question=f"/{name}"))) == prompts.COMMANDS[name]


def test_every_mode_of_the_wire_has_its_sentences() -> None:
    assert set(prompts.MODES) == set(typing.get_args(wire.Mode))


def test_a_compact_turn_asks_for_a_summary_behind_the_whole_history() -> None:
    chat = AConversation()
    first = chat.ask("One?")
    compact = chat.ask("keep the SQL", mode="compact")
    assert compact.messages[: len(first.messages)] == first.messages
    assert newest(compact).startswith(prompts.SUMMARY) and newest(compact).endswith("The user adds: keep the SQL")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # counted by the embedded model's tokenizer (SmolLM2)
        ("0.123456 0.654321 17\n" * 50, 1050),
        ("   station      level  count\n0  Seoul     0.123456     12\n1  Busan     0.334567    123\n" * 10, 401),
        ('{"a": 1, "name": "value", "list": [1, 2, 3]}\n' * 10, 250),
    ],
)  # fmt: skip
def test_the_estimate_is_near(text: str, tokens: int) -> None:
    assert 0.8 < estimate(text) / tokens < 1.3


def test_a_korean_syllable_is_about_one_token() -> None:
    assert 0.9 < estimate("데이터프레임의결측치를") / 11 < 1.2
