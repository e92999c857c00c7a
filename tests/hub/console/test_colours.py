"""What the style sheet promises by the names of its colours: text that is read, boxes that are seen (WCAG 2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cellar_hub import console

SHEET = (Path(str(console.__file__)).parent / "static" / "console.css").read_text()
THEMES = {
    "light": ":root {",
    "dark, as the system has it": ':root:not([data-theme="light"]) {',
    "dark, as chosen": ':root[data-theme="dark"] {',
}


def colours(theme: str) -> dict[str, str]:
    block = SHEET.partition(THEMES[theme])[2].partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", block))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", THEMES)
def test_an_announcement_of_any_level_is_read_and_an_info_has_a_box_that_is_seen(theme: str) -> None:
    found = colours(theme)
    for level in ("info", "good", "warn", "bad"):
        assert contrast(found[level], found[f"{level}-paper"]) >= 4.5, level
    assert ".state.info { color: var(--info); background: var(--info-paper); border-color: currentcolor; }" in SHEET
    for ground in ("paper", "ground"):
        assert contrast(found["info"], found[ground]) >= 3
