"""The composer by keyboard: what sends, breaks the line, stops, recalls, and what belongs to an input method."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.ui.lab import Lab
from tests.ui.panel import Panel


def test_enter_sends_and_shift_enter_breaks_the_line(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.text.press_sequentially("first line")
    panel.text.press("Shift+Enter")
    panel.text.press_sequentially("second line")
    expect(panel.text).to_have_value("first line\nsecond line")
    panel.text.press("Enter")
    expect(panel.questions).to_contain_text("second line")
    expect(panel.text).to_have_value("")


def test_ctrl_enter_sends_when_the_user_set_it_so(panel: Panel, lab: Lab, model: Any) -> None:
    lab.setting("@cellar/lab:panel", sendWith="ctrl-enter")
    panel.open("lab")
    panel.text.press_sequentially("one")
    panel.text.press("Enter")
    panel.text.press_sequentially("two")
    expect(panel.text).to_have_value("one\ntwo")
    expect(panel.send).to_have_attribute("title", "Send (Ctrl+Enter)")
    panel.text.press("Control+Enter")
    panel.expect_answer("two")


def test_enter_that_ends_a_composition_does_not_send(panel: Panel, page: Page, model: Any) -> None:
    panel.open("lab")
    panel.text.focus()
    cdp = page.context.new_cdp_session(page)
    cdp.send("Input.imeSetComposition", {"text": "한글", "selectionStart": 2, "selectionEnd": 2})
    expect(panel.text).to_have_value("한글")
    for kind in ("rawKeyDown", "keyUp"):
        cdp.send("Input.dispatchKeyEvent", {"type": kind, "key": "Enter", "windowsVirtualKeyCode": 229})
    # Safari's way: the composition is over, only the key code still tells.
    panel.text.evaluate("""area => area.dispatchEvent(new KeyboardEvent('keydown',
        {key: 'Enter', keyCode: 229, bubbles: true, cancelable: true}))""")
    expect(panel.text).to_have_value("한글")
    expect(panel.questions).to_have_count(0)

    cdp.send("Input.insertText", {"text": "한글"})
    panel.text.press("Enter")
    panel.expect_answer("한글")


def test_escape_stops_the_answer_and_keeps_what_came(panel: Panel, model: Any) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("go on")
    model.wait_for(lambda m: m.waiting == 1)
    model.release(2)
    expect(panel.last_answer).to_contain_text("one two")
    expect(panel.stop_button).to_have_attribute("title", "Stop (Esc)")
    panel.text.press("Escape")
    panel.expect_answer("one two", state="stopped")
    model.wait_for(lambda m: m.aborted == 1)
    expect(panel.stop_button).to_have_count(0)


def test_escape_closes_a_menu_without_rows_before_it_stops_the_answer(panel: Panel, model: Any) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("go on")
    model.wait_for(lambda m: m.waiting == 1)
    panel.text.press_sequentially("@nowhere-to-be-found")
    menu = panel.composer.locator(".jp-Cellar-menu")
    expect(menu).to_contain_text("Nothing found")
    panel.text.press("Escape")
    expect(menu).to_have_count(0)
    panel.expect_state("running")
    panel.text.press("Escape")
    panel.expect_state("stopped")


def test_arrow_up_in_an_empty_composer_recalls_earlier_messages(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.ask("the first question")
    panel.expect_answer("first")
    panel.ask("the second question")
    panel.expect_answer("second")
    panel.text.press("ArrowUp")
    expect(panel.text).to_have_value("the second question")
    panel.text.press("ArrowUp")
    expect(panel.text).to_have_value("the first question")
    panel.text.press("ArrowUp")
    expect(panel.text).to_have_value("the first question")
    panel.text.press("ArrowDown")
    panel.text.press("ArrowDown")
    expect(panel.text).to_have_value("")
    panel.text.press_sequentially("mine")
    panel.text.press("ArrowUp")
    expect(panel.text).to_have_value("mine")


def test_ctrl_enter_sends_now_and_stops_what_runs(panel: Panel, model: Any) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("the slow one")
    model.wait_for(lambda m: m.waiting == 1)
    model.use("echo")
    panel.write("the urgent one")
    panel.text.press("Control+Enter")
    expect(panel.turns.first).to_have_attribute("data-state", "stopped")
    panel.expect_answer("the urgent one")
    expect(panel.pending).to_have_count(0)


def test_the_text_grows_to_two_fifths_of_the_panel_and_then_scrolls(panel: Panel, page: Page) -> None:
    panel.open("lab")
    low = panel.text.bounding_box()
    panel.write("\n".join(f"line {number}" for number in range(6)))
    mid = panel.text.bounding_box()
    panel.write("\n".join(f"line {number}" for number in range(200)))
    full, whole = panel.text.bounding_box(), panel.root.bounding_box()
    assert low and mid and full and whole
    assert low["height"] < mid["height"] < full["height"]
    assert full["height"] <= whole["height"] * 0.4 + 1
    panel.write("")
    expect(panel.text).to_have_css("height", f"{low['height']:g}px")


def test_a_message_typed_with_the_keyboard_alone_reaches_every_control(panel: Panel, page: Page) -> None:
    panel.open("lab")
    panel.write("hello")
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label') || ''"))
    assert any(re.match("Attach from this computer", name) for name in names), names
    assert "Add context (@)" in names, names
    assert "Send (Enter)" in names, names
