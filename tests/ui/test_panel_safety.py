"""What a model writes is not trusted."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import code, markdown, open_notebook
from tests.ui.panel import Panel


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("html", "end of html"),
        ("script", "end of script"),
        ("javascript_link", "end of links"),
        ("command_linker", "end of commands"),
    ],
)
def test_nothing_in_an_answer_runs(panel: Panel, model: FakeVLLM, answer: str, end: str) -> None:
    model.use(Scenario(answer=answer))
    panel.open()
    panel.ask("go")
    panel.expect_answer(end)
    body = panel.last_answer.locator(".jp-Cellar-markdown")
    expect(body.locator("script, style, iframe, form, button:not([data-cellar-action]), svg[onload]")).to_have_count(0)
    expect(body.locator("[data-commandlinker-command], [onerror], [onclick], a[href^='javascript']")).to_have_count(0)
    for link in body.locator("a").all():
        link.click()
    assert panel.page.evaluate("() => window.pwned") is None


def test_remote_pictures_are_not_loaded(panel: Panel, model: FakeVLLM) -> None:
    asked: list[str] = []
    panel.page.on("request", lambda request: asked.append(request.url))
    model.use(Scenario(answer="remote_image"))
    panel.open()
    panel.ask("go")
    panel.expect_answer("end of images")
    expect(panel.last_answer.locator("img")).to_have_count(0)
    expect(panel.last_answer.get_by_role("link", name="chart")).to_be_visible()
    assert not [url for url in asked if "images.example.invalid" in url]


def test_control_characters_are_shown(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(answer="bidi"))
    panel.open()
    panel.ask("go")
    panel.expect_answer("⟦U+202E⟧")
    model.use(Scenario(answer="ansi"))
    panel.ask("again")
    panel.expect_answer("␛[31mred")


def test_an_endless_line_wraps(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(answer="endless_line"))
    panel.open()
    panel.ask("go")
    expect(panel.last_turn).to_have_attribute("data-state", "complete", timeout=40_000)
    wide = panel.root.locator(".jp-Cellar-transcript").evaluate("node => node.scrollWidth - node.clientWidth")
    assert wide <= 0


def test_links_open_in_a_new_tab_without_a_way_back(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="See [the docs](https://docs.example.invalid/) and [a file](data.csv)."))
    panel.open()
    panel.ask("go")
    panel.expect_answer("See the docs and a file.")
    link = panel.last_answer.get_by_role("link")
    expect(link).to_have_count(1)
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener")
    expect(link).to_have_attribute("referrerpolicy", "no-referrer")


def test_an_answer_changes_no_formula_of_another_or_of_a_notebook(panel: Panel, model: FakeVLLM) -> None:
    definitions = (
        r"$\def\alpha{EVIL}$",
        r"$\let\alpha=\beta$",
        r"\(\newcommand{\alpha}{EVIL}\)",
        "$$\n\\renewcommand{\\alpha}{EVIL}\n$$",
        r"$\DeclareMathOperator{\alpha}{EVIL}$",
        r"$\DeclarePairedDelimiter{\alpha}{|}{|}$",
        r"\begin{align}\def\alpha{EVIL}\end{align}",
        r"&#36;&#92;def\alpha{EVIL}&#36; and \(x\)",
    )
    panel.open()
    model.use(Scenario(text="\n\n".join(("Before $x+1$.", *definitions, "After $y+2$."))))
    panel.ask("define")
    panel.expect_answer("After")
    blocks = panel.last_answer.locator(".jp-Cellar-block")
    expect(blocks.first.locator("mjx-container")).to_be_visible()
    expect(blocks.last.locator("mjx-container")).to_be_visible()
    expect(panel.last_answer.locator("mjx-container")).to_have_count(2)
    expect(blocks.nth(1)).to_have_text(definitions[0])
    model.use(Scenario(text="Now $\\alpha$."))
    panel.ask("use")
    formula = panel.last_answer.locator("mjx-container")
    expect(formula.locator("mjx-mi")).to_have_count(1)
    expect(formula.locator("mjx-assistive-mml")).to_have_text("α")


def test_a_card_changes_no_formula_of_the_notebook(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    model.use(Scenario(text=r"So $\def\alpha{EVIL}$ and done."))
    cells = (code("%load_ext cellar_jupyter", "load"), code("%ai define", "ask"), markdown("Here is", "text"))
    opened = open_notebook(panel, lab, *cells)
    opened.wait_for_kernel()
    opened.run(0)
    opened.run(1)
    expect(panel.page.locator(".jp-Cellar-card")).to_contain_text("and done")
    panel.page.evaluate(
        r"() => window.jupyterapp.shell.currentWidget.content.widgets[2].model.sharedModel.setSource('A $\\alpha$.')"
    )
    formula = opened.cells.nth(2).locator("mjx-container")
    expect(formula.locator("mjx-mi")).to_have_count(1)
