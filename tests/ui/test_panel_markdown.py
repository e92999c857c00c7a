"""Markdown as models write it: prices, footnotes, diagrams, tables, deep lists; and it can be read in every theme."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel

CONTRAST = """node => {
    const rgba = color => {
        const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
    const chain = [];
    for (let each = node; each; each = each.parentElement) chain.unshift(getComputedStyle(each));
    let back = [255, 255, 255], opacity = 1;
    for (const style of chain) {
        back = over(rgba(style.backgroundColor), back);
        opacity *= Number(style.opacity);
    }
    const color = rgba(getComputedStyle(node).color);
    color[3] *= opacity;
    const light = rgb => {
        const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [a, b] = [light(over(color, back)), light(back)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
}"""


def answered(panel: Panel, model: FakeVLLM, text: str) -> Locator:
    model.use(Scenario(text=text))
    panel.open("lab")
    panel.ask("Write")
    panel.expect_state("complete")
    return panel.last_answer


def test_prices_are_no_maths(panel: Panel, model: FakeVLLM) -> None:
    answer = answered(panel, model, "It costs $5 and $6, or \\$7 and \\$8.\n\nThe mean $x_1$ costs $9.")
    expect(answer.locator("mjx-container")).to_have_count(1)
    expect(answer.locator("p").first).to_have_text("It costs $5 and $6, or $7 and $8.")
    expect(answer.locator("p").last).to_contain_text("costs $9.")


def test_the_text_of_a_footnote_stays(panel: Panel, model: FakeVLLM) -> None:
    answer = answered(panel, model, "A claim[^1] and[^2].\n\n[^1]: note\n[^2]: https://two.example")
    expect(answer.locator("p")).to_have_text(["A claim[^1] and[^2].", "[^1]: note", "[^2]: https://two.example"])


def test_a_diagram_stands_in_the_frame_of_its_code(panel: Panel, model: FakeVLLM) -> None:
    answer = answered(panel, model, "Look:\n\n```mermaid\ngraph LR\n  A --> B\n```\n\nEnd.")
    frame = answer.locator(".jp-Cellar-code")
    expect(frame.locator(".jp-Cellar-code-language")).to_have_text("mermaid")
    expect(frame.locator("img")).to_be_visible()
    expect(frame.locator("pre")).to_be_hidden()
    bar, picture = frame.locator(".jp-Cellar-code-bar").bounding_box(), frame.locator("img").bounding_box()
    assert bar and picture and bar["y"] < picture["y"]
    expect(frame.locator("pre")).to_contain_text("A --> B")


def test_a_diagram_that_cannot_be_drawn_is_its_code(panel: Panel, model: FakeVLLM) -> None:
    answer = answered(panel, model, "Look:\n\n```mermaid\ngraph LR\n  A --> ((\n```\n\nEnd.")
    expect(answer.locator(".jp-Cellar-code-language")).to_have_text("mermaid")
    expect(answer.locator(".jp-Cellar-code pre")).to_be_visible()
    expect(answer.locator(".jp-Cellar-code pre")).to_contain_text("A --> ((")


def test_columns_are_aligned_as_the_table_says(panel: Panel, model: FakeVLLM) -> None:
    answer = answered(panel, model, "| a | b | c |\n|---|---:|:-:|\n| 1 | 2 | 3 |")
    expect(answer.locator("td")).to_have_count(3)
    aligned = answer.locator("td").evaluate_all("cells => cells.map(cell => getComputedStyle(cell).textAlign)")
    assert aligned == ["left", "right", "center"]


def test_a_wide_table_scrolls_in_the_answer_and_its_columns_keep_room_for_words(panel: Panel, model: FakeVLLM) -> None:
    words = " | ".join(["several words in a cell"] * 6)
    answer = answered(panel, model, f"Look:\n\n| {words} |\n|{'---|' * 6}\n| {words} |\n\nEnd.")
    widths = answer.evaluate(
        """answer => {
            const frame = answer.querySelector('.jp-Cellar-table');
            return [frame.clientWidth, frame.scrollWidth, answer.clientWidth, answer.scrollWidth];
        }"""
    )
    shown, whole, width, of_all = widths
    assert shown <= width == of_all and whole > shown
    assert min(answer.locator("td").evaluate_all("cells => cells.map(cell => cell.clientWidth)")) > 70
    answer.locator(".jp-Cellar-table").evaluate("frame => frame.scrollTo({left: 10000})")
    expect(answer.locator("td").last).to_be_in_viewport()


def test_a_narrow_table_is_no_wider_than_its_words(panel: Panel, model: FakeVLLM) -> None:
    answer = answered(panel, model, "| a | b |\n|---|---|\n| 1 | 2 |")
    table = answer.locator("table")
    expect(table).to_be_visible()
    assert table.evaluate("table => table.offsetWidth < 100")


@pytest.mark.parametrize("mark", ["- ", "> "])
def test_a_list_of_any_depth_stays_in_the_panel(panel: Panel, model: FakeVLLM, mark: str) -> None:
    levels = [("  " * level + mark if mark == "- " else mark * (level + 1)) + f"level{level}" for level in range(60)]
    answer = answered(panel, model, "\n".join([*levels, "", "End."]))
    expect(answer).to_contain_text("level59")
    inside = answer.evaluate(
        """answer => [...answer.querySelectorAll('li, p')].every(
            node => node.getBoundingClientRect().left < answer.getBoundingClientRect().right - 60)"""
    )
    assert inside


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_stands_small_has_contrast(panel: Panel, lab: Lab, model: FakeVLLM, theme: str) -> None:
    if theme == "dark":
        lab.dark()
    answered(panel, model, "See:\n\n```python\nprint(1)\n```\n\nEnd.")
    panel.page.mouse.move(0, 0)
    for name in (".jp-Cellar-receiptButton", ".jp-Cellar-code-language"):
        contrast = panel.last_turn.locator(name).evaluate(CONTRAST)
        assert contrast >= 4.5, (name, contrast)
