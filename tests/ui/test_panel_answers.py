"""What an answer shows while it comes and when it has ended, and what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM, running
from tests.ui.lab import Lab
from tests.ui.panel import Panel

TABLE = "A table:\n\n| month | sold |\n|---|---|\n| May | 12 |\n\n```python\nprint('May')\n```\n\nDone."


def test_text_appears_token_by_token(panel: Panel, model: FakeVLLM) -> None:
    model.use("gated")
    panel.open()
    panel.ask("Count")
    model.release(2)
    expect(panel.last_answer).to_contain_text("one two")
    panel.expect_state("running")
    expect(panel.last_answer).not_to_contain_text("three")
    model.release_all()
    panel.expect_answer("one two three four five six")


def test_markdown_is_drawn_with_tables_and_highlighted_code(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text=TABLE))
    panel.open()
    panel.ask("Show me")
    panel.expect_answer("Done.")
    expect(panel.last_answer.locator("td").first).to_have_text("May")
    expect(panel.last_answer.locator(".jp-Cellar-code-language")).to_have_text("python")
    expect(panel.last_answer.locator("pre span").first).to_be_attached()


def test_an_answer_of_nothing_says_so(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=[]))
    panel.open()
    panel.ask("Anything?")
    panel.expect_state("complete")
    expect(panel.last_answer).to_contain_text("The model answered with nothing.")
    expect(panel.root.locator(".jp-Cellar-transcriptBox > [role=status]")).to_have_text(
        "The model answered with nothing."
    )
    expect(panel.last_answer.get_by_role("button", name="Ask again")).to_be_visible()
    panel.reload()
    expect(panel.last_answer).to_contain_text("The model answered with nothing.")


def test_an_open_code_block_is_shown_while_it_is_written(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=["Look:\n\n```python\n", "x = 1\n", "y = 2\n", "```\n\nEnd."], gated=True))
    panel.open()
    panel.ask("Code")
    model.release(2)
    code = panel.last_answer.locator(".jp-Cellar-code pre")
    expect(code).to_have_text("x = 1\n")
    model.release_all()
    panel.expect_answer("End.")
    expect(code).to_have_text("x = 1\ny = 2")


def test_what_was_drawn_while_it_came_stays_when_the_answer_ends(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=["# A title\n\n", "First.\n\n", "Second.\n\n", "Last."], gated=True))
    panel.open()
    panel.ask("Write")
    model.release(3)
    expect(panel.last_answer).to_contain_text("Second.")
    title = panel.last_answer.locator(".jp-Cellar-block").first
    title.evaluate("node => node.setAttribute('data-seen', 'yes')")
    model.release_all()
    panel.expect_answer("Last.")
    expect(title).to_have_attribute("data-seen", "yes")


def test_prefill_says_how_much_is_being_read(panel: Panel, model: FakeVLLM) -> None:
    model.use("slow_prefill")
    panel.open()
    panel.ask("What is this?")
    expect(panel.last_answer.locator(".jp-Cellar-waiting")).to_contain_text(re.compile(r"Reading [\d.]+k? tokens"))
    model.release_all()
    panel.expect_answer("at last")


def test_a_long_prefill_says_what_would_make_it_shorter_until_the_first_token(panel: Panel, model: FakeVLLM) -> None:
    model.use("slow_prefill")
    panel.open()
    panel.ask("What is this?")
    waiting = panel.last_answer.locator(".jp-Cellar-waiting")
    hint = re.compile(r"[\d.]+k? of them are attachments; with fewer the answer comes sooner\.")
    expect(waiting).to_contain_text("Reading")
    expect(waiting).not_to_contain_text(hint)
    expect(waiting).to_contain_text(hint)
    model.release_all()
    panel.expect_answer("at last")
    expect(waiting).to_have_count(0)


def test_a_queued_question_says_how_many_are_ahead(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="my turn", queue=[(4, 3)], prefill="after_headers"))
    panel.open()
    panel.ask("Me too")
    expect(panel.last_answer.locator(".jp-Cellar-waiting")).to_contain_text("3 questions ahead")
    panel.expect_state("queued")
    model.release_all()
    panel.expect_answer("my turn")


def test_stop_keeps_what_was_written_and_continue_goes_on(panel: Panel, model: FakeVLLM) -> None:
    model.use("gated")
    panel.open()
    panel.ask("Count")
    model.release(3)
    expect(panel.last_answer).to_contain_text("one two three")
    panel.stop()
    panel.expect_answer("one two three", state="stopped")
    model.wait_for(lambda fake: fake.aborted == 1)
    model.use(Scenario(text=" four and more"))
    panel.button("Continue", panel.last_turn).click()
    expect(panel.answers.first).to_contain_text("one two three four and more")
    panel.expect_state("complete")
    expect(panel.button("Continue")).to_have_count(0)


def test_code_that_was_cut_and_continued_is_one_block(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="So:\n\n```python\nx =", finish="length"))
    panel.open()
    panel.ask("Write code")
    panel.expect_state("length")
    model.use(Scenario(text=" 1\ny = 2\n```\n\nDone."))
    panel.button("Continue", panel.last_turn).click()
    panel.expect_state("complete")
    expect(panel.root.locator(".jp-Cellar-code")).to_have_count(1)
    expect(panel.root.locator(".jp-Cellar-code pre")).to_have_text("x = 1\ny = 2\n")
    expect(panel.answers.first.locator("p").last).to_have_text("Done.")
    expect(panel.root.locator(".jp-Cellar-ending")).to_have_count(0)


def test_an_answer_cut_by_its_length_offers_continue(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="half a sen", finish="length"))
    panel.open()
    panel.ask("Tell me")
    panel.expect_answer("longest length", state="length")
    expect(panel.button("Continue", panel.last_turn)).to_be_visible()


def test_an_answer_that_breaks_off_says_so_and_goes_on(panel: Panel, model: FakeVLLM) -> None:
    model.use("cut")
    panel.open()
    panel.ask("Tell me")
    panel.expect_state("interrupted")
    expect(panel.last_answer).to_contain_text("The answer was cut off.")
    model.use(Scenario(text=" and the rest"))
    panel.button("Continue", panel.last_turn).click()
    panel.expect_state("complete")
    expect(panel.answers.first).to_contain_text(re.compile(r"\w and the rest"))
    expect(panel.root).not_to_contain_text("cut off")


def test_reasoning_is_folded_and_can_be_read(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="It is 42.", reasoning="Six times seven."))
    panel.open()
    panel.ask("What is it?")
    panel.expect_answer("It is 42.")
    expect(panel.last_answer).not_to_contain_text("Six times seven.")
    panel.last_answer.locator(".jp-Cellar-reasoning-title").click()
    expect(panel.last_answer).to_contain_text("Six times seven.")


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (Scenario(tokens=[]), "The model answered with nothing."),
        (Scenario(tokens=[" \n", " \n"]), "The model answered with nothing."),
        (Scenario(tokens=[], reasoning="Six times seven."), "The model reasoned, but gave no answer."),
    ],
)
def test_an_empty_answer_says_so_and_can_be_asked_again(
    panel: Panel, model: FakeVLLM, scenario: Scenario, words: str
) -> None:
    model.use(scenario)
    panel.open("lab")
    panel.ask("What is it?")
    panel.expect_answer(words)
    model.use(Scenario(text="It is 42."))
    panel.button("Ask again", panel.last_turn).click()
    panel.expect_answer("It is 42.")
    expect(panel.last_answer).not_to_contain_text(words)


def test_a_short_answer_has_no_speed(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("hello")
    panel.expect_answer("hello")
    expect(panel.last_turn.locator(".jp-Cellar-receiptButton")).to_be_visible()
    expect(panel.last_turn.locator(".jp-Cellar-receiptButton")).not_to_contain_text("/s")


def test_the_receipt_lists_what_was_sent_and_what_it_cost(panel: Panel, model: FakeVLLM) -> None:
    panel.open()
    expect(panel.pills.first).to_contain_text("sample.ipynb")
    panel.ask("hello")
    panel.expect_answer("hello")
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    receipt = panel.last_turn.get_by_role("group", name="Receipt")
    expect(receipt).to_contain_text("sample.ipynb")
    expect(receipt).to_contain_text("Instructions")
    expect(receipt).to_contain_text("In all")


def test_the_receipt_of_a_question_that_never_left_says_that_nothing_was_sent(
    new_lab: Callable[..., Lab], page: Page
) -> None:
    with running() as mine:
        panel = Panel(page, new_lab(VLLM_BASE_URL=mine.url)).open("lab")
        mine.use("rate_limited")
        panel.ask("refused")
        panel.expect_state("error")
    button = panel.last_turn.locator(".jp-Cellar-receiptButton")
    expect(button).to_have_accessible_name(re.compile(r"^Receipt, \d+ tokens sent$"))
    panel.ask("password = 'hunter2pw'")
    panel.expect_state("error")
    expect(button).to_have_accessible_name("Receipt: nothing was sent")
    expect(button).to_have_text("not sent")
    button.click()
    receipt = panel.last_turn.get_by_role("group", name="Receipt")
    expect(receipt.locator("caption")).to_have_text("Nothing was sent. This would have gone to fake-coder:")
    expect(receipt).to_contain_text("Secrets that were masked:")
    assert panel.lab.cellar("GET", "usage")["turns_today"] == 1
    panel.lab.korean()
    panel.reload()
    expect(button).to_have_accessible_name("전송 내역: 보낸 내용 없음")
    expect(button).to_have_text("보내지 않음")
    button.click()
    expect(panel.last_turn.locator("caption")).to_contain_text("아무것도 보내지 않았습니다.")


def test_what_waits_for_the_answer_that_runs_says_so(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("first")
    panel.expect_answer("first")
    again = panel.button("Answer again", panel.turns.first)
    expect(again).to_have_attribute("title", "Answer again")
    model.use("gated")
    panel.ask("second")
    expect(again).to_have_attribute("title", "Possible when the answer that runs has ended")
    model.release_all()
    panel.expect_state("complete")
    expect(again).to_have_attribute("title", "Answer again")


def test_answering_again_makes_a_version_one_can_page_to(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="first version", times=1), Scenario(text="second version"))
    panel.open()
    panel.ask("hello")
    panel.expect_answer("first version")
    panel.button("Answer again", panel.last_turn).click()
    panel.expect_answer("second version")
    expect(panel.turns).to_have_count(1)
    panel.button("Earlier version", panel.last_turn).click()
    panel.expect_answer("first version")
    panel.reload()
    panel.expect_answer("first version")
    panel.button("Later version", panel.last_turn).click()
    panel.expect_answer("second version")


def test_an_edited_question_is_asked_again_as_a_branch(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="about cats", times=1), Scenario(text="about dogs"))
    panel.open()
    panel.ask("cats?")
    panel.expect_answer("about cats")
    panel.questions.first.hover()
    panel.button("Edit and ask again", panel.last_turn).click()
    edit = panel.root.get_by_label("Edit the question")
    edit.fill("dogs?")
    edit.press("Enter")
    panel.expect_answer("about dogs")
    expect(panel.questions).to_have_text([re.compile("dogs\\?")])
    panel.button("Earlier version", panel.last_turn).click()
    panel.expect_answer("about cats")
    expect(panel.questions).to_have_text([re.compile("cats\\?")])


def test_an_error_is_worded_and_can_be_tried_again(panel: Panel, model: FakeVLLM) -> None:
    broken = Scenario(status=400, body={"error": {"message": "no", "type": "BadRequest", "code": 400}}, times=1)
    model.use(broken, Scenario(text="better now"))
    panel.open()
    panel.ask("hello")
    panel.expect_state("error")
    expect(panel.last_answer).to_contain_text("The model server refused the request")
    panel.button("Try again", panel.last_turn).click()
    panel.expect_answer("better now")


def test_too_many_requests_counts_down(panel: Panel, model: FakeVLLM) -> None:
    body = {"error": {"message": "slow down", "type": "x", "code": 429}}
    model.use(Scenario(status=429, body=body, headers={"Retry-After": "30"}))
    panel.open()
    panel.ask("hello")
    panel.expect_state("error")
    again = panel.last_answer.get_by_role("button", name=re.compile(r"Try again in \d+ s"))
    expect(again).to_be_disabled()


def test_code_is_copied_over_plain_http(panel: Panel, model: FakeVLLM) -> None:
    """An intranet has no secure context: `navigator.clipboard` is not there."""
    panel.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    model.use("code")
    panel.open()
    panel.ask("code")
    panel.expect_answer("Then run it.")
    panel.last_answer.get_by_role("button", name="Copy", exact=True).click()
    expect(panel.last_answer.get_by_role("button", name="Copied")).to_be_attached()
    panel.text.focus()
    panel.page.keyboard.press("Control+v")
    expect(panel.text).to_have_value("import math\n\nprint(math.sqrt(2))")


def test_turn_boundaries_are_announced_and_tokens_are_not(panel: Panel, model: FakeVLLM) -> None:
    model.use("gated")
    panel.open()
    panel.ask("Count")
    status = panel.root.locator(".jp-Cellar-transcriptBox > [role=status]")
    expect(status).to_have_text("Cellar is answering")
    model.release_all()
    expect(status).to_have_text("The answer is there")


def test_an_answer_that_came_unseen_is_announced(
    panel: Panel, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    allow_console("ERR_FAILED")
    model.use("gated")
    panel.open("lab")
    panel.ask("Count")
    panel.write("and then")
    panel.text.press("Enter")
    expect(panel.pending).to_have_count(1)
    status = panel.root.locator(".jp-Cellar-transcriptBox > [role=status]")
    expect(status).to_have_text("Cellar is answering")
    panel.page.route(re.compile("/cellar/api/(events|turns/|conversations/)"), lambda route: route.abort())
    panel.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    model.use("echo")
    model.release_all()
    model.wait_for(lambda fake: len(fake.requests) == 2 and fake.waiting == 0)
    panel.page.unroute_all()
    panel.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    panel.expect_answer("and then")
    expect(status).to_have_text("The answer is there")


def test_a_conversation_that_is_opened_is_not_announced(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("hello")
    panel.expect_answer("hello")
    panel.reload()
    panel.expect_answer("hello")
    expect(panel.root.locator(".jp-Cellar-transcriptBox > [role=status]")).to_have_text("")


def test_a_second_click_on_answer_again_asks_nothing_more(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("hello")
    panel.expect_answer("hello")
    model.use("gated")
    panel.button("Answer again", panel.last_turn).dblclick()
    panel.expect_state("running")
    model.release_all()
    panel.expect_state("complete")
    expect(panel.pending).to_have_count(0)
    assert len(model.requests) == 2


def test_while_an_answer_is_written_no_earlier_one_is_asked_again(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("hello")
    panel.expect_answer("hello")
    model.use("gated")
    panel.ask("Count")
    again = panel.button("Answer again", panel.turns.first)
    expect(again).to_have_attribute("aria-disabled", "true")
    model.release_all()
    panel.expect_state("complete")
    expect(again).not_to_have_attribute("aria-disabled", "true")


def test_paging_through_versions_by_keyboard_keeps_the_focus(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="first version", times=1), Scenario(text="second version"))
    panel.open()
    panel.ask("hello")
    panel.expect_answer("first version")
    panel.button("Answer again", panel.last_turn).press("Enter")
    panel.expect_answer("second version")
    panel.button("Earlier version", panel.last_turn).press("Enter")
    panel.expect_answer("first version")
    expect(panel.button("Earlier version", panel.last_turn)).to_be_focused()
    panel.button("Later version", panel.last_turn).press("Enter")
    panel.expect_answer("second version")
