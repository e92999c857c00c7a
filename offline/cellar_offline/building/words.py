"""What MANIFEST.md says, in English and Korean (words.json): for the person who approves what is carried in."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

ENGLISH, KOREAN = "en", "ko"
LANGUAGES = (ENGLISH, KOREAN)
FILE = Path(__file__).with_name("words.json")


@cache
def words() -> dict[str, dict[str, str]]:
    """Key -> language -> sentence, with names in braces."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def say(key: str, language: str, **values: object) -> str:
    """A sentence of words.json. KeyError for one that is not there."""
    return words()[key][language].format(**values)
