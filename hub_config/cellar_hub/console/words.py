"""Texts in the language of whoever reads, and numbers as people read them. Pure.

In the code stands English; `ko.json` has the Korean of each text, `{name}` is whatever stands there. A test finds texts
without a Korean one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from .phrases import in_korean

LANGUAGES = ("en", "ko")
COOKIE = "cellar-language"


@cache
def korean() -> Mapping[str, str]:
    found: dict[str, str] = json.loads((Path(__file__).parent / "ko.json").read_text("utf-8"))
    return found


def chosen_language(accepted: str, chosen: str | None) -> str:
    """Of an Accept-Language header and of what the user has chosen: as the hub's pages do, the first that is ours."""
    if chosen in LANGUAGES:
        return chosen
    for each in accepted.split(","):
        name = each.strip()[:2].lower()
        if name in LANGUAGES:
            return name
    return "en"


class Words:
    """`words("{n} users", n=3)`. `zone`: the site's, in which times are shown."""

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        self.language = language
        self._zone = zone

    def __call__(self, text: str, /, **names: object) -> str:
        found = korean().get(text, text) if self.language == "ko" else text
        return found.format(**names) if names else found

    def term(self, kind: str, word: str) -> str:
        """Of a closed set (`terms`); a word that is not of it stays what it is."""
        return korean().get(f"{kind}:{word}", word) if self.language == "ko" else word

    def phrase(self, sentence: str) -> str:
        """Of those that others write (`phrases`)."""
        return in_korean(sentence) if self.language == "ko" else sentence

    def number(self, value: float | None) -> str:
        """1,234,567; a dash where nothing is known."""
        return "–" if value is None else f"{value:,.0f}"

    def short(self, value: float | None) -> str:
        """1.2M, for where a rough size is enough."""
        if value is None:
            return "–"
        for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
            if abs(value) >= bound:
                size = value / (1e3 if unit == "k" else bound)
                return (f"{size:.0f}" if size >= 99.5 else f"{size:.1f}".removesuffix(".0")) + unit
        return f"{value:,.0f}"

    def percent(self, share: float | None) -> str:
        """Of a share of one."""
        return "–" if share is None else f"{100 * share:.0f}%"

    def seconds(self, value: float | None) -> str:
        if value is None:
            return "–"
        return f"{1000 * value:.0f} ms" if value < 1 else self("{n} s", n=f"{value:.1f}")

    def milliseconds(self, value: int | None) -> str:
        return self.seconds(None if value is None else value / 1000)

    def time(self, at: float | None) -> str:
        """2026-11-29 18:40:07, the site's clock."""
        return "–" if at is None else datetime.fromtimestamp(at, self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def minute(self, at: float | None) -> str:
        return "–" if at is None else datetime.fromtimestamp(at, self._zone).strftime("%Y-%m-%d %H:%M")

    def iso(self, at: float) -> str:
        """For a <time> element."""
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

    def day(self, day: date) -> str:
        return day.isoformat()

    def ago(self, at: float | None, now: float) -> str:
        """How long since: 5 min, 3 h, 12 d."""
        if at is None:
            return "–"
        passed = max(0.0, now - at)
        if passed < 60:
            return self("just now")
        if passed < 3600:
            return self("{n} min ago", n=int(passed // 60))
        if passed < 86_400:
            return self("{n} h ago", n=int(passed // 3600))
        return self("{n} d ago", n=int(passed // 86_400))
