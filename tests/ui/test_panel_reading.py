"""Reload, second tab, dropped connection: the answer is read on."""

from __future__ import annotations

import re

from playwright.sync_api import Request, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import AllowConsole, NewPage
from tests.ui.lab import Lab, wait_until
from tests.ui.panel import Panel


def test_a_reload_in_the_middle_reads_on(panel: Panel, model: FakeVLLM) -> None:
    model.use("gated")
    panel.open()
    panel.ask("Count")
    model.release(3)
    expect(panel.last_answer).to_contain_text("one two three")
    panel.reload()
    expect(panel.last_answer).to_contain_text("one two three")
    panel.expect_state("running")
    model.release_all()
    panel.expect_answer("one two three four five six")
    assert model.aborted == 0
    assert len(model.requests) == 1


def test_a_second_tab_shows_the_same_answer_as_it_comes(
    panel: Panel, model: FakeVLLM, new_page: NewPage, lab: Lab
) -> None:
    model.use("gated")
    panel.open()
    panel.ask("Count")
    other = Panel(new_page(), lab).open("lab")
    other.button("Earlier conversations").click()
    other.root.locator(".jp-Cellar-history").get_by_text("Count").first.click()
    model.release(2)
    expect(other.last_answer).to_contain_text("one two")
    model.release_all()
    other.expect_answer("four five six")
    panel.expect_answer("four five six")


def test_what_waits_is_the_same_in_every_tab(panel: Panel, model: FakeVLLM, new_page: NewPage, lab: Lab) -> None:
    model.use("gated")
    panel.open()
    panel.ask("Count")
    other = Panel(new_page(), lab).open("lab")
    other.button("Earlier conversations").click()
    other.root.locator(".jp-Cellar-history").get_by_text("Count").first.click()
    expect(other.last_turn).to_be_visible()
    panel.write("and then?")
    panel.text.press("Enter")
    expect(panel.pending).to_have_count(1)
    expect(other.pending).to_have_count(1)
    model.release_all()
    panel.expect_answer("one two three four five six")
    expect(panel.pending).to_have_count(0)
    expect(other.pending).to_have_count(0)
    expect(other.turns).to_have_count(2)


def test_a_dropped_connection_is_taken_up_again(panel: Panel, model: FakeVLLM, allow_console: AllowConsole) -> None:
    allow_console("ERR_FAILED")
    model.use("gated")
    panel.open()
    panel.ask("Count")
    model.release(2)
    expect(panel.last_answer).to_contain_text("one two")
    # Each response of events is cut before it begins: the page must go on asking.
    panel.page.route(re.compile("/cellar/api/events"), lambda route: route.abort())
    panel.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    reconnecting = panel.root.locator("[data-banner=reconnecting]")
    expect(reconnecting).to_contain_text("If the server still runs, your answer goes on", timeout=10_000)
    model.release(1)
    panel.page.unroute_all()
    panel.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    expect(panel.last_answer).to_contain_text("one two three")
    expect(panel.root.locator("[data-banner=reconnecting]")).to_have_count(0)
    model.release_all()
    panel.expect_answer("one two three four five six")


def test_a_page_holds_one_events_response_and_only_while_a_turn_runs(panel: Panel, model: FakeVLLM) -> None:
    opened: list[Request] = []
    ended: list[Request] = []

    def is_events(request: Request) -> bool:
        return "/cellar/api/events" in request.url or "/events?after" in request.url

    panel.page.on("request", lambda request: opened.append(request) if is_events(request) else None)
    for name in ("requestfinished", "requestfailed"):
        panel.page.on(name, lambda request: ended.append(request) if is_events(request) else None)

    def held() -> int:
        panel.page.evaluate("0")  # what the browser said before arrives before the answer to this
        return len(opened) - len(ended)

    panel.open()
    assert opened == []
    model.use("gated")
    panel.ask("Count")
    panel.write("and then?")
    panel.text.press("Enter")
    expect(panel.pending).to_have_count(1)
    model.release(1)
    expect(panel.last_answer).to_contain_text("one")
    # The response that the second question took the place of is given up before; the browser says so when it likes.
    wait_until(lambda: held() == 1, "one response of events")
    model.release_all()
    panel.expect_answer("one two three four five six")
    expect(panel.turns).to_have_count(2)
    panel.expect_state("complete")
    expect(panel.last_turn.locator(".jp-Cellar-receiptButton")).to_be_visible()
    wait_until(lambda: held() == 0, "no response of events")


def test_a_question_that_the_server_did_not_take_goes_back_into_the_composer(
    panel: Panel, model: FakeVLLM, allow_console: AllowConsole
) -> None:
    allow_console("ERR_FAILED|Failed to load|NetworkError|Failed to fetch")
    panel.open()
    panel.page.route(re.compile("/cellar/api/turns"), lambda route: route.abort())
    panel.write("do not lose me")
    panel.text.press("Enter")
    expect(panel.text).to_have_value("do not lose me")
    panel.page.unroute_all()
    panel.text.press("Enter")
    panel.expect_answer("do not lose me")


def test_a_running_answer_survives_a_change_of_conversation(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="one two three four five six", gated=True))
    panel.open()
    panel.ask("Count")
    model.release(2)
    expect(panel.last_answer).to_contain_text("one two")
    panel.button("New conversation").click()
    expect(panel.turns).to_have_count(0)
    model.release_all()
    model.wait_for(lambda fake: fake.finished == 1)
    panel.button("Earlier conversations").click()
    panel.root.locator(".jp-Cellar-history").get_by_text("Count").first.click()
    panel.expect_answer("one two three four five six")
