"""`%%ai` in a notebook: the card while it streams, what its buttons do, and what stays after a reload."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cellar_jupyter.kernel.display import ANSWER_MIME
from playwright.sync_api import Locator, Page, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import AllowConsole
from tests.ui.lab import Lab, wait_until
from tests.ui.notebook import Notebook, code, open_notebook
from tests.ui.notebook import notebook as document
from tests.ui.panel import Panel

LOAD = code("%load_ext cellar_jupyter", "load")
CODE = "Try this:\n\n```python\nx = 41 + 1\nprint(x)\n```\n\nIt prints **42**."


def cards(page: Page) -> Locator:
    return page.locator(".jp-NotebookPanel .jp-Cellar-card")


def button(page: Page, name: str) -> Locator:
    return cards(page).locator(".jp-Cellar-button").get_by_text(name, exact=True)


def wait_for_kernel(page: Page) -> None:
    """It has told who it is; what is run before is lost."""
    page.evaluate(
        """async () => {
          const context = window.jupyterapp.shell.currentWidget.sessionContext;
          await context.ready;
          await context.session.kernel.info;
        }"""
    )


def ready(panel: Panel, lab: Lab, *cells: dict[str, Any]) -> Notebook:
    """A notebook whose kernel has the magics; its second cell is active."""
    opened = open_notebook(panel, lab, LOAD, *cells)
    wait_for_kernel(panel.page)
    opened.run(0)
    expect(opened.cells.first.locator(".jp-InputPrompt")).to_have_text("[1]:")
    return opened


def saved(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((lab.root / "work.ipynb").read_text())
    return found


def test_the_answer_streams_into_the_card(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\ncount", "ask"))
    model.use("gated")
    model.release(2)
    notebook.run(1)
    card = cards(panel.page)
    expect(card).to_have_attribute("data-state", "streaming")
    expect(card).to_contain_text("one two")
    expect(card).not_to_contain_text("three")
    expect(button(panel.page, "Stop")).to_be_visible()
    model.release_all()
    expect(card).to_have_attribute("data-state", "complete")
    expect(card).to_contain_text("one two three four five six")
    expect(card).to_have_count(1)


def test_the_answer_is_drawn_once_and_as_markdown(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    output = notebook.cells.nth(1).locator(".jp-OutputArea-output")
    expect(output.locator("strong")).to_have_text("42")
    expect(output).to_have_count(1)
    assert output.inner_text().count("Try this") == 1


def test_stop_interrupts_the_kernel_and_keeps_the_text(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\ncount", "ask"), code("print('later')", "later"))
    model.use("gated")
    model.release(2)
    notebook.run(1)
    expect(cards(panel.page)).to_contain_text("one two")
    button(panel.page, "Stop").click()
    expect(cards(panel.page)).to_have_attribute("data-state", "stopped")
    expect(cards(panel.page)).to_contain_text("one two")
    model.wait_for(lambda m: m.aborted == 1)
    notebook.run(2)
    expect(notebook.cells.nth(2).locator(".jp-OutputArea")).to_contain_text("later")


def test_insert_below_makes_a_cell_of_the_code(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"), code("# after", "after"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    button(panel.page, "Insert below").click()
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai\nwrite it", "x = 41 + 1\nprint(x)", "# after")


def test_the_buttons_work_by_keyboard(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    button(panel.page, "Copy").focus()
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai\nwrite it", "x = 41 + 1\nprint(x)")


def test_a_stopped_answer_offers_no_explanation_of_its_end(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nhello", "ask"))
    model.use("silent")
    notebook.run(1)
    button(panel.page, "Stop").click()
    expect(notebook.cells.nth(1).locator(".jp-OutputArea")).to_have_text("Stopped.")
    expect(cards(panel.page)).to_have_count(0)
    expect(notebook.error_buttons).to_have_count(0)


def test_insert_below_makes_a_markdown_cell_of_an_answer_without_code(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwhy", "ask"))
    model.use(Scenario(text="Because **so**."))
    notebook.run(1)
    button(panel.page, "Insert below").click()
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai\nwhy", "Because **so**.")
    kind = "() => window.jupyterapp.shell.currentWidget.content.model.cells.get(2).type"
    assert panel.page.evaluate(kind) == "markdown"
    expect(button(panel.page, "Replace cell")).to_have_count(0)


def test_replace_cell_puts_the_code_in_place_of_the_question(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"), code("# after", "after"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    notebook_cell = notebook.cells.nth(2)
    notebook_cell.click()  # another cell is active: the card acts on its own
    button(panel.page, "Replace cell").click()
    notebook.expect_sources("%load_ext cellar_jupyter", "x = 41 + 1\nprint(x)", "# after")


def test_copy_takes_the_answer(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    panel.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(panel.page, "Copy").click()
    expect(button(panel.page, "Copied")).to_be_visible()
    assert panel.page.evaluate("() => navigator.clipboard.readText()") == CODE


def test_the_bar_of_a_code_block_acts_on_the_cell_around_it(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text="```python\na = 1\n```\n\nor\n\n```python\nb = 2\n```"))
    notebook.run(1)
    blocks = cards(panel.page).locator(".jp-Cellar-code")
    expect(blocks).to_have_count(2)
    blocks.nth(1).hover()
    shown = blocks.nth(1).locator("[data-cellar-action]:visible")
    assert {shown.nth(i).get_attribute("data-cellar-action") for i in range(shown.count())} == {
        "copy",
        "insertBelow",
        "replace",
    }
    blocks.nth(1).locator("[data-cellar-action=insertBelow]").click()
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai\nwrite it", "b = 2")


def test_the_bar_of_a_code_block_says_that_it_copied(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    bar = cards(panel.page).locator(".jp-Cellar-code-actions")
    bar.get_by_role("button", name="Copy", exact=True).click()
    expect(bar.get_by_role("button", name="Copied", exact=True)).to_be_visible()


def test_code_format_puts_the_code_into_the_next_cell(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai -f code\nwrite it", "ask"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai -f code\nwrite it", "x = 41 + 1\nprint(x)")


def test_the_saved_notebook_shows_the_card_again(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text=CODE))
    notebook.run(1)
    expect(cards(panel.page)).to_have_attribute("data-state", "complete")
    panel.execute("docmanager:save")
    wait_until(lambda: saved(lab)["cells"][1]["outputs"], "the saved answer")
    (output,) = saved(lab)["cells"][1]["outputs"]
    assert "".join(output["data"]["text/markdown"]) == CODE
    assert not any("widget" in kind for kind in output["data"])
    panel.reload()
    expect(cards(panel.page)).to_contain_text("It prints 42.")
    button(panel.page, "Insert below").click()
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai\nwrite it", "x = 41 + 1\nprint(x)")


def test_a_page_that_was_loaded_anew_meanwhile_gets_the_answer_and_saves_it(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"))
    model.use(Scenario(text=CODE, gated=True))
    model.release(2)
    notebook.run(1)
    expect(cards(panel.page)).to_contain_text("Try")
    panel.execute("docmanager:save")
    wait_until(lambda: saved(lab)["cells"][1]["outputs"], "the saved widget")
    panel.reload()
    expect(notebook.cells).to_have_count(2)
    model.release_all()
    expect(cards(panel.page)).to_contain_text("It prints 42.")
    expect(cards(panel.page)).to_have_attribute("data-state", "complete")
    panel.execute("docmanager:save")
    wait_until(lambda: ANSWER_MIME in saved(lab)["cells"][1]["outputs"][0]["data"], "the saved answer")
    (output,) = saved(lab)["cells"][1]["outputs"]
    assert "".join(output["data"]["text/markdown"]) == CODE


def test_a_page_that_was_loaded_anew_meanwhile_shows_the_new_answer_in_place_of_the_saved_one(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    notebook = ready(panel, lab, code("%%ai\nwrite it", "ask"), code("%%ai\nwrite it", "cleared"))
    model.use(Scenario(text="the answer before"))
    for cell in (1, 2):
        notebook.run(cell)
        expect(notebook.cells.nth(cell).locator(".jp-Cellar-card")).to_have_attribute("data-state", "complete")
    notebook.click(2)
    panel.execute("notebook:clear-cell-output")
    panel.execute("docmanager:save")
    wait_until(lambda: "the answer before" in str(saved(lab)["cells"][1]["outputs"]), "the saved answer")
    model.use(Scenario(text=CODE, gated=True))
    notebook.run(1)
    model.wait_for(lambda fake: len(fake.requests) == 3)
    panel.reload()
    expect(cards(panel.page)).to_contain_text("the answer before")
    model.release_all()
    expect(cards(panel.page)).to_contain_text("It prints 42.")
    expect(cards(panel.page)).to_have_count(1)  # what was cleared stays so
    panel.execute("docmanager:save")
    wait_until(lambda: "It prints" in str(saved(lab)["cells"][1]["outputs"]), "the saved answer")
    assert len(saved(lab)["cells"][1]["outputs"]) == 1


def test_what_had_come_stays_when_the_kernel_is_restarted(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\ncount", "ask"))
    model.use("gated")
    model.release(2)
    notebook.run(1)
    expect(cards(panel.page)).to_contain_text("one two")
    panel.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(cards(panel.page)).to_have_attribute("data-state", "interrupted")
    expect(cards(panel.page)).to_contain_text("one two")
    expect(button(panel.page, "Stop")).to_have_count(0)
    button(panel.page, "Insert below").click()
    notebook.expect_sources("%load_ext cellar_jupyter", "%%ai\ncount", "one two")


def test_an_error_is_one_line_without_an_empty_card(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nhello", "ask"))
    model.use("unauthorized")
    notebook.run(1)
    output = notebook.cells.nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("VLLM_API_KEY")
    expect(output).not_to_contain_text("Traceback")
    expect(cards(panel.page)).to_have_count(0)


@pytest.mark.parametrize("options", ["", "-f code"])
def test_an_answer_of_nothing_is_one_line_and_no_cell(panel: Panel, lab: Lab, model: FakeVLLM, options: str) -> None:
    notebook = ready(panel, lab, code(f"%%ai {options}\nhello", "ask"))
    model.use(Scenario(tokens=["\n"]))
    notebook.run(1)
    output = notebook.cells.nth(1).locator(".jp-OutputArea")
    expect(output).to_have_text("The model answered with nothing. Ask again, or in other words.")
    expect(cards(panel.page)).to_have_count(0)
    expect(output.locator(".jp-Cellar-cardHost")).to_have_count(0)
    notebook.expect_sources("%load_ext cellar_jupyter", f"%%ai {options}\nhello")


@pytest.mark.parametrize("damaged", ["text", None, 7])
def test_a_damaged_answer_is_drawn_from_what_stands_beside_it(panel: Panel, lab: Lab, damaged: object) -> None:
    data = {ANSWER_MIME: damaged, "text/markdown": "The **answer**.", "text/plain": "The answer."}
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    open_notebook(panel, lab, code("%%ai\nhello", "ask", outputs=[output]))
    expect(cards(panel.page).locator("strong")).to_have_text("answer")


def test_scripts_and_pictures_of_a_model_stay_dead(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    notebook = ready(panel, lab, code("%%ai\nhello", "ask"))
    bad = 'Hi <img src=x onerror="window.bad=1"> <script>window.bad=1</script> ![p](http://127.0.0.1:9/p.png) end'
    model.use(Scenario(text=bad))
    notebook.run(1)
    expect(cards(panel.page)).to_contain_text("end")
    assert panel.page.evaluate("() => window.bad") is None
    expect(cards(panel.page).locator("img, script")).to_have_count(0)


def test_the_card_works_in_notebook_7(page: Page, lab: Lab, model: FakeVLLM, allow_console: AllowConsole) -> None:
    # Notebook 7.6 complains of a file browser that its notebook page does not have
    allow_console("filebrowser:open-path|reading 'schema'")
    lab.write("seven.ipynb", document(LOAD, code("%%ai\ncount", "ask")))
    page.goto(lab.page_url("notebooks/seven.ipynb"))
    panel = Panel(page, lab)
    panel.wait_for_app()
    opened = Notebook(page)
    expect(opened.cells).to_have_count(2)
    wait_for_kernel(page)
    opened.run(0)
    expect(opened.cells.first.locator(".jp-InputPrompt")).to_have_text("[1]:")
    model.use("gated")
    model.release(2)
    opened.run(1)
    expect(cards(page)).to_contain_text("one two")
    button(page, "Stop").click()
    expect(cards(page)).to_have_attribute("data-state", "stopped")


@pytest.mark.real_model
def test_the_embedded_model_answers_in_a_notebook(page: Page, lab_real: Lab) -> None:
    panel = Panel(page, lab_real)
    notebook = ready(panel, lab_real, code("%%ai --context none\nSay hello.", "ask"))
    notebook.run(1)
    expect(cards(page)).to_have_attribute("data-state", "complete", timeout=60_000)
    expect(cards(page).locator(".jp-Cellar-card-prose")).not_to_be_empty()
