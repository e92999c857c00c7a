"""Cells, workspace files and files of the desktop dropped on the chat become context."""

from __future__ import annotations

import base64
import re

from playwright.sync_api import Locator, Page, expect

from tests.contract.posts import PNG
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import code, open_notebook, posted_parts, prompt
from tests.ui.panel import Panel


def drag(page: Page, source: Locator, target: Locator) -> None:
    """With the mouse, in steps, as JupyterLab's drags want it."""
    source.hover()
    start, end = source.bounding_box(), target.bounding_box()
    assert start and end
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(start["x"] + 30, start["y"] + 30, steps=5)
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=10)
    page.mouse.up()


def listed(panel: Panel, name: str) -> Locator:
    """An entry of the file browser."""
    return panel.page.locator(".jp-DirListing-item").filter(has_text=name)


def test_a_cell_is_dropped_into_the_chat_and_stays_in_the_notebook(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("dragged = 2", "two"))
    opened.click(1)
    drag(panel.page, opened.cells.nth(1).locator(".jp-InputPrompt"), panel.text)
    expect(panel.pills.filter(has_text="Cell 2")).to_have_count(1)
    opened.expect_sources("a = 1", "dragged = 2")
    panel.ask("what is it?")
    panel.expect_answer("what is it?")
    sent = panel.questions.last.locator(".jp-Cellar-sentPills [data-kind='cells']")
    expect(sent).to_have_count(1)


def test_a_dropped_cell_travels_as_it_is_when_the_question_is_sent(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    opened.click(0)
    drag(panel.page, opened.cells.nth(0).locator(".jp-InputPrompt"), panel.text)
    expect(panel.pills.filter(has_text="Cell 1")).to_have_count(1)
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.type("0  # changed after the drop")
    with panel.page.expect_request(re.compile(r"cellar/api/turns(\?|$)")) as posted:
        panel.ask("what is it?")
    assert posted_parts(posted.value)["cells"]["cells"][0]["source"] == "a = 10  # changed after the drop"


def test_a_file_is_dropped_into_the_chat_and_stays_where_it_is(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("notes.txt", "bicycles are counted\n")
    panel.open("lab")
    drag(panel.page, listed(panel, "notes.txt"), panel.text)
    expect(panel.pills.filter(has_text="notes.txt")).to_have_count(1)
    panel.ask("what does it say?")
    panel.expect_answer("what does it say?")
    assert "bicycles are counted" in prompt(model)
    assert (lab.root / "notes.txt").is_file()


def test_a_dropped_picture_travels_as_one_and_says_so_when_it_cannot(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("plot.png", base64.b64decode(PNG))
    lab.write("scan.bmp", b"BM" + bytes(60))
    panel.open("lab")
    drag(panel.page, listed(panel, "plot.png"), panel.text)
    drag(panel.page, listed(panel, "scan.bmp"), panel.text)
    scan = panel.pills.filter(has_text="scan.bmp")
    expect(scan).to_contain_text("cannot be read")
    expect(scan).to_have_attribute("title", re.compile("not a PNG, JPEG, GIF or WebP picture"))
    panel.ask("what do they show?")
    panel.expect_state("complete")
    sent = panel.questions.last.locator(".jp-Cellar-sentPills li")
    expect(sent).to_have_text(["plot.png", "scan.bmp not a PNG, JPEG, GIF or WebP picture"])
    assert "data:image/png;base64" in str(model.requests[-1].body["messages"])


def test_a_folder_is_dropped_as_a_folder(panel: Panel, lab: Lab) -> None:
    lab.write("more/deep.txt", "deep words\n")
    panel.open("lab")
    drag(panel.page, listed(panel, "more"), panel.text)
    expect(panel.pills.filter(has_text="more/")).to_have_count(1)


def test_a_file_of_the_desktop_is_uploaded_and_attached(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    panel.open("lab")
    transfer = panel.page.evaluate_handle(
        """() => {
             const transfer = new DataTransfer();
             transfer.items.add(new File(['from the desktop'], 'desk.txt', {type: 'text/plain'}));
             return transfer;
           }"""
    )
    for event in ("dragenter", "dragover", "drop"):
        panel.text.dispatch_event(event, {"dataTransfer": transfer})
    expect(panel.pills.filter(has_text="desk.txt")).to_have_count(1)
    panel.ask("what does it say?")
    panel.expect_answer("what does it say?")
    assert "from the desktop" in prompt(model)
