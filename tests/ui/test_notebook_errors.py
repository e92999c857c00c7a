"""Explain and Fix under an error output."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import code, error, notebook, open_notebook, prompt
from tests.ui.panel import Panel

RAISES = "def busiest(days):\n    return days[99]\n\nbusiest([1])"


def test_fix_sends_the_error_and_its_cell(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code(RAISES, "one"))
    opened.wait_for_kernel()
    opened.run(0)
    opened.error_buttons.get_by_role("button", name="Fix").click()
    panel.expect_state("complete")
    assert "IndexError: list index out of range" in prompt(model)
    assert "return days[99]" in prompt(model)
    expect(panel.questions.last).to_contain_text("/fix")


def test_fix_sends_the_notebook_around_the_error_too(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(
        panel, lab, code("days = [1, 2]", "before"), code("days[9]", "one", [error("IndexError", "out of range")], 4)
    )
    opened.error_buttons.get_by_role("button", name="Fix").click()
    panel.expect_state("complete")
    assert "IndexError: out of range" in prompt(model)
    assert "days = [1, 2]" in prompt(model)


def test_explain_asks_about_an_error_that_was_saved_with_the_notebook(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("f()", "one", [error("NameError", "name 'f' is not defined")], 4))
    opened.error_buttons.get_by_role("button", name="Explain").click()
    panel.expect_state("complete")
    assert "NameError: name 'f' is not defined" in prompt(model)
    expect(panel.questions.last).to_contain_text("/explain")


def test_the_buttons_go_when_the_output_changes(panel: Panel, lab: Lab) -> None:
    opened = open_notebook(panel, lab, code("raise ValueError('x')", "one"))
    opened.wait_for_kernel()
    opened.run(0)
    expect(opened.error_buttons).to_have_count(1)
    panel.page.keyboard.press("Enter")
    panel.page.keyboard.press("Control+a")
    panel.page.keyboard.type("1 + 1")
    panel.page.keyboard.press("Control+Enter")
    expect(opened.cells.first.locator(".jp-OutputArea-output")).to_have_text("2")
    expect(opened.error_buttons).to_have_count(0)


def test_the_buttons_are_reached_and_pressed_by_keyboard(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(panel, lab, code("f()", "one", [error("NameError", "f")], 4))
    opened.cells.first.locator(".jp-InputPrompt").click()
    for _ in range(20):
        panel.page.keyboard.press("Tab")
        if panel.page.evaluate("document.activeElement.matches('.jp-Cellar-fixError')"):
            break
    panel.page.keyboard.press("Enter")
    panel.expect_state("complete")
    assert "NameError: f" in prompt(model)
    opened.expect_sources("f()")


def test_the_buttons_are_there_again_after_scrolling_in_a_windowed_notebook(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    lab.setting("@jupyterlab/notebook-extension:tracker", windowingMode="full")
    cells = [code("f()", "first", [error("NameError", "first")], 1)]
    cells += [code("\n".join(f"line_{i} = {j}" for j in range(20)), f"c{i}") for i in range(60)]
    cells += [code("g()", "last", [error("NameError", "last")], 2)]
    lab.write("long.ipynb", notebook(*cells))
    panel.open("lab/tree/long.ipynb")
    outer = panel.page.locator(".jp-WindowedPanel-outer")
    first = panel.page.locator(".jp-Cell[data-windowed-list-index='0'] .jp-Cellar-fixError")
    last = panel.page.locator(".jp-Cell[data-windowed-list-index='61'] .jp-Cellar-fixError")
    expect(first).to_be_visible()
    expect(last).to_have_count(0)
    panel.execute("notebook:move-cursor-down")
    outer.evaluate("node => node.scrollTo({top: node.scrollHeight})")
    expect(last).to_be_visible()
    outer.evaluate("node => node.scrollTo({top: 0})")
    expect(first).to_be_visible()
    first.click()
    panel.expect_state("complete")
    assert "NameError: first" in prompt(model)


def test_a_wide_traceback_scrolls_and_the_buttons_stay_in_view(panel: Panel, lab: Lab) -> None:
    wide = error("ValueError", "x" * 20)
    wide["traceback"] = ["wide " * 400]
    opened = open_notebook(panel, lab, code("f()", "one", [wide], 1))
    button = opened.error_buttons.get_by_role("button", name="Fix")
    expect(button).to_be_in_viewport()
    opened.root.locator(".jp-Cellar-errorOutput .jp-RenderedText").evaluate("node => node.scrollTo({left: 9999})")
    expect(button).to_be_in_viewport(ratio=1)


def test_two_errors_each_have_their_own_buttons(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    opened = open_notebook(
        panel,
        lab,
        code("f()", "one", [error("NameError", "in the first")], 1),
        code("g()", "two", [error("TypeError", "in the second")], 2),
    )
    expect(opened.error_buttons).to_have_count(2)
    opened.error_buttons.nth(0).get_by_role("button", name="Fix").click()
    panel.expect_state("complete")
    sent = panel.questions.last.locator(".jp-Cellar-sentPills [data-kind='error']")
    expect(sent).to_have_count(1)
    assert "NameError: in the first" in prompt(model)
