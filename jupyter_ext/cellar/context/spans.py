"""Spans of a text, and what the rules for secrets share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_TEMPLATE = re.compile(
    r"\$\{[\w.:-]{1,80}\}|\$[A-Z_][A-Z0-9_]*|\$[a-z_.]+|\$\(.*\)|%[sd](?:\W%[sd]){0,4}|%\(\w+\)[sd]|%[A-Z_]+%|<.*>|\{.*\}|\[.*\]"
)
_FILLER = frozenset("*xX.•-_?#…")

WORDS = frozenset(
    (
        *("password", "passwd", "passphrase", "secret", "token", "string", "str", "none", "null", "true", "false"),
        *("required", "optional", "hidden", "text", "bearer", "basic", "input", "undefined", "int", "bytes", "any"),
        *("bool", "number", "object", "api_key", "apikey", "username", "user", "email", "float", "self", "value"),
        *("public", "passed", "failed"),
    )
)
"""Values that say what belongs there."""


class Span(NamedTuple):
    """text[start:end] is a secret of this kind."""

    start: int
    end: int
    kind: str


def hits(text: str, literal: str) -> Iterator[int]:
    """Where the literal stands."""
    at = text.find(literal)
    while at >= 0:
        yield at
        at = text.find(literal, at + len(literal))


def entropy(text: str) -> float:
    """Bits per character (Shannon)."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in (text.count(c) for c in set(text)))


def is_template(value: str) -> bool:
    """Does this stand for a value that is somewhere else, or is it only filler (`****`)? Masked text counts as such."""
    return "«secret:" in value or not set(value) - _FILLER or _TEMPLATE.fullmatch(value) is not None
