"""Sentences that the policy, the audit and the hub write for administrators, in Korean. `phrases.ko.json` has each as
the code has it, `{}` for whatever is put in, and in Korean with `{0}`, `{1}` in the order of Korean. Pure.

What is put into a sentence may be one itself. One that is not known stays what it is: a sentence in English says more
than none. A test compares the table with the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LONGEST = 2000
"""Characters that are looked at."""


@cache
def phrases() -> Mapping[str, str]:
    found: dict[str, str] = json.loads((Path(__file__).parent / "phrases.ko.json").read_text("utf-8"))
    return found


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Those with the most words of their own first: what they say is the most exact."""
    made = sorted(phrases().items(), key=lambda each: -len(each[0].replace("{}", "")))
    return tuple((re.compile("(.*?)".join(map(re.escape, english.split("{}"))), re.S), said) for english, said in made)


def in_korean(sentence: str) -> str:
    if len(sentence) > LONGEST:
        return sentence
    for pattern, said in _patterns():
        if found := pattern.fullmatch(sentence):
            return said.format(*map(in_korean, found.groups()))
    return sentence
