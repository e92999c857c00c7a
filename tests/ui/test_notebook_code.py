"""The code of an answer goes into the notebook or editor used last, and one undo takes it back."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import code, has_class, markdown, open_notebook
from tests.ui.panel import Panel

CODE = 'total = 6 * 7\nprint("total", total)'
ANSWER = f"Try this:\n\n```python\n{CODE}\n```\n"


def answered(panel: Panel, model: FakeVLLM, text: str = ANSWER) -> Locator:
    """Ask, and wait for the answer's code block; its buttons."""
    model.use(Scenario(text=text))
    panel.ask("write it")
    panel.expect_state("complete")
    return panel.last_answer.locator(".jp-Cellar-code")


def press(block: Locator, name: str) -> None:
    block.get_by_role("button", name=name, exact=True).click()


def test_insert_below_makes_a_cell_and_undo_removes_it(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("b = 2", "two"))
    opened.click(0)
    press(answered(panel, model), "Insert below")
    opened.expect_sources("a = 1", CODE, "b = 2")
    expect(opened.cells.nth(1)).to_have_class(has_class("jp-mod-active"))
    panel.page.keyboard.press("z")
    opened.expect_sources("a = 1", "b = 2")


def test_insert_above_makes_a_cell_before_the_active_one(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("b = 2", "two"))
    opened.click(1)
    press(answered(panel, model), "Insert above")
    opened.expect_sources("a = 1", CODE, "b = 2")


def test_replace_puts_the_code_in_place_of_the_cell_and_ctrl_z_brings_it_back(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("b = 2", "two"))
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.type("  # mine, unsaved")
    press(answered(panel, model), "Replace cell or selection")
    opened.expect_sources(CODE, "b = 2")
    panel.page.keyboard.press("Control+z")
    opened.expect_sources("a = 1  # mine, unsaved", "b = 2")
    panel.page.keyboard.press("Control+Shift+z")
    opened.expect_sources(CODE, "b = 2")


def test_replace_touches_only_the_selection_when_there_is_one(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("keep = 1\nold = 2", "one"))
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.press("Shift+Home")
    block = answered(panel, model, "```python\nnew = 3\n```\n")
    press(block, "Replace cell or selection")
    opened.expect_sources("keep = 1\nnew = 3")
    panel.page.keyboard.press("Control+z")
    opened.expect_sources("keep = 1\nold = 2")


def explain(panel: Panel, model: FakeVLLM, number: int) -> Locator:
    """Ask about this cell; the buttons of the answer's code."""
    panel.text.press_sequentially(f"@cell{number}")
    panel.composer.get_by_role("option").filter(has_text=f"Cell {number}:").click()
    return answered(panel, model)


def test_replace_means_the_cell_that_was_asked_about_wherever_it_stands_now(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("b = 2", "two"), code("c = 3", "three"))
    block = explain(panel, model, 1)
    opened.click(0)
    panel.page.keyboard.press("Escape")
    panel.execute("notebook:move-cell-down")
    opened.expect_sources("b = 2", "a = 1", "c = 3")
    opened.click(2)
    press(block, "Replace cell or selection")
    opened.expect_sources("b = 2", CODE, "c = 3")
    expect(opened.cells.nth(1)).to_have_class(has_class("jp-mod-active"))
    panel.page.keyboard.press("Control+z")
    opened.expect_sources("b = 2", "a = 1", "c = 3")


def test_replace_says_that_the_cell_is_gone_and_what_still_works(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("b = 2", "two"), code("c = 3", "three"))
    block = explain(panel, model, 2)
    panel.reload()  # what the question was about is known all the same
    opened.click(1)
    panel.execute("notebook:delete-cell")
    opened.expect_sources("a = 1", "c = 3")
    press(block, "Replace cell or selection")
    dialog = panel.page.get_by_role("dialog")
    expect(dialog).to_contain_text("The cell that you asked about is no longer in work.ipynb.")
    opened.expect_sources("a = 1", "c = 3")
    expect(dialog.get_by_role("button", name="Replace cell 2")).to_be_visible()
    dialog.get_by_role("button", name="Insert below").click()
    opened.expect_sources("a = 1", "c = 3", CODE)


def test_replace_asks_which_cell_when_the_user_has_gone_on_to_another(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), code("b = 2", "two"), code("", "three"))
    opened.click(0)
    block = answered(panel, model)
    opened.click(1)
    dialog = panel.page.get_by_role("dialog")
    press(block, "Replace cell or selection")
    expect(dialog).to_contain_text("You asked in cell 1, and are in cell 2 now.")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    opened.expect_sources("a = 1", "b = 2", "")
    press(block, "Replace cell or selection")
    dialog.get_by_role("button", name="Replace cell 1").click()
    opened.expect_sources(CODE, "b = 2", "")
    opened.click(2)  # nothing is lost there
    press(block, "Replace cell or selection")
    opened.expect_sources(CODE, "b = 2", CODE)


def test_replace_asks_before_it_takes_a_whole_cell_for_the_text_that_was_asked_about(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    opened = open_notebook(panel, lab, code("keep = 1\nold = 2", "one"))
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.press("Shift+Home")
    block = answered(panel, model)
    opened.click(0)
    press(block, "Replace cell or selection")
    dialog = panel.page.get_by_role("dialog")
    expect(dialog).to_contain_text("You asked about some text of cell 1, and nothing is selected there now.")
    dialog.get_by_role("button", name="Replace cell 1").click()
    opened.expect_sources(CODE)


def test_new_cell_and_run_shows_its_output(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, markdown("# Title", "one"))
    press(answered(panel, model), "New cell and run")
    opened.expect_sources("# Title", CODE)
    expect(opened.cells.nth(1).locator(".jp-OutputArea-output")).to_have_text(re.compile("total 42"))


def test_only_what_the_kernel_can_run_is_offered_to_be_run(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    answer = "```bash\necho from the shell\n```\n\n```sql\nselect 1;\n```\n\n```mermaid\ngraph TD; A-->B;\n```\n"
    blocks = answered(panel, model, answer)
    shell, query, diagram = blocks.nth(0), blocks.nth(1), blocks.nth(2)
    for block in (query, diagram):
        expect(block.get_by_role("button", name="Insert below", exact=True)).to_be_visible()
        expect(block.get_by_role("button", name="New cell and run", exact=True)).to_be_hidden()
    press(shell, "New cell and run")
    opened.expect_sources("a = 1", "%%bash\necho from the shell")
    expect(opened.cells.nth(1).locator(".jp-OutputArea-output")).to_have_text(re.compile("from the shell"))
    press(query, "Insert below")
    press(diagram, "Insert below")
    opened.expect_sources("a = 1", "%%bash\necho from the shell", "select 1;", "```mermaid\ngraph TD; A-->B;\n```")
    expect(opened.cells.last).to_have_class(has_class("jp-MarkdownCell"))
    opened.click(0)
    press(shell, "Insert above")
    expect(opened.cells).to_have_count(5)
    assert "%%bash" in opened.cells.first.inner_text()


def test_new_file_opens_with_the_code_in_it(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    open_notebook(panel, lab, code("a = 1", "one"), name="deep/work.ipynb")
    press(answered(panel, model, "```sql\nselect 1;\n```\n"), "New file")
    editor = panel.page.locator(".jp-FileEditor .cm-content")
    expect(editor).to_contain_text("select 1;")
    assert (lab.root / "deep" / "untitled.sql").read_text() == "select 1;\n"


def test_in_an_editor_the_code_goes_to_whole_lines_and_undo_takes_it_back(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    lab.write("tool.py", "first = 1\nlast = 2\n")
    panel.open("lab/tree/tool.py")
    editor = panel.page.locator(".jp-FileEditor .cm-content")
    editor.click()
    panel.page.keyboard.press("Control+Home")
    block = answered(panel, model, "```python\nmiddle = 3\n```\n")
    press(block, "Insert below")
    expect(editor).to_have_text(re.compile(r"first = 1\s*middle = 3\s*last = 2"))
    panel.page.keyboard.press("Control+z")
    expect(editor).to_have_text(re.compile(r"first = 1\s*last = 2"))


def test_the_target_is_the_document_used_last(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("tool.py", "first = 1\n")
    opened = open_notebook(panel, lab, code("a = 1", "one"))
    block = answered(panel, model)
    expect(block.get_by_role("button", name="New cell and run")).to_be_visible()
    panel.execute("docmanager:open", path="tool.py")
    expect(block.get_by_role("button", name="New cell and run")).to_be_hidden()
    panel.execute("docmanager:open", path="work.ipynb")
    press(block, "Insert below")
    opened.expect_sources("a = 1", CODE)


def test_without_a_document_only_a_new_file_is_possible(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    panel.open("lab")
    block = answered(panel, model)
    expect(block.get_by_role("button", name="Insert below")).to_be_hidden()
    press(block, "New file")
    expect(panel.page.locator(".jp-FileEditor .cm-content")).to_contain_text("total = 6 * 7")
