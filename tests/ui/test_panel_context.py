"""What goes along, and how it is shown: the rest of `@`, masked secrets, locked pictures, the dark theme."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel
from tests.ui.test_composer_context import attached

KEY = "sk-proj-Zk3vQ8pL2mN7xR4tB9wY1cF6hJ5dS0gA"
LONG = """# Heading

Some text with `code` and a [link](https://example.org/).

| month | sold |
|---|---|
| May | 12 |

```python
print("May")  # a comment
```

> A quote."""
# WCAG's contrast of an element's text with the first opaque background behind it.
CONTRAST = """node => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    let back = null;
    for (let at = node; at && !back; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor);
        back = colour.length === 3 || colour[3] > 0.95 ? colour : null;
    }
    const light = colour => {
        const [r, g, b] = colour.slice(0, 3).map(c => {
            const s = c / 255;
            return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(back ?? [255, 255, 255])];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def contrast(place: Locator) -> float:
    found: float = place.evaluate(CONTRAST)
    return found


def test_a_folder_goes_along_by_at(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("reports/may.md", "sold 4711 bottles")
    panel.open("lab")
    panel.text.press_sequentially("what is in @repor")
    panel.composer.get_by_role("option").filter(has_text="reports").first.click()
    expect(attached(panel, "folder:reports")).to_be_visible()
    panel.text.press("Enter")
    panel.expect_state("complete")
    assert "may.md" in str(model.requests[-1].body["messages"])


def test_the_selection_goes_along_by_at_after_the_cursor_has_left(panel: Panel, page: Page, model: FakeVLLM) -> None:
    panel.open()
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+a")
    expect(panel.pills.nth(1)).to_be_visible()
    panel.text.click()
    panel.text.press_sequentially("explain @sel")
    panel.composer.get_by_role("option").filter(has_text="Cell 2, lines 1–7").click()
    expect(panel.pills.locator("visible=true").nth(1)).to_be_visible()
    panel.text.press("Enter")
    panel.expect_state("complete")
    assert "selection" in str(model.requests[-1].body["messages"])


@pytest.mark.parametrize("loading", ["slow", "failed"])
def test_a_notebook_that_is_not_loaded_goes_along_as_its_file_and_the_question_is_asked(
    panel: Panel, page: Page, model: FakeVLLM, allow_console: Callable[[str], None], loading: str
) -> None:
    """JupyterLab's tab of it is there; what it holds may never come. The server reads the same file."""
    allow_console("500|disk is away")

    def load(route: Route) -> None:
        if loading == "failed":
            route.fulfill(status=500, json={"message": "the disk is away"})

    panel.open("lab")
    page.route(re.compile(r"/api/contents/sample\.ipynb\?.*content=1"), load)
    # The load that failed brings two, the second asks whether to close it: "Cancel".
    close = page.locator(".jp-Dialog button").first
    page.add_locator_handler(close, lambda: close.click(), no_wait_after=True)
    page.evaluate("() => void window.jupyterapp.commands.execute('docmanager:open', {path: 'sample.ipynb'})")
    expect(attached(panel, "notebook:sample.ipynb")).to_be_visible()
    panel.ask("what is in it?")
    panel.expect_state("complete")
    assert "def busiest_day" in str(model.requests[-1].body["messages"])


def test_the_receipt_lists_what_was_masked(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask(f"why is {KEY} refused")
    panel.expect_state("complete")
    assert KEY not in str(model.requests[-1].body)
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    receipt = panel.last_turn.get_by_role("group", name="Receipt")
    expect(receipt).to_contain_text("Secrets that were masked")
    expect(receipt.locator("li code")).to_have_count(1)


def test_without_titles_a_conversation_is_named_after_its_date(
    new_lab: Callable[..., Lab], page: Page, model: FakeVLLM
) -> None:
    panel = Panel(page, new_lab(config="c.Cellar.auto_title = False", VLLM_BASE_URL=model.url)).open("lab")
    panel.ask("Which month sold most")
    panel.expect_state("complete")
    expect(panel.root.locator(".jp-Cellar-title")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d$"))


def test_reasoning_is_open_when_the_user_set_it_so(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.setting("@cellar/lab:panel", showReasoning=True)
    model.use(Scenario(text="It is 42.", reasoning="Six times seven."))
    panel.open("lab")
    panel.ask("What is it?")
    panel.expect_answer("Six times seven.")


def test_the_focus_stays_in_the_panel_when_a_control_goes_away(panel: Panel, model: FakeVLLM) -> None:
    model.use("gated")
    panel.open()
    panel.button("Remove sample.ipynb").focus()
    panel.page.keyboard.press("Enter")
    expect(panel.button("Add sample.ipynb again")).to_be_focused()
    panel.ask("Count")
    model.wait_for(lambda fake: fake.waiting == 1)
    panel.stop_button.focus()
    panel.page.keyboard.press("Enter")
    panel.expect_state("stopped")
    expect(panel.text).to_be_focused()


def test_a_whole_conversation_can_be_read_in_the_dark_theme(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.dark()
    model.use(Scenario(text=LONG))
    panel.open()
    expect(panel.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    panel.ask("Tell me all")
    panel.expect_state("complete")
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    model.use("broken")
    panel.ask("And again")
    panel.expect_state("error", seconds=40)
    for place in (
        ".jp-Cellar-question-text",
        ".jp-Cellar-markdown h1",
        ".jp-Cellar-markdown p",
        ".jp-Cellar-markdown td",
        ".jp-Cellar-markdown a",
        ".jp-Cellar-markdown pre",
        ".jp-Cellar-markdown blockquote p",
        ".jp-Cellar-receipt th",
        ".jp-Cellar-error-title",
        ".jp-Cellar-error-text",
        ".jp-Cellar-title",
        ".jp-Cellar-text",
        ".jp-Cellar-pillLabel",
    ):
        seen = contrast(panel.root.locator(place).first)
        assert seen >= 4.5, f"{place}: contrast {seen:.2f}"


@pytest.mark.parametrize("dark", [False, True])
def test_the_cost_of_an_attachment_can_be_read_on_its_pill(dark: bool, panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    if dark:
        lab.dark()
    lab.write("notes.txt", "some words " * 50)
    panel.open("lab")
    panel.text.press_sequentially("@notes")
    expect(panel.composer.get_by_role("option").first).to_contain_text("notes.txt")
    panel.text.press("Enter")
    tokens = panel.pills.filter(has_text="notes.txt").locator(".jp-Cellar-pillTokens")
    expect(tokens).to_be_visible()
    assert contrast(tokens) >= 4.5
