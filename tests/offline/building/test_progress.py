"""How far a build is: one line on a terminal, and nothing but what is done where there is none."""

from __future__ import annotations

import io

import pytest
from cellar_offline.building import progress
from cellar_offline.building.progress import Steps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(out: io.StringIO) -> str:
    steps = Steps(out)
    steps.begin("images")
    steps.begin("checking", 4 << 20)
    steps.add("images", 1 << 20)
    steps.add("checking", 2 << 20)
    steps.end("images")
    steps.done("2 images")
    return out.getvalue()


def test_a_terminal_sees_all_that_goes_on_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    text = tell(Terminal())
    assert "images 1.0 MiB · checking 2.0 MiB of 4.0 MiB" in text
    assert text.count("\n") == 1 and text.endswith("  2 images\n")


def test_a_log_has_a_line_for_each_thing_done() -> None:
    assert tell(io.StringIO()) == "  2 images\n"
