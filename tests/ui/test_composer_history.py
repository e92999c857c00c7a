"""Conversations: begin, find, rename, export, delete, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.ui.lab import Lab
from tests.ui.panel import Panel


def two_conversations(panel: Panel) -> None:
    panel.open("lab")
    panel.ask("How do glaciers move?")
    panel.expect_answer("glaciers")
    panel.button("New conversation").click()
    panel.ask("Why is the sky blue?")
    panel.expect_answer("sky")
    panel.button("Earlier conversations").click()
    expect(panel.root.locator(".jp-Cellar-historyRow")).to_have_count(2)


def test_the_list_is_searched_by_title_and_text_with_an_excerpt(panel: Panel, model: Any) -> None:
    two_conversations(panel)
    rows = panel.root.locator(".jp-Cellar-historyRow")
    expect(rows.first).to_contain_text("just now")
    panel.root.get_by_role("searchbox").fill("glacier")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("glaciers move")
    expect(rows.locator(".jp-Cellar-excerpt")).to_contain_text("glacier")
    panel.root.get_by_role("searchbox").fill("nowhere to be found")
    expect(panel.root.locator(".jp-Cellar-historyNote")).to_have_text("Nothing found")


def test_the_keyboard_walks_the_list_and_opens_a_conversation(panel: Panel, page: Page, model: Any) -> None:
    two_conversations(panel)
    expect(panel.root.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(panel.root.locator(".jp-Cellar-historyOpen").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel.questions).to_contain_text("How do glaciers move?")
    expect(panel.text).to_be_focused()


def test_a_conversation_is_renamed_in_its_place(panel: Panel, page: Page, model: Any) -> None:
    two_conversations(panel)
    row = panel.root.locator(".jp-Cellar-historyRow").first
    row.locator(".jp-Cellar-historyOpen").focus()
    page.keyboard.press("F2")
    field = panel.root.get_by_role("textbox", name="Title of the conversation")
    expect(field).to_be_focused()
    field.fill("하늘색")
    field.press("Enter")
    expect(row).to_contain_text("하늘색")
    expect(panel.root.locator(".jp-Cellar-title")).to_have_text("하늘색")


def test_a_title_that_is_too_long_is_cut_where_it_is_seen_and_says_so(panel: Panel, page: Page, model: Any) -> None:
    two_conversations(panel)
    row = panel.root.locator(".jp-Cellar-historyRow").first
    row.locator(".jp-Cellar-historyOpen").focus()
    page.keyboard.press("F2")
    field = panel.root.get_by_role("textbox", name="Title of the conversation")
    expect(field).to_be_focused()
    page.keyboard.insert_text("a" * 210)
    expect(field).to_have_value("a" * 200)
    said = "field => field.validationMessage"
    assert field.evaluate(said) == "Cut off: a title has at most 200 characters"
    field.press("Backspace")
    assert field.evaluate(said) == ""
    field.press("Enter")
    expect(row).to_contain_text("a" * 199)


def test_deleting_asks_first_and_says_how_much(panel: Panel, page: Page, lab: Lab, model: Any) -> None:
    two_conversations(panel)
    row = panel.root.locator(".jp-Cellar-historyRow", has_text="glaciers")
    row.hover()
    row.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 question")
    expect(dialog).to_contain_text("kB")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Cancel").click()
    expect(row).to_have_count(1)
    row.hover()
    row.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert len(lab.cellar("GET", "conversations")) == 1


def test_after_a_reload_an_answer_of_another_conversation_is_marked_while_it_runs_and_when_it_ends(
    panel: Panel, page: Page, model: Any
) -> None:
    panel.look_often()
    model.use("gated")
    panel.open("lab")
    panel.ask("take your time")
    model.wait_for(lambda m: m.waiting == 1)
    panel.button("New conversation").click()
    panel.reload()
    expect(panel.turns).to_have_count(0)
    panel.button("Earlier conversations").click()
    mark = panel.root.get_by_role("img", name="An answer is being written")
    expect(mark).to_be_visible()
    page.locator('.lm-TabBar-tab[data-id="jp-property-inspector"]').click()
    model.release_all()
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    panel.show()
    expect(mark).to_have_count(0)
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    panel.root.locator(".jp-Cellar-historyOpen").first.click()
    panel.expect_state("complete")
    expect(page).not_to_have_title(re.compile(r"^\(1\) "))


def test_an_answer_that_ends_in_a_conversation_that_is_not_shown_marks_the_way_to_it(
    panel: Panel, page: Page, model: Any
) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("take your time")
    model.wait_for(lambda m: m.waiting == 1)
    panel.button("New conversation").click()
    model.release_all()
    tab = page.locator('.lm-TabBar-tab[data-id="cellar-panel"]')
    expect(tab).to_have_class(re.compile("jp-Cellar-unseen"))
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    panel.button("Earlier conversations: a new answer in 1").click()
    expect(panel.root.get_by_role("img", name="New answer")).to_be_visible()
    panel.root.locator(".jp-Cellar-historyOpen").first.click()
    panel.expect_answer("one two three four five six")
    expect(tab).not_to_have_class(re.compile("jp-Cellar-unseen"))
    expect(page).not_to_have_title(re.compile(r"^\(1\) "))
    panel.button("Earlier conversations").click()
    expect(panel.root.get_by_role("img", name="New answer")).to_have_count(0)


def test_a_conversation_is_exported_as_markdown_notebook_and_json(panel: Panel, page: Page, model: Any) -> None:
    panel.open("lab")
    panel.ask("Export me")
    panel.expect_answer("Export me")
    for name, ending in (("Markdown", "md"), ("Notebook", "ipynb"), ("Everything", "json")):
        panel.button("Export Export me").click()
        with page.expect_download() as download:
            panel.root.get_by_role("menuitem", name=name).click()
        assert download.value.suggested_filename == f"Export me.{ending}"
        text = Path(download.value.path()).read_text()
        assert "Export me" in text
        if ending != "md":
            json.loads(text)


def test_a_running_conversation_is_marked_in_the_list(panel: Panel, model: Any) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("still running")
    model.wait_for(lambda m: m.waiting == 1)
    panel.button("New conversation").click()
    panel.button("Earlier conversations").click()
    mark = panel.root.locator(".jp-Cellar-historyRow").get_by_role("img", name="An answer is being written")
    expect(mark).to_be_visible()
    model.release_all()


def test_the_title_stands_there_while_the_first_answer_is_written(panel: Panel, model: Any) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("Why do glaciers move")
    expect(panel.root.locator(".jp-Cellar-title")).to_have_text("Why do glaciers move")
    panel.expect_state("running")
