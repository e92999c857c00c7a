"""Cellar's keys: they collide with none of JupyterLab's own, they work, and they can be rebound."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import code, open_notebook
from tests.ui.panel import Panel

PLATFORMS = ["mac", "win", "linux"]
Chord = frozenset[str]


def first_chords(shortcut: dict[str, Any], platform: str) -> list[Chord]:
    """The first chord of a shortcut's keys on this platform; none when it is switched off there."""
    keys = shortcut.get(f"{platform}Keys")
    if keys is None:
        keys = shortcut.get("keys") or []
    accel = "Cmd" if platform == "mac" else "Ctrl"
    chords = [frozenset(accel if key == "Accel" else key for key in chord.split()) for chord in keys[:1]]
    return [chord for chord in chords if chord]


def shortcuts(lab: Lab) -> list[tuple[str, dict[str, Any]]]:
    """All shortcuts of all plugins that this JupyterLab serves, with the plugin's id."""
    plugins = lab.api("GET", "lab/api/settings")["settings"]
    return [
        (plugin["id"], shortcut)
        for plugin in plugins
        for shortcut in plugin["schema"].get("jupyter.lab.shortcuts", [])
        if not shortcut.get("disabled")
    ]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_key_of_ours_is_a_key_of_jupyterlabs(lab: Lab, platform: str) -> None:
    every = shortcuts(lab)
    ours = [(one, chord) for id, one in every if id.startswith("@cellar/") for chord in first_chords(one, platform)]
    theirs = {
        chord: one["command"]
        for id, one in every
        if not id.startswith("@cellar/")
        for chord in first_chords(one, platform)
    }
    assert len(ours) >= 4
    assert len(theirs) > 100
    # Ours are on `body`, which every other selector is in: any same chord would be a collision.
    assert {one["selector"] for one, _ in ours} == {"body"}
    taken = [f"{one['command']} {sorted(chord)}: {theirs[chord]}" for one, chord in ours if chord in theirs]
    assert taken == []
    assert len({chord for _, chord in ours}) == len(ours)


def test_the_chat_and_the_document_are_one_key_apart(panel: Panel, lab: Lab) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.click(0)
    panel.page.keyboard.press("Control+Alt+i")
    expect(panel.text).to_be_focused()
    panel.page.keyboard.press("Control+Alt+i")
    expect(panel.text).not_to_be_focused()
    panel.page.keyboard.press("Enter")
    panel.page.keyboard.press("Home")
    panel.page.keyboard.type("# back ")
    opened.expect_sources("# back a = 1")


def test_the_active_cell_and_then_a_selection_are_added_by_key(panel: Panel, lab: Lab) -> None:
    opened = open_notebook(panel, lab, code("a = 1\nb = 2", "one"))
    opened.click(0)
    panel.page.keyboard.press("Control+Shift+A")
    expect(panel.text).to_be_focused()
    expect(panel.pills.filter(has_text="Cell 1")).to_have_count(1)
    opened.click(0)
    panel.page.keyboard.press("Control+Home")
    panel.page.keyboard.press("Shift+End")
    expect(panel.pills.filter(has_text="Cell 1, line 1")).to_have_count(1)
    panel.page.keyboard.press("Control+Shift+A")
    expect(panel.text).to_be_focused()
    selected = panel.pills.filter(has_text="Cell 1, line 1")
    expect(selected).to_have_count(1)
    panel.write("What is it?")
    with panel.page.expect_request(re.compile(r"/cellar/api/turns(\?\d+)?$")) as posted:
        panel.text.press("Enter")
    parts = [(part["type"], part["auto"]) for part in posted.value.post_data_json["context"]]
    assert parts.count(("selection", False)) == 1
    assert ("selection", True) not in parts


def test_a_key_stops_the_answer_and_another_begins_a_conversation(
    panel: Panel, lab: Lab, gated_model: FakeVLLM
) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    panel.ask("go on for ever")
    gated_model.release(2)
    expect(panel.last_answer).to_contain_text("one")
    opened.click(0)
    panel.page.keyboard.press("Control+Shift+Backspace")
    panel.expect_state("stopped")
    panel.page.keyboard.press("Control+Shift+O")
    expect(panel.turns).to_have_count(0)


def test_a_key_can_be_rebound(panel: Panel, lab: Lab) -> None:
    lab.setting(
        "@jupyterlab/shortcuts-extension:shortcuts",
        shortcuts=[
            {"command": "cellar:toggle-focus", "keys": ["Accel Alt I"], "selector": "body", "disabled": True},
            {"command": "cellar:toggle-focus", "keys": ["Alt J"], "selector": "body"},
        ],
    )
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.click(0)
    panel.page.keyboard.press("Control+Alt+i")
    expect(panel.text).not_to_be_focused()
    panel.page.keyboard.press("Alt+j")
    expect(panel.text).to_be_focused()
