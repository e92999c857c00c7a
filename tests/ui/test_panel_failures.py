"""What the panel says when a question fails: the cause, and the action that helps; and Continue after an early end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel
from tests.ui.test_composer_context import drop_files, png


@pytest.mark.parametrize(
    ("preset", "title", "more", "action"),
    [
        ("quota", "Your quota is used up", "1,000 of 1,000 tokens", None),
        ("forbidden", "This is not allowed", "Your group may not use this model", None),
        ("not_a_stream", "The model server failed", "event stream\\. Does the base URL", "Try again"),
        ("too_long", "This is more than the model can read", "Shorten the text\\.", None),
        ("unauthorized", "The model server does not accept the key", "VLLM_API_KEY", "Try again"),
        ("stopping", "The model server has stopped", "Your question is kept", "Try again"),
        ("engine_died", "The model server has stopped", "it reads its model for some minutes first", "Try again"),
        ("no_template", "This model cannot chat", "It completes text only", "Try again"),
    ],
)
def test_a_refused_question_says_why(
    preset: str, title: str, more: str, action: str | None, panel: Panel, model: FakeVLLM
) -> None:
    model.use(preset)
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("error")
    card = panel.last_answer.get_by_role("group", name=title)
    expect(card).to_contain_text(re.compile(more, re.IGNORECASE))
    if action is None:
        expect(panel.button("Try again", card)).to_have_count(0)
    else:
        model.use("echo")
        panel.button(action, card).click()
        panel.expect_answer("hello")


def test_a_used_up_quota_can_be_tried_again_when_it_begins_anew(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("warm up")
    panel.expect_state("complete")
    refusal = {"code": 429, "type": "quota_exceeded", "message": "Used up", "resets_at": time.time() + 6}
    model.use(Scenario(status=429, body={"error": refusal}))
    panel.ask("hello")
    panel.expect_state("error")
    waits = panel.last_answer.get_by_role("button", name=re.compile(r"^Try again in \d s$"))
    expect(waits).to_be_disabled()
    model.use("echo")
    panel.button("Try again", panel.last_answer).click()
    panel.expect_answer("hello")


def test_a_quota_that_begins_anew_another_day_says_when(panel: Panel, model: FakeVLLM) -> None:
    model.use("quota")
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("error")
    expect(panel.last_answer.get_by_role("button", name=re.compile("^Try again at .*(2029|2030)"))).to_be_disabled()


def test_a_question_that_is_too_long_can_be_asked_without_its_attachments(panel: Panel, model: FakeVLLM) -> None:
    model.use("too_long")
    panel.open()
    expect(panel.pills.first).to_contain_text("sample.ipynb")
    panel.ask("hello")
    panel.expect_state("error")
    model.use("echo")
    panel.button("Ask without attachments", panel.last_turn).click()
    panel.expect_answer("hello")
    expect(panel.questions.last.locator(".jp-Cellar-sentPills")).to_have_count(0)
    assert "isoformat" not in str(model.requests[-1].body["messages"])


def test_a_question_that_alone_is_too_long_offers_nothing_that_would_not_help(
    panel: Panel, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    allow_console(r"40[0-9]|413|422")
    panel.open()
    panel.ask("first")
    panel.expect_state("complete")
    panel.ask("word " * 150_000)
    panel.expect_state("error", seconds=60)
    card = panel.last_answer.get_by_role("group", name="This is more than the model can read")
    expect(card).to_contain_text("Shorten the text.")
    expect(card.get_by_role("button")).to_have_count(0)
    panel.write("x " * 600_000)
    panel.text.press("Enter")
    expect(panel.composer.get_by_role("alert")).to_contain_text("This is too large")
    preview = panel.page.wait_for_event("response", lambda response: "context/preview" in response.url)
    assert preview.status == 413
    expect(panel.composer.get_by_text("This is too large")).to_have_count(1)


def test_a_model_that_turns_out_to_be_blind_can_be_asked_without_the_pictures(
    new_lab: Callable[..., Lab], page: Page, model: FakeVLLM
) -> None:
    panel = Panel(page, new_lab(VLLM_BASE_URL=model.url)).open("lab")  # its server remembers who is blind
    drop_files(panel, "paste", ("shot.png", "image/png", png()))
    expect(panel.pills.filter(has_text="shot.png")).to_be_visible()
    model.use("blind")
    panel.ask("What is shown?")
    card = panel.last_answer.get_by_role("group", name="This model does not see pictures")
    expect(card).to_contain_text("Ask without the pictures, or ask a model that sees them.")
    panel.button("Ask without the pictures", card).click()
    panel.expect_answer("What is shown?")
    assert "image_url" in str(model.requests[0].body["messages"])
    assert "image_url" not in str(model.requests[-1].body["messages"])


def test_a_question_that_is_too_long_offers_to_compact_and_says_what_it_brought(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    panel.ask("hello " + "with many words to read " * 100)
    panel.expect_state("complete")
    model.use("too_long")
    panel.ask("and now?")
    panel.expect_state("error")
    model.use(Scenario(text="They said hello."))
    panel.button("Compact", panel.last_turn).click()
    notice = panel.composer.locator(".jp-Cellar-notice")
    expect(notice).to_contain_text(re.compile(r"Summed up: [\d,]+ → [\d,]+ tokens"))
    before, after = (int(n.replace(",", "")) for n in re.findall(r"[\d,]+", notice.inner_text()))
    assert after < before


def test_a_model_that_is_loading_is_said_and_can_be_tried_again(panel: Panel, model: FakeVLLM) -> None:
    panel.open("lab")
    expect(panel.root.locator(".jp-Cellar-dot.jp-mod-up")).to_be_visible()
    model.use("loading")
    panel.ask("hello")
    panel.expect_state("error", seconds=40)
    card = panel.last_answer.get_by_role("group", name="The model is still loading")
    model.use("echo")
    panel.button("Try again", card).click()
    panel.expect_answer("hello")


def test_who_is_signed_out_is_offered_to_load_the_page_again(
    panel: Panel, page: Page, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=403, json={"error": {"code": "signed_out", "message": "Log in"}})

    allow_console("403")
    page.route("**/cellar/api/**", refuse)
    panel.open("lab")
    banner = panel.root.locator('[data-banner="signed_out"]')
    expect(banner).to_contain_text("You are signed out")
    expect(panel.composer.locator(".jp-Cellar-model")).to_have_text("Not connected")
    panel.write("kept")
    expect(panel.send).to_be_disabled()
    page.unroute("**/cellar/api/**")
    with page.expect_navigation():
        panel.button("Load the page again", banner).click()
    panel.wait_for_app()
    panel.show()
    expect(panel.text).to_have_value("kept")
    expect(banner).to_have_count(0)


def test_a_question_refused_because_the_user_is_signed_out_stays_beside_the_banner(
    panel: Panel, page: Page, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    allow_console("403")
    panel.open("lab")
    page.route(re.compile("/cellar/api/"), lambda route: route.fulfill(status=403, body="<h1>Log in</h1>"))
    panel.write("typed before")
    panel.text.press("Enter")
    banner = panel.root.locator('[data-banner="signed_out"]')
    expect(banner).to_contain_text("You are signed out")
    expect(panel.text).to_have_value("typed before")
    expect(panel.root.get_by_role("alert")).to_have_count(1)
    page.unroute_all()
    with page.expect_navigation():
        panel.button("Load the page again", banner).click()
    panel.wait_for_app()
    panel.show()
    expect(panel.text).to_have_value("typed before")
    panel.text.press("Enter")
    panel.expect_answer("typed before")


def test_a_question_in_the_models_queue_can_be_cancelled(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="my turn", queue=[(4, 3)], prefill="after_headers"))
    panel.open("lab")
    panel.ask("Me too")
    expect(panel.last_answer.locator(".jp-Cellar-waiting")).to_contain_text("3 questions ahead")
    panel.button("Cancel", panel.last_answer).click()
    panel.expect_state("stopped")
    model.wait_for(lambda fake: fake.aborted == 1)
    expect(panel.text).to_be_focused()


def test_an_interrupted_answer_goes_on_exactly_where_it_broke_off(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=["unbeliev", "x"], cut_after=1))
    panel.open("lab")
    panel.ask("Tell me")
    panel.expect_answer("The answer was cut off.", state="interrupted")
    model.use(Scenario(text="able, they say"))
    panel.button("Continue", panel.last_turn).click()
    panel.expect_state("complete")
    expect(panel.answers.first.locator("p")).to_have_text("unbelievable, they say")
    assert model.requests[-1].body["messages"][-2] == {"role": "assistant", "content": "unbeliev"}


def test_an_answer_that_nobody_read_is_stopped_and_goes_on(
    new_lab: Callable[..., Lab], page: Page, model: FakeVLLM
) -> None:
    model.use("gated")
    lab = new_lab(config="c.Cellar.orphan_grace = 0.5", VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    panel.ask("Count")
    model.release(2)
    expect(panel.last_answer).to_contain_text("one two")
    page.goto("about:blank")
    model.wait_for(lambda fake: fake.aborted == 1)
    panel.open("lab")
    panel.expect_answer("nobody was reading", state="stopped")
    model.use(Scenario(text=" three"))
    panel.button("Continue", panel.last_turn).click()
    panel.expect_state("complete")
    expect(panel.answers.first.locator("p")).to_have_text("one two three")


def test_a_model_that_has_gone_is_not_asked(new_lab: Callable[..., Lab], page: Page, model: FakeVLLM) -> None:
    model.options.models = ["fake-coder", "fake-thinker"]
    panel = Panel(page, new_lab(VLLM_BASE_URL=model.url)).open("lab")
    panel.composer.get_by_role("combobox", name="Model").select_option("fake-thinker")

    def without(route: Route) -> None:
        answer = route.fetch()
        status: dict[str, Any] = answer.json()
        models = [each for each in status["models"] if each["id"] == "fake-coder"]
        route.fulfill(response=answer, json=status | {"models": models, "default_model": "fake-coder"})

    page.route("**/cellar/api/status*", without)
    panel.reload()
    panel.ask("who are you")
    panel.expect_state("complete")
    assert model.requests[-1].body["model"] == "fake-coder"


POSTED = re.compile(r"/cellar/api/turns(\?\d+)?$")  # JupyterLab adds the time


def test_a_question_asked_without_a_connection_stays_in_the_box_until_it_is_sent_again(
    panel: Panel, page: Page, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    allow_console("ERR_INTERNET_DISCONNECTED|ERR_FAILED|Failed to fetch|WebSocket")
    panel.open("lab")
    page.context.set_offline(True)
    panel.write("keep me")
    panel.text.press("Enter")
    banner = panel.root.locator('[data-banner="network"]')
    expect(banner).to_contain_text("send it when the server is back")
    expect(panel.text).to_have_value("keep me")
    expect(panel.root.get_by_role("alert")).to_have_count(1)
    page.context.set_offline(False)
    expect(banner).to_have_count(0)
    expect(panel.text).to_have_value("keep me")
    assert model.requests == []
    panel.text.press("Enter")
    panel.expect_answer("keep me")


def test_a_question_that_did_not_get_through_is_said_until_it_is_sent_again(
    panel: Panel, page: Page, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    allow_console("ERR_FAILED")
    panel.open("lab")
    page.route(POSTED, lambda route: route.abort())
    panel.write("keep me")
    panel.text.press("Enter")
    banner = panel.root.locator('[data-banner="network"]')
    panel.button("Try again", banner).click()  # a look at the server, which is there
    expect(banner).to_have_count(0)
    notice = panel.composer.get_by_role("alert")
    expect(notice).to_contain_text("Your question did not get through.")
    expect(panel.text).to_have_value("keep me")
    page.unroute_all()
    panel.button("Send again", notice).click()
    panel.expect_answer("keep me")
    expect(notice).to_have_count(0)


def test_a_used_up_quota_says_from_when_the_same_model_can_be_asked(panel: Panel, model: FakeVLLM) -> None:
    body = {"error": {"code": "quota_exceeded", "message": "Quota of tokens used up"}}
    model.use(Scenario(status=429, headers={"retry-after": "86400"}, body=body))
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("error")
    card = panel.last_answer.get_by_role("group", name="Your quota is used up")
    expect(card.get_by_role("button", name=re.compile(r"^Try again at .*\d:\d\d"))).to_be_disabled()
    expect(panel.button("Copy details for the admin", card)).to_be_enabled()


@pytest.mark.parametrize("reload", [False, True], ids=["", "after a reload"])
def test_a_question_whose_acknowledgement_was_lost_is_asked_once(
    reload: bool, panel: Panel, page: Page, lab: Lab, model: FakeVLLM, allow_console: Callable[[str], None]
) -> None:
    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    allow_console("ERR_FAILED")
    panel.open("lab")
    page.route(POSTED, lose)
    panel.write("only once")
    panel.text.press("Enter")
    expect(panel.root.locator('[data-banner="network"]')).to_be_visible()
    expect(panel.text).to_have_value("only once")
    model.wait_for(lambda fake: len(fake.requests) == 1)
    page.unroute_all()
    if reload:
        panel.reload()
    panel.text.press("Enter")
    panel.expect_answer("only once")
    expect(panel.turns).to_have_count(1)
    expect(panel.root.locator('[data-banner="network"]')).to_have_count(0)
    assert len(model.requests) == 1
    assert len(lab.cellar("GET", "conversations")) == 1


@pytest.mark.parametrize("preset", ["quota", "forbidden"])
def test_what_one_model_refuses_another_is_asked(
    preset: str, new_lab: Callable[..., Lab], page: Page, model: FakeVLLM
) -> None:
    model.options.models = ["fake-coder", "fake-thinker"]
    panel = Panel(page, new_lab(VLLM_BASE_URL=model.url)).open("lab")
    model.use(preset)
    panel.ask("hello")
    panel.expect_state("error")
    models = panel.composer.get_by_role("combobox", name="Model")
    panel.button("Choose another model", panel.last_turn).click()
    expect(models).to_be_focused()
    model.use("echo")
    models.select_option("fake-thinker")
    panel.button("Try again", panel.last_turn).click()
    panel.expect_answer("hello")
    assert model.requests[-1].body["model"] == "fake-thinker"


def test_what_is_not_allowed_can_be_copied_for_the_admin(panel: Panel, model: FakeVLLM) -> None:
    model.use("forbidden")
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("error")
    panel.button("Copy details for the admin", panel.last_turn).click()
    expect(panel.button("Copied", panel.last_turn)).to_be_visible()
    panel.text.focus()
    panel.page.keyboard.press("Control+v")
    expect(panel.text).to_have_value(re.compile("^forbidden\n.*Your group may not use this model"))
