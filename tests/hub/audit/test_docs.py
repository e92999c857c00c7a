"""docs/audit.md has every event that the code tells, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from cellar_hub.console.terms import TERMS

PAGE = Path(__file__).parents[3] / "docs" / "audit.md"
NAME = re.compile(r"`([a-z]+(?:\.[a-z]+)+)`")


def test_the_page_on_the_audit_has_each_event_once_and_no_other() -> None:
    """Whether those of the code are all in TERMS is asked by tests/hub/console/test_words.py."""
    events = PAGE.read_text("utf-8").partition("\n## Events\n")[2].partition("\n## ")[0]
    rows = [line for line in events.splitlines() if line.startswith("|")]
    found = [name for row in rows for name in NAME.findall(row.split("|")[1])]
    assert sorted(found) == sorted(set(TERMS["deed"]) - {"unreadable"})
