"""Messages typed while an answer runs: listed in every tab, changed, removed, sent before their turn, held."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.ui.lab import Lab
from tests.ui.panel import Panel

POSTED = re.compile(r"/cellar/api/turns(\?\d+)?$")  # JupyterLab adds the time


def running(panel: Panel, model: Any, *waiting: str) -> None:
    """One answer at its gate, and these messages behind it."""
    model.use("gated")
    panel.open("lab")
    panel.ask("the first")
    model.wait_for(lambda m: m.waiting == 1)
    for number, text in enumerate(waiting, 1):
        panel.write(text)
        panel.text.press("Enter")
        # Those that the server has: a Stop holds no other.
        expect(panel.composer.locator(".jp-Cellar-pendingRow[data-turn]")).to_have_count(number)


def test_waiting_messages_go_out_in_order_when_the_answer_ends(panel: Panel, model: Any) -> None:
    running(panel, model, "the second", "the third")
    expect(panel.pending).to_have_text(["the second", "the third"])
    model.use("echo")
    model.release_all()
    expect(panel.questions).to_have_count(3)
    expect(panel.pending).to_have_count(0)
    expect(panel.questions.nth(1)).to_contain_text("the second")
    expect(panel.questions.nth(2)).to_contain_text("the third")
    panel.expect_answer("the third")


def test_a_message_stands_in_the_list_before_the_server_has_it(panel: Panel, page: Page, model: Any) -> None:
    running(panel, model)
    on_the_way: list[Route] = []
    page.route(POSTED, lambda route: on_the_way.append(route))
    panel.write("at once")
    panel.text.press("Enter")
    expect(panel.pending).to_have_text("at once")
    expect(panel.pending).to_have_attribute("aria-busy", "true")
    expect(panel.button("Remove", panel.pending)).to_have_count(0)
    expect(panel.text).to_have_value("")
    on_the_way[0].continue_()
    expect(panel.button("Remove", panel.pending)).to_be_visible()
    expect(panel.pending).to_have_text("at once")


def test_a_message_that_the_server_refuses_leaves_the_list_for_the_composer(
    panel: Panel, page: Page, model: Any, allow_console: Any
) -> None:
    allow_console("413")
    running(panel, model)
    on_the_way: list[Route] = []
    page.route(POSTED, lambda route: on_the_way.append(route))
    panel.write("too much")
    panel.text.press("Enter")
    expect(panel.pending).to_have_text("too much")
    panel.write("typed meanwhile")
    on_the_way[0].fulfill(status=413, json={"error": {"code": "too_large", "message": "too large"}})
    expect(panel.pending).to_have_count(0)
    expect(panel.text).to_have_value("too much\ntyped meanwhile")
    expect(panel.composer.get_by_role("alert")).to_contain_text("This is too large")


def test_a_waiting_message_is_edited_in_the_composer_and_the_draft_waits_underneath(panel: Panel, model: Any) -> None:
    running(panel, model, "with a mistaek")
    panel.write("my draft")
    panel.button("Edit", panel.pending).click()
    expect(panel.text).to_have_value("with a mistaek")
    panel.write("without a mistake")
    panel.text.press("Enter")
    expect(panel.pending).to_have_text("without a mistake")
    expect(panel.text).to_have_value("my draft")
    panel.button("Edit", panel.pending).click()
    panel.text.press("Escape")
    expect(panel.text).to_have_value("my draft")
    expect(panel.pending).to_have_text("without a mistake")


def test_a_message_that_is_edited_when_the_answer_ends_is_sent_with_its_new_words_only(
    panel: Panel, model: Any
) -> None:
    running(panel, model, "with a mistaek")
    panel.button("Edit", panel.pending).click()
    expect(panel.composer.get_by_text("Editing a waiting message: it is not sent meanwhile")).to_be_visible()
    expect(panel.pending).to_have_class(re.compile("jp-mod-editing"))
    panel.write("without a mistake")
    model.use("echo")
    model.release_all()
    panel.expect_state("complete")
    expect(panel.pending).to_have_text("with a mistaek")
    panel.reload()
    expect(panel.text).to_have_value("without a mistake")
    expect(panel.pending).to_have_text("with a mistaek")
    panel.text.press("Enter")
    panel.expect_answer("without a mistake")
    expect(panel.text).to_have_value("")
    expect(panel.pending).to_have_count(0)
    assert "mistaek" not in str([request.body for request in model.requests])


def test_an_edit_that_is_cancelled_after_the_answer_lets_the_message_go_as_it_was(panel: Panel, model: Any) -> None:
    running(panel, model, "as it was")
    panel.button("Edit", panel.pending).click()
    panel.write("other words")
    model.use("echo")
    model.release_all()
    panel.expect_state("complete")
    panel.button("Cancel", panel.composer).click()
    panel.expect_answer("as it was")
    expect(panel.text).to_have_value("")


def test_a_message_whose_edit_was_abandoned_is_held_and_other_tabs_say_so(
    panel: Panel, lab: Lab, new_page: Callable[[], Page], model: Any
) -> None:
    running(panel, model, "never finished")
    other = Panel(new_page(), lab).open("lab")
    expect(other.pending).to_have_text("never finished")
    panel.button("Edit", panel.pending).click()
    expect(other.pending).to_have_class(re.compile("jp-mod-held"))
    expect(other.composer).to_contain_text("1 message is held: the answer before it ended early, or it is edited")
    panel.page.close()
    model.use("echo")
    model.release_all()
    other.expect_state("complete")
    other.button("Send", other.pending).click()
    other.expect_answer("never finished")


def test_a_message_that_is_sent_elsewhere_while_it_is_edited_leaves_what_was_typed_as_a_draft(
    panel: Panel, lab: Lab, model: Any
) -> None:
    running(panel, model, "with a mistaek")
    panel.button("Edit", panel.pending).click()
    panel.write("without a mistake")
    turn = panel.pending.get_attribute("data-turn")
    model.use("echo")
    model.release_all()
    panel.expect_state("complete")
    lab.cellar("PATCH", f"turns/{turn}", {"release": True})
    panel.to_background()
    panel.to_foreground()  # it looks again
    expect(panel.composer.get_by_role("alert")).to_contain_text("was sent or removed meanwhile")
    expect(panel.text).to_have_value("without a mistake")
    panel.text.press("Enter")
    panel.expect_answer("without a mistake")


def test_a_message_that_is_removed_elsewhere_leaves_no_turn_behind(
    panel: Panel, lab: Lab, model: Any, allow_console: Any
) -> None:
    allow_console("404")
    running(panel, model, "unwanted", "edited")
    panel.page.evaluate(
        """() => {
            window.ghosts = [];
            new MutationObserver(() => {
                if (document.querySelectorAll('.jp-Cellar-turn').length > 1) window.ghosts.push(1);
            }).observe(document.querySelector('#cellar-panel'), {childList: true, subtree: true, attributes: true});
        }"""
    )
    lab.cellar("DELETE", f"turns/{panel.pending.first.get_attribute('data-turn')}")
    expect(panel.pending).to_have_text(["edited"])
    panel.button("Edit", panel.pending).click()
    expect(panel.pending).to_have_class(re.compile("jp-mod-editing"))
    panel.write("edited words")
    lab.cellar("DELETE", f"turns/{panel.pending.get_attribute('data-turn')}")
    panel.text.press("Enter")
    expect(panel.composer.get_by_role("alert")).to_contain_text("was sent or removed meanwhile")
    expect(panel.text).to_have_value("edited words")
    expect(panel.turns).to_have_count(1)
    assert panel.page.evaluate("window.ghosts") == []
    model.release_all()
    panel.expect_state("complete")


def test_a_waiting_message_is_removed(panel: Panel, model: Any) -> None:
    running(panel, model, "never mind")
    panel.button("Remove", panel.pending).click()
    expect(panel.pending).to_have_count(0)
    model.release_all()
    panel.expect_state("complete")
    assert len(model.requests) == 1


def test_every_tab_sees_the_same_list(panel: Panel, lab: Lab, new_page: Callable[[], Page], model: Any) -> None:
    running(panel, model, "seen everywhere")
    other = Panel(new_page(), lab).open("lab")
    expect(other.pending).to_have_text("seen everywhere")
    other.button("Remove", other.pending).click()
    expect(panel.pending).to_have_count(0)


def test_after_a_stop_the_rest_is_held_and_goes_with_a_click(panel: Panel, model: Any) -> None:
    running(panel, model, "held until I say so")
    panel.text.press("Escape")
    expect(panel.pending).to_have_class(re.compile("jp-mod-held"))
    model.use("echo")
    panel.button("Send", panel.pending).click()
    panel.expect_answer("held until I say so")
    expect(panel.pending).to_have_count(0)


def test_an_edit_of_an_earlier_question_says_so_while_it_waits(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.ask("the first")
    panel.expect_answer("the first")
    model.use("gated")
    panel.ask("the second")
    panel.write("the third")
    panel.text.press("Enter")
    first = panel.questions.first
    first.hover()
    panel.button("Edit and ask again", first).click()
    first.get_by_role("textbox").fill("the first, edited")
    first.get_by_role("textbox").press("Enter")
    expect(panel.pending).to_have_count(2)
    expect(panel.pending.first).not_to_contain_text("Edit of an earlier question")
    expect(panel.pending.last).to_contain_text("Edit of an earlier question")
