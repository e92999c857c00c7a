"""Nothing typed is lost: drafts over reload and switch, failed sends, long pastes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.ui.lab import Lab
from tests.ui.panel import Panel


def test_text_and_pills_survive_a_reload(panel: Panel, lab: Lab, model: Any) -> None:
    lab.write("data.csv", "a,b\n1,2\n")
    panel.open("lab")
    panel.text.press_sequentially("read @data")
    panel.root.get_by_role("option", name="data.csv").click()
    panel.text.press_sequentially("and tell")
    panel.reload()
    expect(panel.text).to_have_value("read data.csv and tell")
    expect(panel.pills.filter(has_text="data.csv")).to_have_count(1)
    panel.text.press("Enter")
    panel.expect_answer("and tell")
    assert "1,2" in str(model.requests[-1].body["messages"])


def test_each_conversation_has_its_own_draft(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.ask("older conversation")
    panel.expect_answer("older")
    panel.write("for the older one")
    panel.button("New conversation").click()
    expect(panel.text).to_have_value("")
    panel.write("for the new one")
    panel.button("Earlier conversations").click()
    panel.root.locator(".jp-Cellar-historyOpen").first.click()
    expect(panel.text).to_have_value("for the older one")
    panel.button("New conversation").click()
    expect(panel.text).to_have_value("for the new one")


def test_each_tab_keeps_its_own_draft_and_a_new_one_begins_with_the_last(
    panel: Panel, lab: Lab, new_page: Callable[[], Page], model: Any
) -> None:
    panel.open("lab")
    panel.write("draft in tab one")
    kept = "text => JSON.stringify(localStorage).includes(text)"
    panel.page.wait_for_function(kept, arg="draft in tab one")
    other = Panel(new_page(), lab).open("lab")
    expect(other.text).to_have_value("draft in tab one")
    other.write("text of tab two")
    other.page.wait_for_function(kept, arg="text of tab two")
    panel.reload()
    expect(panel.text).to_have_value("draft in tab one")
    other.reload()
    expect(other.text).to_have_value("text of tab two")
    third = Panel(new_page(), lab).open("lab")
    expect(third.text).to_have_value("text of tab two")


def test_a_question_the_server_did_not_take_returns_to_the_composer(
    panel: Panel, page: Page, model: Any, allow_console: Any
) -> None:
    allow_console("Failed to load resource")
    panel.open("lab")
    unreachable = panel.root.locator('[data-banner="network"]')

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/cellar/api/turns*", refuse)
    panel.write("do not lose me")
    panel.text.press("Enter")
    expect(unreachable).to_be_visible()
    expect(panel.text).to_have_value("do not lose me")
    page.unroute("**/cellar/api/turns*")
    panel.text.press("Enter")
    panel.expect_answer("do not lose me")
    expect(unreachable).to_have_count(0)


def test_what_is_typed_while_the_first_question_is_on_its_way_stays(panel: Panel, page: Page, model: Any) -> None:
    panel.open("lab")
    held: list[Route] = []
    page.route("**/cellar/api/turns?*", lambda route: held.append(route))
    page.route("**/cellar/api/turns", lambda route: held.append(route))
    panel.write("first")
    panel.text.press("Enter")
    expect(panel.text).to_have_value("")
    panel.text.press_sequentially("second thought")
    page.wait_for_function("() => true")
    assert held
    held[0].continue_()
    page.unroute_all(behavior="ignoreErrors")
    panel.expect_answer("first")
    expect(panel.text).to_have_value("second thought")


def test_a_very_long_paste_is_taken_whole(panel: Panel, page: Page, model: Any) -> None:
    model.use("echo")
    panel.open("lab")
    panel.text.focus()
    long = "0123456789 " * 20_000
    page.evaluate("text => document.execCommand('insertText', false, text)", long)
    assert panel.text.input_value() == long
    panel.text.press_sequentially("end")
    assert panel.text.input_value().endswith("end")


def test_a_draft_that_the_browser_cannot_keep_is_said_at_once(panel: Panel, model: Any, allow_console: Any) -> None:
    allow_console("413")  # its preview is refused, too
    panel.open("lab")
    words = panel.composer.get_by_text("This draft is too long to be kept over a reload.")
    panel.text.fill("0123456789" * 1_000_000)
    expect(words).to_be_visible()
    panel.text.fill("short")
    expect(words).to_have_count(0)
    panel.reload()
    expect(panel.text).to_have_value("short")


def test_an_edit_of_a_question_that_the_browser_cannot_keep_is_said_at_once(panel: Panel, model: Any) -> None:
    model.use("echo")
    panel.open("lab")
    panel.ask("first words")
    panel.expect_state("complete")
    panel.questions.last.hover()
    panel.button("Edit and ask again", panel.last_turn).click()
    edit = panel.last_turn.locator("textarea")
    words = panel.last_turn.get_by_text("This draft is too long to be kept over a reload.")
    edit.fill("0123456789" * 1_000_000)
    expect(words).to_be_visible()
    edit.fill("other words")
    expect(words).to_have_count(0)
    panel.reload()
    expect(edit).to_have_value("other words")
