"""Notebook 7: the panel in each of its views, with what that view has as context."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import Notebook, code, error, notebook, prompt
from tests.ui.panel import Panel


def test_the_notebook_view_offers_its_notebook_and_takes_code(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("work.ipynb", notebook(code("alpha = 1", "one"), code("f()", "two", [error("NameError", "f")], 1)))
    panel.open("notebooks/work.ipynb")
    opened = Notebook(panel.page)
    expect(panel.pills.first).to_contain_text("work.ipynb")
    opened.error_buttons.get_by_role("button", name="Fix").click()
    panel.expect_state("complete")
    assert "NameError: f" in prompt(model)
    model.use(Scenario(text="```python\nbeta = 2\n```\n"))
    opened.click(0)
    panel.ask("and what is alpha?")
    panel.expect_state("complete")
    assert "alpha = 1" in prompt(model, 0)  # the notebook went with Fix and stands above what followed
    panel.last_answer.get_by_role("button", name="Insert below", exact=True).click()
    opened.expect_sources("alpha = 1", "beta = 2", "f()")


def test_the_tree_view_answers_and_adds_files(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("notes.txt", "bicycles are counted\n")
    panel.open("tree")
    expect(panel.pills).to_have_count(0)
    panel.page.locator(".jp-DirListing-item").filter(has_text="notes.txt").click(button="right")
    panel.page.locator(".lm-Menu-item").filter(has_text="Add to Cellar Chat").click()
    expect(panel.pills.filter(has_text="notes.txt")).to_have_count(1)
    panel.ask("what does it say?")
    panel.expect_answer("what does it say?")
    assert "bicycles are counted" in prompt(model)


def test_the_editor_view_offers_its_file_and_takes_code(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("tool.py", "first = 1\nlast = 2\n")
    panel.open("edit/tool.py")
    expect(panel.pills.first).to_contain_text("tool.py")
    editor = panel.page.locator(".jp-FileEditor .cm-content")
    editor.click()
    panel.page.keyboard.press("Control+Home")
    panel.page.keyboard.type("unsaved = 0\n")
    model.use(Scenario(text="```python\nmiddle = 3\n```\n"))
    panel.ask("what is unsaved?")
    panel.expect_state("complete")
    assert "unsaved = 0" in prompt(model)
    panel.last_answer.get_by_role("button", name="Insert below", exact=True).click()
    expect(editor).to_have_text(re.compile(r"first = 1\s*middle = 3\s*last = 2"))


def test_the_panel_is_in_the_right_area_and_can_be_closed_and_opened(panel: Panel, lab: Lab) -> None:
    lab.write("work.ipynb", notebook(code("alpha = 1", "one")))
    panel.open("notebooks/work.ipynb")
    expect(panel.page.locator("#jp-right-stack, .jp-SidePanel-right").locator(".jp-Cellar-panel").first).to_be_visible()
    panel.page.keyboard.press("Control+Alt+i")
    panel.execute("application:toggle-panel", side="right", title="Cellar", id="cellar-panel")
    expect(panel.text).to_be_hidden()
    panel.page.keyboard.press("Control+Alt+i")
    expect(panel.text).to_be_focused()
