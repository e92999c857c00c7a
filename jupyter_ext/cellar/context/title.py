"""A conversation's title, from its first question: no model is asked for it."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 60

_FENCE = re.compile(r"```[^\n`]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]\n]{0,200})\]\([^)\n]{0,500}\)")
_MARKS = re.compile(r"^[ \t]*(?:#{1,6}|>|[-*+]|\d{1,3}[.)])[ \t]+", re.MULTILINE)
_EMPHASIS = re.compile(r"\*\*|__|`")
_COMMAND = re.compile(r"^/([a-z]{2,20})(?=\s|$)")
_MENTION = re.compile(r"(?:^|(?<=\s))@(?:file|folder|cell|selection|error|notebook):?")
_SENTENCE = re.compile(r"(?<=[.?!。？！])\s")
_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|please|안녕하세요|안녕|저기요)[\s,.!~]{1,3}){1,3}(?=\S)", re.IGNORECASE
)  # fmt: skip


def title_from(text: str) -> str:
    """At most 60 characters on one line, cut between words; "" when there is nothing to say."""
    text = text[:4_000].strip()
    command = _COMMAND.match(text)
    rest = text[command.end() :].strip() if command else text
    prose = _FENCE.sub(" ", rest).strip()
    prose = prose or _FENCE.sub(r"\1", rest).strip()
    prose = _EMPHASIS.sub("", _MENTION.sub("", _MARKS.sub("", _LINK.sub(r"\1", prose))))
    line = next((line for line in map(_one_line, prose.splitlines()) if line), "")
    line = _GREETING.sub("", line)
    if command is not None:
        name = command[1].capitalize()
        line = f"{name}: {line}" if line else name
    first = _SENTENCE.split(line, maxsplit=1)[0] if line else ""
    return _shorten((first if len(first) >= 8 else line).rstrip(" .,:;。"))


def _one_line(line: str) -> str:
    visible = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in line)
    return " ".join(visible.split())


def _shorten(line: str) -> str:
    if len(line) <= LONGEST:
        return line
    head = line[: LONGEST - 1]
    space = head.rfind(" ")
    return (head[:space] if space >= LONGEST // 2 else head).rstrip(" ,.:;") + "…"
