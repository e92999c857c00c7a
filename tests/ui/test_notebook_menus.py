"""Cellar in JupyterLab's toolbars, context menus and palette."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import code, error, open_notebook, prompt
from tests.ui.panel import Panel


def choose(page: Page, *labels: str) -> None:
    """Click through an open context menu and its submenus."""
    for label in labels:
        item(page, label).click()


def item(page: Page, label: str) -> Locator:
    labels = page.locator(".lm-Menu-itemLabel").filter(has_text=re.compile(f"^{re.escape(label)}$"))
    return page.locator(".lm-Menu-item").filter(has=labels).last


@pytest.mark.parametrize(
    ("label", "command"),
    [("Explain", "/explain"), ("Document", "/document"), ("Write Tests", "/test"), ("Optimize", "/optimize")],
)
def test_a_cells_context_menu_asks_about_that_cell(
    panel: Panel, lab: Lab, model: FakeVLLM, label: str, command: str
) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("special = 2", "two"))
    opened.cells.nth(1).locator(".jp-InputPrompt").click(button="right")
    choose(panel.page, "Cellar", label)
    panel.expect_state("complete")
    expect(panel.questions.last).to_contain_text(command)
    sent = panel.questions.last.locator(".jp-Cellar-sentPills [data-kind='cells']")
    expect(sent).to_have_count(1)
    assert "special = 2" in prompt(model)


def test_fix_in_the_menu_takes_the_cells_error(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("f()", "one", [error("NameError", "f")], 1))
    opened.cells.nth(0).locator(".jp-InputPrompt").first.click(button="right")
    choose(panel.page, "Cellar", "Fix")
    panel.expect_state("complete")
    expect(panel.questions.last.locator(".jp-Cellar-sentPills [data-kind='error']")).to_have_count(1)


def test_add_to_chat_only_attaches(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.cells.nth(0).locator(".jp-InputPrompt").click(button="right")
    choose(panel.page, "Cellar", "Add to Chat")
    expect(panel.pills.filter(has_text="Cell 1")).to_have_count(1)
    expect(panel.text).to_be_focused()
    assert model.requests == []


def test_the_cell_toolbar_has_a_menu(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.click(0)
    opened.cells.nth(0).get_by_role("button", name="Ask Cellar about this cell").click()
    choose(panel.page, "Explain")
    panel.expect_state("complete")
    expect(panel.questions.last).to_contain_text("/explain")


def test_the_notebook_toolbar_opens_the_chat(panel: Panel, lab: Lab) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.click(0)
    panel.execute("application:toggle-right-area")
    expect(panel.text).to_be_hidden()
    panel.page.locator(".jp-NotebookPanel-toolbar [data-jp-item-name='cellar-chat'] button").click()
    expect(panel.text).to_be_focused()


def test_a_file_and_a_folder_are_added_from_the_file_browser(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("notes.txt", "bicycles are counted\n")
    lab.write("more/deep.txt", "deep words\n")
    panel.open("lab")
    listing = panel.page.locator(".jp-DirListing-content")
    for name in ("notes.txt", "more"):
        listing.get_by_text(name, exact=True).click(button="right")
        choose(panel.page, "Add to Cellar Chat")
        expect(panel.pills.filter(has_text=name)).to_have_count(1)
    panel.ask("what do they say?")
    panel.expect_answer("what do they say?")
    assert "bicycles are counted" in prompt(model)
    assert "deep words" in prompt(model)


def test_the_editors_context_menu_asks_about_the_selection(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("tool.py", "first = 1\nsecond = 2\n")
    panel.open("lab/tree/tool.py")
    line = panel.page.locator(".jp-FileEditor .cm-line").first
    line.click()
    panel.page.keyboard.press("Home")
    panel.page.keyboard.press("Shift+End")
    line.click(button="right", position={"x": 20, "y": 5})
    choose(panel.page, "Cellar", "Explain")
    panel.expect_state("complete")
    sent = panel.questions.last.locator(".jp-Cellar-sentPills [data-kind='selection']")
    expect(sent.first).to_be_visible()


def test_the_palette_finds_everything_under_cellar(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.wait_for_kernel()
    opened.click(0)
    panel.execute("apputils:activate-command-palette")
    palette = panel.page.locator(".lm-CommandPalette")
    palette.locator("input").fill("Cellar")
    for label in ("Open the Cellar chat", "New Conversation", "Stop the Answer", "Add Cell or Selection to Chat"):
        expect(palette.locator(".lm-CommandPalette-item").filter(has_text=label)).to_be_visible()
    palette.locator(".lm-CommandPalette-item").filter(has_text="Explain Cell or Selection").click()
    panel.expect_state("complete")
    expect(panel.questions.last).to_contain_text("/explain")
