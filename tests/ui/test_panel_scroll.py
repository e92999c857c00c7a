"""Pinned to the end only while at the end."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.panel import Panel

LINES = [f"Line {i}.\n\n" for i in range(120)]


def distance(scroller: Locator) -> float:
    """Pixels from the end."""
    value: float = scroller.evaluate("node => node.scrollHeight - node.scrollTop - node.clientHeight")
    return value


def test_a_new_question_goes_to_the_top(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=LINES[:40], times=1), Scenario(text="short"))
    panel.open()
    panel.ask("first")
    panel.expect_answer("Line 39")
    panel.ask("second")
    panel.expect_answer("short")
    top = panel.root.locator(".jp-Cellar-transcript").bounding_box()
    question = panel.questions.last.bounding_box()
    assert top and question
    assert 0 <= question["y"] - top["y"] < 40


def test_the_end_stays_in_view_until_the_reader_scrolls_up(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=LINES, gated=True))
    panel.open()
    panel.ask("go")
    scroller = panel.root.locator(".jp-Cellar-transcript")
    model.release(60)
    expect(panel.last_answer).to_contain_text("Line 59.")
    panel.page.wait_for_function(
        "() => { const n = document.querySelector('.jp-Cellar-transcript');"
        " return n.scrollHeight - n.scrollTop - n.clientHeight < 3 }"
    )
    scroller.hover()
    panel.page.mouse.wheel(0, -1)
    expect(panel.button("Jump to latest")).to_be_visible()
    # The gesture lets go before its pixel is scrolled: what must not move is the place after it.
    panel.page.wait_for_function(
        "() => { const n = document.querySelector('.jp-Cellar-transcript');"
        " return n.scrollHeight - n.scrollTop - n.clientHeight >= 1 }"
    )
    before = scroller.evaluate("node => node.scrollTop")
    model.release(40)
    expect(panel.last_answer).to_contain_text("Line 99.")
    assert scroller.evaluate("node => node.scrollTop") == before
    panel.button("Jump to latest").click()
    expect(panel.button("Jump to latest")).to_have_count(0)
    model.release_all()
    panel.expect_answer("Line 119.")
    assert distance(scroller) < 8


def test_a_long_chat_opens_at_its_end_and_draws_what_is_looked_at(panel: Panel, model: FakeVLLM) -> None:
    conversation = None
    for i in range(40):
        body: dict[str, object] = {"request_key": f"long-chat-{i:04}", "text": f"Question {i}"}
        if conversation:
            body["conversation_id"] = conversation
        turn = panel.lab.cellar("POST", "turns", body)
        conversation = turn["conversation_id"]
        model.wait_for(lambda fake, n=i: fake.finished == n + 1)  # type: ignore[misc]
    panel.open()
    panel.button("Earlier conversations").click()
    panel.root.locator(".jp-Cellar-history").get_by_text("Question 0").first.click()
    expect(panel.questions.last).to_contain_text("Question 39")
    expect(panel.turns).to_have_count(40)
    assert panel.questions.count() < 40
    panel.root.locator(".jp-Cellar-transcript").focus()
    panel.page.keyboard.press("Home")
    expect(panel.questions.first).to_contain_text("Question 0")
    expect(panel.questions.first).to_be_in_viewport()


def test_a_panel_that_grows_until_all_is_seen_offers_no_jump(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=LINES[:30]))
    panel.open()
    panel.ask("go")
    panel.expect_answer("Line 29")
    panel.root.locator(".jp-Cellar-transcript").focus()
    panel.page.keyboard.press("Home")
    jump = panel.root.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_visible()
    panel.page.set_viewport_size({"width": 1280, "height": 2400})
    expect(jump).to_have_count(0)
