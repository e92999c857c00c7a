"""A model server that stops, starts again, or takes its time, as the panel shows it."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel


def test_through_a_restart_of_the_model_server_nothing_is_lost(
    new_lab: Callable[..., Lab], page: Page, an_unused_port: int
) -> None:
    first, second = FakeVLLM(), FakeVLLM()
    first.start(an_unused_port)
    try:
        panel = Panel(page, new_lab(VLLM_BASE_URL=first.url, CELLAR_MODEL="gone")).open("lab")
        wrong = panel.root.locator('[data-banner="announcement-setting-no_model-gone"]')
        expect(wrong).to_contain_text("the model server has no “gone”; its first model is asked instead")
        first.use("engine_died")
        panel.ask("Tell me everything")
        stopped = panel.last_answer.get_by_role("group", name="The model server has stopped")
        expect(stopped).to_contain_text("Your question is kept.")
        expect(panel.last_answer).to_contain_text("it begins and")
        first.stop()
        panel.ask("Are you there?")
        down = panel.last_answer.get_by_role("group", name="The model server does not answer")
        expect(down).to_be_visible(timeout=40_000)
        expect(panel.root.locator('[data-banner="model_down"]')).to_contain_text("What you type is kept.")
        second.start(an_unused_port)
        panel.button("Try again", down).click()
        panel.expect_answer("Are you there?")
        expect(panel.root.locator('[data-banner="model_down"]')).to_have_count(0)
        assert "Tell me everything" in str(second.requests[-1].body["messages"])
    finally:
        first.stop()
        second.stop()


def test_a_first_answer_that_is_compiled_for_long_is_waited_for_and_can_be_stopped(
    new_lab: Callable[..., Lab], page: Page, model: FakeVLLM
) -> None:
    """Longer than the longest silence that is allowed; as vLLM does it, with a comment now and then."""
    slow = Scenario(text="at last", prefill="after_headers", keep_alive_every=0.1)
    model.use(slow)
    panel = Panel(page, new_lab(VLLM_BASE_URL=model.url, CELLAR_READ_TIMEOUT="1")).open("lab")
    panel.ask("hello")
    waiting = panel.last_answer.locator(".jp-Cellar-waiting")
    expect(waiting).to_contain_text(re.compile(r"Reading \d+ tokens…\s*[3-9] s"))
    panel.stop_button.click()
    panel.expect_state("stopped")
    model.wait_for(lambda fake: fake.aborted == 1)
    panel.ask("hello again")
    model.wait_for(lambda fake: len(fake.requests) == 2 and fake.requests[1].comments >= 20)
    model.release_all()
    panel.expect_answer("at last")
