"""What can be measured of how the panel looks: at its narrowest nothing is cut, and what can be pressed can be hit."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import FloatRect, Locator, Page, Route, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.notebook import Notebook, code, notebook, open_notebook
from tests.ui.panel import Panel
from tests.ui.test_composer_context import drop_files

NARROWEST = 320  # pixels
POSTED = re.compile(r"/cellar/api/turns(\?\d+)?$")  # JupyterLab adds the time

# Presses of a finger 24 px wide: what stands under the middle of its four sides. Only what is in view.
TOO_SMALL = """
root => Array.from(root.querySelectorAll('button, summary, select'))
  .filter(each => each.checkVisibility({ opacityProperty: true }) && !each.closest('.jp-Cellar-srOnly'))
  .filter(each => {
    const { left, right, top, bottom } = each.getBoundingClientRect();
    const x = (left + right) / 2, y = (top + bottom) / 2;
    const hits = (dx, dy) => each.contains(document.elementFromPoint(x + dx, y + dy));
    return hits(0, 0) && !(hits(-11, 0) && hits(11, 0) && hits(0, -11) && hits(0, 11));
  })
  .map(each => each.ariaLabel || each.textContent)
"""

# Of the text to what is behind it, as WCAG 2 reckons; both colours without transparency behind them.
CONTRAST = """
element => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    const [r, g, b, a = 1] = channels(getComputedStyle(node).backgroundColor);
    return a === 0 ? behind(node.parentElement) : [r, g, b];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = behind(element);
  const [r, g, b, a = 1] = channels(getComputedStyle(element).color);
  const alpha = a * Number(getComputedStyle(element).opacity);
  const text = [r, g, b].map((v, i) => v * alpha + ground[i] * (1 - alpha));
  const [low, high] = [light(ground), light(text)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}
"""


def narrow(panel: Panel) -> None:
    """The panel is as narrow as it gets."""
    panel.page.set_viewport_size({"width": 900, "height": 800})
    panel.page.wait_for_function(
        "width => document.querySelector('#cellar-panel').clientWidth === width", arg=NARROWEST
    )


def box(locator: Locator) -> FloatRect:
    found = locator.bounding_box()
    assert found is not None
    return found


def test_a_message_keeps_its_dismiss_button_in_its_corner(
    panel: Panel, page: Page, model: FakeVLLM, allow_console: Any
) -> None:
    allow_console("ERR_FAILED")
    panel.open("lab")
    narrow(panel)
    page.route(POSTED, lambda route: route.abort())
    panel.write("keep me")
    panel.text.press("Enter")
    panel.button("Try again", panel.root.locator('[data-banner="network"]')).click()
    notice = panel.composer.get_by_role("alert")
    words, close = box(notice.locator("span").first), box(panel.button("Dismiss", notice))
    assert close["x"] >= words["x"] + words["width"]
    assert abs(close["y"] - words["y"]) < 6


def test_the_name_of_a_refused_picture_is_whole_beside_a_long_reason(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    narrow(panel)
    drop_files(panel, "paste", ("logo.svg", "image/svg+xml", b"<svg/>"))
    name = panel.composer.get_by_role("alert").get_by_text("logo.svg")
    assert name.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_the_receipt_breaks_no_name_beside_an_empty_place(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("AGENTS.md", "Answer in one sentence.\n" * 2_000)
    lab.write("weights.bin", b"\0\1" * 400)
    panel.open()
    narrow(panel)
    panel.text.press_sequentially("@weights")
    panel.composer.get_by_role("option").filter(has_text="weights.bin").click()
    expect(panel.pills).to_have_count(2)
    panel.ask("What is this?")
    panel.expect_state("complete")
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    receipt = panel.last_turn.get_by_role("group", name="Receipt")
    expect(receipt.get_by_role("row", name="Rules: AGENTS.md")).to_contain_text("cut")
    expect(receipt.get_by_role("row", name="weights.bin")).to_contain_text("cannot be read, not text")
    lines = "all => all.filter(each => each.getClientRects().length > 1).map(each => each.textContent)"
    assert receipt.locator("th > span:not(.jp-Cellar-dim)").evaluate_all(lines) == []
    assert receipt.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_the_menu_tells_files_with_long_names_apart(panel: Panel, lab: Lab) -> None:
    for number in (1, 2):
        lab.write(f"data/some_folder/a_rather_long_name_number_{number}.csv", "a,b\n")
    panel.open("lab")
    narrow(panel)
    panel.text.press_sequentially("@number_2")
    option = panel.composer.get_by_role("option").first
    expect(option.locator("small")).to_have_text("data/some_folder")
    expect(option).to_have_attribute("title", "data/some_folder/a_rather_long_name_number_2.csv")
    name = option.locator(".jp-Cellar-optionLabel")
    assert name.evaluate("each => each.scrollWidth <= each.clientWidth")


@pytest.mark.parametrize("path", ["notebooks/sample.ipynb", "tree", "edit/script.py"])
def test_notebook_7_gives_the_panel_the_same_least_width(panel: Panel, path: str) -> None:
    panel.lab.write("script.py", "print('hello')\n")
    panel.page.set_viewport_size({"width": 1000, "height": 800})
    panel.open(path)
    assert box(panel.root)["width"] >= NARROWEST
    assert box(panel.root)["x"] + box(panel.root)["width"] <= 1000


def test_what_can_be_pressed_in_the_panel_can_be_hit_by_a_finger(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="```python\nx = 1\n```", reasoning="Hm."))
    panel.open()
    panel.ask("hello")
    panel.expect_state("complete")
    panel.button("Answer again", panel.last_turn).click()
    expect(panel.button("Earlier version", panel.last_turn)).to_be_visible()
    panel.expect_state("complete")
    panel.button("Remove sample.ipynb").click()
    expect(panel.button("Add sample.ipynb again")).to_be_visible()
    expect(panel.last_answer.locator(".jp-Cellar-code")).to_be_visible()
    assert panel.root.evaluate(TOO_SMALL) == []
    panel.button("Add sample.ipynb again").click()
    model.use(Scenario(text="your turn", queue=[(3, 5)], queue_gated=True, gated=True))
    panel.ask("a question in the queue")
    model.release(1)
    expect(panel.button("Cancel", panel.last_answer)).to_be_visible()
    panel.write("a waiting message")
    panel.text.press("Enter")
    expect(panel.pending).to_have_count(1)
    expect(panel.pills.first).to_be_visible()
    assert panel.root.evaluate(TOO_SMALL) == []


def test_what_can_be_pressed_on_the_card_can_be_hit_by_a_finger(panel: Panel, lab: Lab, model: FakeVLLM) -> None:
    lab.write("work.ipynb", notebook(code("%load_ext cellar_jupyter", "load"), code("%%ai\nwhy", "ask")))
    panel.open("lab/tree/work.ipynb")
    opened = Notebook(panel.page)
    opened.wait_for_kernel()
    opened.run(0)
    expect(opened.cells.first.locator(".jp-InputPrompt")).to_have_text("[1]:")
    model.use(Scenario(text="```python\nx = 1\n```\n\nThat is it.", reasoning="Hm.", gated=True))
    model.release(8)
    opened.run(1)
    card = panel.page.locator(".jp-Cellar-card")
    expect(card.get_by_text("x = 1")).to_be_visible()
    expect(card.locator("summary")).to_be_visible()
    assert card.evaluate(TOO_SMALL) == []
    head = box(card.locator(".jp-Cellar-card-head"))["height"]
    model.release_all()
    expect(card).to_have_attribute("data-state", "complete")
    assert card.evaluate(TOO_SMALL) == []
    assert box(card.locator(".jp-Cellar-card-head"))["height"] == head  # the text stays where it was


@pytest.mark.parametrize("dark", [False, True])
def test_when_it_may_be_asked_again_can_be_read(panel: Panel, lab: Lab, model: FakeVLLM, dark: bool) -> None:
    if dark:
        lab.dark()
    body = {"error": {"code": "quota_exceeded", "message": "Quota of tokens used up"}}
    model.use(Scenario(status=429, headers={"retry-after": "86400"}, body=body))
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("error")
    again = panel.last_answer.get_by_role("button", name=re.compile("^Try again at"))
    expect(again).to_be_disabled()
    assert again.evaluate(CONTRAST) >= 4.5


def test_what_is_told_in_a_row_is_told_apart_in_the_dark(panel: Panel, lab: Lab, page: Page, model: FakeVLLM) -> None:
    def announce(route: Route) -> None:
        answer = route.fetch()
        told = [{"id": f"m{n}", "level": "info", "text": f"Announcement {n}"} for n in (1, 2)]
        route.fulfill(response=answer, json=answer.json() | {"announcements": told})

    page.route("**/cellar/api/status*", announce)
    lab.dark()
    panel.open("lab")
    first = panel.root.locator('[data-banner="announcement-m1"]')
    line, ground = first.evaluate(
        "each => [getComputedStyle(each).borderBottomColor, getComputedStyle(each).backgroundColor]"
    )
    assert line != ground


def test_the_buttons_for_a_mistyped_command_go_to_the_next_line_together(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    narrow(panel)
    panel.write("/expalin this")
    use, send = box(panel.button("Use /explain")), box(panel.button("Send as text"))
    assert use["y"] == send["y"]
    assert use["x"] + use["width"] < send["x"]


def test_a_long_wait_tells_its_advice_below_and_leaves_cancel_where_it_was(
    panel: Panel, page: Page, model: FakeVLLM
) -> None:
    page.add_init_script(
        "const now = performance.now.bind(performance); performance.now = () => now() + (window.later || 0)"
    )
    model.use(Scenario(text="my turn", queue=[(4, 3)], prefill="after_headers"))
    panel.open("lab")
    narrow(panel)
    panel.ask("Me too")
    cancel = panel.button("Cancel", panel.last_answer)
    before = box(cancel)
    page.evaluate("window.later = 40_000")
    advice = panel.last_answer.get_by_text("This may take a while")
    expect(advice).to_be_visible()
    assert box(cancel)["y"] == before["y"]
    assert box(advice)["y"] >= before["y"] + before["height"]
    model.release_all()


def test_where_to_put_the_code_is_asked_with_one_button_out_and_none_upon_another(
    panel: Panel, lab: Lab, model: FakeVLLM
) -> None:
    opened = open_notebook(panel, lab, code("keep = 1\nold = 2", "one"), code("b = 2", "two"))
    opened.click(0)
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.press("Shift+Home")
    model.use(Scenario(text="```python\nnew = 3\n```\n"))
    panel.ask("write it")
    panel.expect_state("complete")
    opened.click(1)
    panel.button("Replace cell or selection", panel.last_answer).click()
    dialog = panel.page.get_by_role("dialog")
    names = ["Cancel", "Replace cell 2", "Replace cell 1", "Insert below"]
    expect(dialog.get_by_role("button")).to_have_text(names)
    expect(dialog.locator(".jp-mod-accept")).to_have_text(["Insert below"])
    expect(dialog.get_by_role("button", name="Insert below")).to_be_focused()
    panel.page.set_viewport_size({"width": 420, "height": 800})
    boxes = [box(dialog.get_by_role("button", name=name, exact=True)) for name in names]
    for one, other in pairwise(boxes):
        aside = other["x"] - (one["x"] + one["width"])
        below = other["y"] - (one["y"] + one["height"])
        assert max(aside, below) >= 8
    dialog.get_by_role("button", name="Replace cell 2").click()
    opened.expect_sources("keep = 1\nold = 2", "new = 3")


@pytest.mark.parametrize("dark", [False, True])
def test_that_a_quota_is_nearly_used_up_can_be_read(
    panel: Panel, lab: Lab, page: Page, model: FakeVLLM, dark: bool
) -> None:
    def nearly(route: Route) -> None:
        answer = route.fetch()
        quota = {"window": "day", "used": 190_000, "limit": 200_000, "resets_at": 2_000_000_000}
        route.fulfill(response=answer, json=answer.json() | {"quotas": [quota]})

    if dark:
        lab.dark()
    page.route("**/cellar/api/usage*", nearly)
    panel.open("lab")
    panel.composer.locator(".jp-Cellar-meterButton").click()
    told = panel.composer.get_by_text("Your quota of today: 190,000 of 200,000 tokens used")
    expect(told).to_be_visible()
    assert told.evaluate(CONTRAST) >= 4.5


def test_a_long_name_of_what_a_workspace_may_reach_stays_within_a_narrow_panel(
    panel: Panel, page: Page, model: FakeVLLM
) -> None:
    def far(route: Route) -> None:
        answer = route.fetch()
        name = f"{'warehouse' * 6}.example.org"
        route.fulfill(response=answer, json=answer.json() | {"destinations": [{"name": name, "port": 5432}]})

    page.route("**/cellar/api/usage*", far)
    panel.open("lab")
    narrow(panel)
    panel.composer.locator(".jp-Cellar-meterButton").click()
    meter = panel.composer.get_by_role("dialog")
    expect(meter).to_contain_text("warehouse.example.org:5432")
    assert meter.evaluate("each => each.scrollWidth <= each.clientWidth")
