"""By keyboard alone: a control that goes away by its own effect leaves the focus at a place where one can go on."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import AllowConsole
from tests.ui.panel import Panel


def press(control: Locator, key: str = "Enter") -> None:
    control.focus()
    control.press(key)


def rows(panel: Panel) -> Locator:
    return panel.root.locator(".jp-Cellar-historyRow")


def three_conversations(panel: Panel) -> None:
    panel.open("lab")
    for text in ("the first", "the second", "the third"):
        panel.button("New conversation").click()
        panel.ask(text)
        panel.expect_state("complete")
    panel.button("Earlier conversations").click()
    expect(rows(panel)).to_have_count(3)


def three_waiting(panel: Panel, model: FakeVLLM) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("running")
    model.wait_for(lambda fake: fake.waiting == 1)
    for count, text in enumerate(("one", "two", "three"), 1):
        panel.write(text)
        panel.text.press("Enter")
        expect(panel.button("Remove", panel.pending)).to_have_count(count)


def test_after_continue_the_focus_is_in_the_composer(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="the beginning", cut_after=1))
    panel.open("lab")
    panel.ask("Tell me")
    panel.expect_state("interrupted")
    model.use("gated")
    press(panel.button("Continue", panel.last_turn))
    expect(panel.text).to_be_focused()
    model.release_all()
    panel.expect_state("complete")
    expect(panel.text).to_be_focused()


def test_after_renaming_in_the_header_the_focus_is_on_rename(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("complete")
    for key in ("Enter", "Escape"):
        press(panel.button("Rename"))
        field = panel.root.get_by_role("textbox", name="Title of the conversation")
        expect(field).to_be_focused()
        field.fill("Greetings")
        field.press(key)
        expect(panel.button("Rename")).to_be_focused()
    expect(panel.root.locator(".jp-Cellar-title")).to_have_text("Greetings")


def test_after_renaming_in_the_list_the_focus_is_on_its_row(panel: Panel, model: FakeVLLM) -> None:
    three_conversations(panel)
    press(rows(panel).nth(1).locator(".jp-Cellar-historyOpen"), "F2")
    panel.root.get_by_role("textbox", name="Title of the conversation").fill("renamed")
    panel.page.keyboard.press("Enter")
    renamed = rows(panel).filter(has_text="renamed")
    expect(renamed.locator(".jp-Cellar-historyOpen")).to_be_focused()


def test_after_deleting_the_focus_is_on_the_row_that_stands_there_now(
    panel: Panel, model: FakeVLLM, allow_console: AllowConsole
) -> None:
    allow_console("404.*context/preview")  # asked while the conversation shown was being deleted
    three_conversations(panel)
    press(rows(panel).nth(1).locator(".jp-Cellar-historyOpen"), "Delete")
    panel.page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(rows(panel)).to_have_count(2)
    expect(rows(panel).nth(1).locator(".jp-Cellar-historyOpen")).to_be_focused()
    press(panel.button("Delete the first"))
    panel.page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(rows(panel)).to_have_count(1)
    expect(panel.button("Delete the third")).to_be_focused()
    panel.page.keyboard.press("Enter")
    panel.page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(rows(panel)).to_have_count(0)
    expect(panel.text).to_be_focused()


def test_after_removing_a_waiting_message_the_focus_is_on_the_next_one(panel: Panel, model: FakeVLLM) -> None:
    three_waiting(panel, model)
    press(panel.button("Remove", panel.pending.nth(1)))
    expect(panel.pending).to_have_text(["one", "three"])
    expect(panel.button("Remove", panel.pending.nth(1))).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(panel.pending).to_have_text(["one"])
    expect(panel.button("Remove", panel.pending)).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(panel.pending).to_have_count(0)
    expect(panel.text).to_be_focused()


def test_after_editing_a_waiting_message_the_focus_is_in_the_composer(panel: Panel, model: FakeVLLM) -> None:
    three_waiting(panel, model)
    press(panel.button("Edit", panel.pending.first))
    expect(panel.text).to_be_focused()
    expect(panel.text).to_have_value("one")
    press(panel.button("Cancel", panel.composer))
    expect(panel.text).to_be_focused()
    expect(panel.pending).to_have_text(["one", "two", "three"])


def test_after_sending_a_waiting_message_at_once_the_focus_is_on_the_next_one(panel: Panel, model: FakeVLLM) -> None:
    three_waiting(panel, model)
    press(panel.pending.nth(1).get_by_role("button", name="Send now"))
    expect(panel.pending).to_have_text(["one", "three"])
    expect(panel.pending.nth(1).locator("button").first).to_be_focused()
