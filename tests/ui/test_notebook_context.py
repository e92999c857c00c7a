"""What a question takes along: the live notebook, the selection, files, cells by name, the last error."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import AllowConsole
from tests.ui.lab import Lab
from tests.ui.notebook import code, error, markdown, notebook, open_notebook, posted_parts, prompt
from tests.ui.panel import Panel


def test_an_unsaved_edit_is_what_arrives_at_the_model(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("a = 1", "one"), markdown("# Title", "two"))
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.type("\nnever_saved = 2")
    panel.ask("what is there?")
    panel.expect_answer("what is there?")
    assert "never_saved = 2" in prompt(model)
    assert "# Title" in prompt(model)
    assert "never_saved" not in (lab.root / "work.ipynb").read_text()


def test_the_selection_is_a_pill_and_travels(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("first = 1\nsecond = 2", "one"))
    expect(panel.pills).to_have_count(1)
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.press("Shift+Home")
    expect(panel.pills).to_have_count(2)
    expect(panel.pills.last).to_contain_text("Cell 1, line 2")
    panel.ask("this one?")
    panel.expect_answer("this one?")
    receipt = lab.cellar("GET", "conversations")
    turn = lab.cellar("GET", f"conversations/{_first_id(receipt)}")["turns"][0]
    assert [pill["kind"] for pill in turn["pills"]] == ["notebook", "selection"]


def test_an_empty_selection_is_no_pill(panel: Panel, lab: Lab) -> None:
    opened = open_notebook(panel, lab, code("first = 1", "one"))
    opened.click(0)
    panel.page.keyboard.press("Control+a")
    expect(panel.pills).to_have_count(2)
    panel.page.keyboard.press("ArrowRight")
    expect(panel.pills).to_have_count(1)


def test_an_editors_unsaved_text_travels(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("tool.py", "saved = 1\n")
    panel.open("lab/tree/tool.py")
    expect(panel.pills).to_have_text(re.compile("tool.py"))
    panel.page.locator(".jp-FileEditor .cm-content").click()
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.type("unsaved = 2")
    panel.ask("and now?")
    panel.expect_answer("and now?")
    assert "unsaved = 2" in prompt(model)


def test_an_output_and_an_error_travel_without_colours(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "forty-two\n"}
    open_notebook(panel, lab, code("f()", "one", [stream, error("ValueError", "no such day")], 1))
    panel.ask("why?")
    panel.expect_answer("why?")
    assert "forty-two" in prompt(model)
    assert "ValueError: no such day" in prompt(model)
    assert "\x1b" not in prompt(model)


def test_a_long_output_is_cut_before_it_is_posted(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "begin " + "x" * 200_000 + " end"}
    open_notebook(panel, lab, code("f()", "one", [stream], 1))
    with panel.page.expect_request(re.compile(r"cellar/api/turns(\?|$)")) as posted:
        panel.ask("long?")
    output = posted_parts(posted.value)["notebook"]["cells"][0]["outputs"][0]
    assert len(output["text"]) < 5000
    assert output["cut"] > 190_000
    assert output["text"].startswith("begin") and output["text"].endswith("end")


def test_a_cell_is_mentioned_by_its_number_and_by_its_words(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("other.py", "pass\n")
    open_notebook(panel, lab, code("alpha = 1", "one"), code("def beta():\n    pass", "two"))
    for query in ("2", "beta"):
        panel.text.fill("")
        panel.text.press_sequentially(f"@{query}")
        option = panel.page.get_by_role("option", name=re.compile("Cell 2: def beta"))
        expect(option.first).to_be_visible()
    panel.text.press("Enter")
    expect(panel.pills.last).to_contain_text("Cell 2")


def test_enter_before_the_new_list_is_there_means_the_first_of_it(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    open_notebook(panel, lab, code("alpha = 1", "one"), code("def beta():\n    pass", "two"))
    panel.text.press_sequentially("@alpha")
    expect(panel.page.get_by_role("option", name=re.compile("Cell 1: alpha")).first).to_be_visible()
    panel.text.fill("@beta")
    panel.text.press("Enter")
    expect(panel.pills.last).to_contain_text("Cell 2")
    expect(panel.text).to_have_value("")


def test_a_file_of_the_workspace_is_mentioned(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("data/prices.csv", "day,price\nmonday,3\n")
    open_notebook(panel, lab, code("alpha = 1", "one"))
    panel.text.press_sequentially("@prices")
    panel.page.get_by_role("option", name=re.compile("prices.csv")).first.click()
    expect(panel.pills.last).to_contain_text("prices.csv")
    panel.ask("what is in it?")
    panel.expect_answer("what is in it?")
    assert "monday,3" in prompt(model)


def test_the_last_error_is_mentioned(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    open_notebook(
        panel,
        lab,
        code("old()", "one", [error("KeyError", "old")], 3),
        code("new()", "two", [error("TypeError", "new")], 7),
        code("older()", "three", [error("NameError", "older")], 2),
    )
    panel.text.press_sequentially("@error")
    expect(panel.page.get_by_role("option", name=re.compile("TypeError in cell 2")).first).to_be_visible()


def test_a_notebook_that_is_not_open_is_read_from_its_file(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("closed.ipynb", notebook(code("hidden_away = 5", "x")))
    open_notebook(panel, lab, code("alpha = 1", "one"))
    panel.text.press_sequentially("@closed")
    panel.page.get_by_role("option", name=re.compile("closed.ipynb")).first.click()
    panel.ask("what is in it?")
    panel.expect_answer("what is in it?")
    assert "hidden_away = 5" in prompt(model)


def test_another_tab_changes_what_is_offered(panel: Panel, lab: Lab) -> None:
    lab.write("tool.py", "pass\n")
    open_notebook(panel, lab, code("alpha = 1", "one"))
    expect(panel.pills.first).to_contain_text("work.ipynb")
    panel.execute("docmanager:open", path="tool.py")
    expect(panel.pills.first).to_contain_text("tool.py")
    panel.execute("docmanager:open", path="work.ipynb")
    expect(panel.pills.first).to_contain_text("work.ipynb")


def test_closing_the_document_takes_its_pill_along(panel: Panel, lab: Lab, allow_console: AllowConsole) -> None:
    allow_console("debugger")  # JupyterLab's own, when a notebook is closed soon after it was opened
    open_notebook(panel, lab, code("alpha = 1", "one")).wait_for_kernel()
    expect(panel.pills).to_have_count(1)
    panel.execute("docmanager:save")
    panel.execute("application:close-all")
    expect(panel.pills).to_have_count(0)


def test_a_cell_that_vanished_before_the_question_left_is_marked_in_it(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("kept = 1", "one"), code("lost = 2", "two"), code("other = 3", "three"))
    for number in (1, 2):
        panel.text.press_sequentially(f"@cell{number}")
        panel.composer.get_by_role("option").filter(has_text=f"Cell {number}:").click()
    expect(panel.pills).to_have_count(3)
    opened.click(1)
    panel.page.keyboard.press("Escape")
    panel.page.keyboard.press("d")
    panel.page.keyboard.press("d")
    expect(opened.cells).to_have_count(2)
    panel.text.press_sequentially("compare them")
    expect(panel.pills.filter(has_text="Cell 2")).to_contain_text("no longer there")
    panel.text.press("Enter")
    panel.expect_state("complete")
    sent = panel.questions.last.locator(".jp-Cellar-sentPills li.jp-mod-gone")
    expect(sent).to_have_text(["Cell 2: lost = 2 no longer there"])
    assert "Could not be read: cells: work.ipynb, Cell 2: lost = 2 (no longer there)" in prompt(model)
    panel.reload()
    expect(sent).to_have_text(["Cell 2: lost = 2 no longer there"])
    expect(panel.questions.last.locator(".jp-Cellar-sentPills li")).to_have_count(3)


def test_a_cell_of_a_notebook_that_was_closed_is_read_from_its_file(
    panel: Panel, lab: Lab, model: FakeVLLM, allow_console: AllowConsole
) -> None:
    allow_console("debugger")  # JupyterLab's own, when a notebook is closed soon after it was opened
    open_notebook(panel, lab, code("kept = 1", "one")).wait_for_kernel()
    panel.text.press_sequentially("@cell1")
    panel.composer.get_by_role("option").filter(has_text="Cell 1:").click()
    expect(panel.pills).to_have_count(2)
    panel.execute("docmanager:save")
    panel.execute("application:close-all")
    expect(panel.pills).to_have_count(1)
    panel.text.press_sequentially("what is this?")
    panel.text.press("Enter")
    panel.expect_state("complete")
    assert prompt(model).count("kept = 1") == 1
    expect(panel.questions.last.locator(".jp-mod-gone")).to_have_count(0)


def _first_id(listed: object) -> str:
    rows = listed["conversations"] if isinstance(listed, dict) else listed
    assert isinstance(rows, list)
    return str(rows[0]["id"])
