"""What the panel says before anything is asked, and when something is not as it should be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.fakes.scenarios import Scenario
from tests.ui.lab import Lab, wait_until
from tests.ui.panel import Panel


def banner(panel: Panel, key: str) -> Any:
    return panel.root.locator(f'[data-banner="{key}"]')


def test_an_empty_conversation_says_what_it_sees_and_offers_starters(panel: Panel, model: Any) -> None:
    panel.open()
    sees = panel.root.locator(".jp-Cellar-sees")
    expect(sees).to_contain_text("sample.ipynb · 20 cells")
    expect(sees).to_contain_text("an error")
    starters = panel.root.locator(".jp-Cellar-starters button")
    expect(starters.first).to_contain_text("Fix this error")
    expect(panel.root).to_contain_text("your own model server and nowhere else")
    starters.first.click()
    expect(panel.text).to_be_focused()
    expect(panel.text).to_have_value("/fix ")
    expect(panel.pills.filter(has_text="AttributeError")).to_be_visible()
    panel.text.press("Enter")
    panel.expect_state("complete")
    assert "Traceback" in str(model.requests[-1].body["messages"]) or "isoformat" in str(model.requests[-1].body)


def test_a_starter_does_not_overwrite_what_is_typed(panel: Panel, model: Any) -> None:
    panel.open()
    panel.write("in two sentences")
    panel.root.get_by_role("button", name="Draw a chart of the data").click()
    expect(panel.text).to_have_value("/plot in two sentences")


def test_the_help_starter_shows_help_and_keeps_what_is_typed(panel: Panel) -> None:
    panel.open("lab")
    panel.write("half a thought")
    panel.root.get_by_role("button", name="What can I do here?").click()
    expect(panel.page.get_by_role("dialog")).to_contain_text("commands and keys")
    panel.page.keyboard.press("Escape")
    expect(panel.text).to_have_value("half a thought")


def test_memory_history_and_the_tiny_model_are_said_beforehand(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    lab = new_lab(config='c.Cellar.history = "memory"\nc.Cellar.tiny = True', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    expect(panel.root.locator(".jp-mod-memory")).to_contain_text("gone when the server restarts")
    expect(panel.root.locator(".jp-mod-tiny")).to_contain_text("demonstration model")


def test_export_is_not_advised_where_it_is_locked(new_lab: Callable[..., Lab], page: Page, model: Any) -> None:
    locked = {"export": {"enabled": False}}
    config = f'c.Cellar.history = "memory"\nc.Cellar.features = {locked!r}'
    panel = Panel(page, new_lab(config=config, VLLM_BASE_URL=model.url)).open("lab")
    note = panel.root.locator(".jp-mod-memory")
    expect(note).to_have_text("Conversations are not stored here: they are gone when the server restarts.")


def test_a_question_to_a_conversation_that_a_restart_lost_is_asked_in_a_new_one(
    new_lab: Callable[..., Lab], page: Page, model: Any, allow_console: Any
) -> None:
    allow_console("ERR_CONNECTION|WebSocket|40[0-9]|Failed to fetch")
    lab = new_lab(config='c.Cellar.history = "memory"', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    panel.ask("before the restart")
    panel.expect_answer("before")
    lab.restart()
    panel.write("after the restart")
    expect(panel.button("Send (Enter)")).to_be_enabled(timeout=60_000)  # the page has seen that the server is back
    panel.text.press("Enter")
    expect(panel.composer.get_by_role("alert")).to_contain_text(
        "The server was restarted, and conversations are kept in its memory only.",
        timeout=30_000,  # the server has only just started
    )
    expect(panel.text).to_have_value("after the restart")
    panel.button("Ask in a new conversation").click()
    panel.expect_answer("after the restart")
    expect(panel.turns).to_have_count(1)
    expect(panel.text).to_have_value("")
    expect(panel.composer.get_by_role("alert")).to_have_count(0)


def test_a_question_to_a_conversation_that_was_deleted_is_asked_in_a_new_one(
    panel: Panel, lab: Lab, model: Any, allow_console: Any
) -> None:
    allow_console("404")
    panel.open("lab")
    panel.ask("to be deleted")
    panel.expect_answer("deleted")
    [row] = lab.cellar("GET", "conversations")
    lab.cellar("DELETE", f"conversations/{row['id']}")
    panel.write("ask me all the same")
    panel.text.press("Enter")
    expect(panel.composer.get_by_role("alert")).to_contain_text("It was deleted, perhaps in another tab.")
    panel.button("Ask in a new conversation").click()
    panel.expect_answer("all the same")
    expect(panel.turns).to_have_count(1)


def test_a_full_disk_is_said_with_the_answers_end_and_no_longer_than_it_lasts(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    page.add_init_script(
        "const every = window.setInterval;"
        "window.setInterval = (act, ms, ...more) => every(act, ms === 10000 ? 200 : ms, ...more)"
    )
    lab = new_lab(VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    folders = [lab.home / "data" / "cellar" / name for name in ("conversations", "journals")]
    wait_until(lambda: all(folder.is_dir() for folder in folders), "the folders of the conversations")
    for folder in folders:
        folder.rename(folder.with_suffix(".away"))
        folder.write_text("in the way")
    panel.ask("while the disk is full")
    panel.expect_answer("while the disk is full")
    expect(banner(panel, "announcement-unsaved")).to_contain_text("they are kept in memory until they can")
    for folder in folders:
        folder.unlink()
        folder.with_suffix(".away").rename(folder)
    expect(banner(panel, "announcement-unsaved")).to_have_count(0)
    assert any(folders[0].iterdir())


def test_a_model_server_that_is_down_is_said_and_looked_at_again(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    lab = new_lab(VLLM_BASE_URL="http://127.0.0.1:9/v1")
    panel = Panel(page, lab).open("lab")
    expect(banner(panel, "model_down")).to_contain_text(re.compile(r"does not answer at http://\S+/v1\. "))
    panel.write("typed all the same")
    panel.button("Try again", banner(panel, "model_down")).click()
    expect(panel.text).to_have_value("typed all the same")
    expect(banner(panel, "model_down")).to_be_visible()


def test_a_missing_server_part_is_explained(
    new_lab: Callable[..., Lab], page: Page, model: Any, allow_console: Any
) -> None:
    allow_console("404")
    lab = new_lab(config='c.ServerApp.jpserver_extensions = {"cellar_jupyter": False}', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    expect(banner(panel, "extension_missing")).to_contain_text("pip install jupyter-cellar")
    panel.write("kept")
    expect(panel.send).to_be_disabled()
    panel.text.press("Enter")
    expect(panel.text).to_have_value("kept")


def test_an_announcement_is_shown_until_it_is_dismissed(panel: Panel, page: Page, model: Any) -> None:
    def announce(route: Route) -> None:
        answer = route.fetch()
        told = {"id": "m1", "level": "warning", "text": "Maintenance on Friday"}
        route.fulfill(response=answer, json=answer.json() | {"announcements": [told]})

    page.route("**/cellar/api/status*", announce)
    panel.open("lab")
    shown = banner(panel, "announcement-m1")
    expect(shown).to_contain_text("Maintenance on Friday")
    panel.button("Dismiss", shown).click()
    expect(shown).to_have_count(0)
    panel.reload()
    expect(panel.root.locator(".jp-Cellar-dot.jp-mod-up")).to_be_visible()
    expect(shown).to_have_count(0)


def test_announcements_come_and_go_without_a_reload_and_what_was_read_comes_back_with_another_text(
    panel: Panel, page: Page, model: Any
) -> None:
    told: list[dict[str, Any]] = []

    def announce(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"announcements": told})

    page.route("**/cellar/api/status*", announce)
    page.add_init_script(
        "const every = window.setInterval;"
        "window.setInterval = (act, ms, ...more) => every(act, ms === 60000 ? 200 : ms, ...more)"
    )
    panel.open("lab")
    shown = banner(panel, "announcement-m1")
    expect(shown).to_have_count(0)
    told.append({"id": "m1", "level": "info", "text": "<b>Friday</b>"})
    expect(shown).to_contain_text("<b>Friday</b>")
    panel.button("Dismiss", shown).click()
    expect(shown).to_have_count(0)
    told[0] = told[0] | {"text": "Saturday"}
    expect(shown).to_contain_text("Saturday")
    panel.button("Dismiss", shown).click()
    told[0] = told[0] | {"dismissible": False}
    expect(shown).to_contain_text("Saturday")
    expect(panel.button("Dismiss", shown)).to_have_count(0)
    told.clear()
    expect(shown).to_have_count(0)


def test_the_model_picker_shows_the_context_length_and_remembers_the_choice(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    model.options.models = ["fake-coder", "fake-thinker"]
    panel = Panel(page, new_lab(VLLM_BASE_URL=model.url)).open("lab")
    picker = panel.composer.get_by_role("combobox", name="Model")
    expect(picker.get_by_role("option")).to_have_text(
        [re.compile("fake-coder · 33k"), re.compile("fake-thinker · 33k")]
    )
    picker.select_option("fake-thinker")
    panel.reload()
    expect(picker).to_have_value("fake-thinker")
    panel.ask("who are you")
    panel.expect_state("complete")
    assert model.requests[-1].body["model"] == "fake-thinker"


def test_the_meter_shows_what_fills_the_context(panel: Panel, model: Any) -> None:
    panel.open()
    meter = panel.composer.locator(".jp-Cellar-meterButton")
    expect(meter).to_have_text(re.compile(r"\d+%"))
    meter.click()
    parts = panel.composer.get_by_role("dialog", name="What fills the context")
    for row in ("Instructions to the model", "sample.ipynb", "Your question", "Kept for the answer", "Free"):
        expect(parts.get_by_role("rowheader", name=row)).to_be_visible()
    panel.page.keyboard.press("Escape")
    expect(parts).to_have_count(0)


def test_the_meter_tells_what_was_asked_today(panel: Panel, lab: Lab, model: Any) -> None:
    before = lab.cellar("GET", "usage")["turns_today"]
    panel.open("lab")
    panel.ask("hello")
    panel.expect_state("complete")
    wait_until(lambda: lab.cellar("GET", "usage")["turns_today"] > before, "the use to be counted")
    use = lab.cellar("GET", "usage")
    panel.composer.locator(".jp-Cellar-meterButton").click()
    parts = panel.composer.get_by_role("dialog", name="What fills the context")
    expect(parts).to_contain_text(
        re.compile(
            rf"Today: {use['turns_today']} questions?, {use['prompt_today']:,} tokens read, "
            rf"{use['completion_today']:,} written\."
        )
    )


def test_the_meter_tells_what_the_workspace_may_reach(new_lab: Callable[..., Lab], page: Page, model: Any) -> None:
    window = {"spent": {}, "resets_at": 0}
    reachable = [{"name": "warehouse.corp", "port": 5432}, {"name": "git.corp", "port": 443, "ready": False}]
    model.options.me = {"user": "kim", "day": window, "month": window, "destinations": reachable}
    panel = Panel(page, new_lab(VLLM_BASE_URL=model.url, CELLAR_GATEWAY="1")).open("lab")
    panel.text.fill("hello")
    panel.composer.locator(".jp-Cellar-meterButton").click()
    parts = panel.composer.get_by_role("dialog", name="What fills the context")
    expect(parts).to_contain_text("From this workspace you may reach: warehouse.corp:5432.")
    expect(parts.locator(".jp-mod-warn")).to_contain_text("not reachable now: git.corp:443.")


def test_a_full_context_offers_to_compact_and_says_what_it_brought(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    lab = new_lab(config='c.Cellar.context_length = {"fake-coder": 4096}', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    for number in range(3):
        panel.ask(f"question {number} " + "with many words to read " * 180)
        panel.expect_state("complete", "length")
    offer = panel.composer.locator(".jp-Cellar-notice.jp-mod-warn")
    expect(offer).to_contain_text(re.compile("nearly full|no longer fit"))
    panel.button("Compact", offer).click()
    expect(panel.composer.locator(".jp-Cellar-notice")).to_contain_text(
        re.compile(r"Summed up: [\d,]+ → [\d,]+ tokens")
    )


def test_earlier_messages_that_no_longer_fit_are_said_and_can_be_summed_up(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    lab = new_lab(config='c.Cellar.context_length = {"fake-coder": 4096}', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    model.use(Scenario(text="The number is 4711. " + "and so on " * 4_000))
    panel.ask("Tell me much")
    panel.expect_state("complete", "length")
    offer = panel.composer.locator(".jp-Cellar-notice.jp-mod-warn")
    expect(offer).to_contain_text("Earlier messages no longer fit and are left out.")
    expect(panel.composer.locator(".jp-Cellar-meter")).to_have_class(re.compile("jp-mod-warm"))
    model.use(Scenario(text="It was about 4711."))
    panel.button("Compact", offer).click()
    expect(panel.last_turn).to_contain_text("It was about 4711.")
    assert "The number is 4711." in str(model.requests[-1].body["messages"])
    expect(offer).to_have_count(0)


def test_a_question_that_is_more_than_can_be_sent_is_not_shown_as_if_it_had_room(
    panel: Panel, model: Any, allow_console: Any
) -> None:
    allow_console(r"40[0-9]|413|422")
    panel.open("lab")
    meter = panel.composer.locator(".jp-Cellar-meterButton")
    expect(meter).to_have_text(re.compile(r"^\d+%$"))
    panel.write("many words " * 30_000)
    expect(meter).to_have_text(">100%")
    expect(panel.composer.locator(".jp-Cellar-notice")).to_contain_text("This is more than the model can read")
    meter.click()
    parts = panel.composer.get_by_role("dialog", name="What fills the context")
    expect(parts).to_contain_text("This is more than the model can read.")
    for row in ("Your question", "Free"):  # nobody has counted them
        expect(parts.get_by_role("rowheader", name=row)).to_have_count(0)
    panel.page.keyboard.press("Escape")
    panel.write("few words")
    expect(meter).to_have_text(re.compile(r"^\d+%$"))
    expect(panel.composer.locator(".jp-Cellar-notice")).to_have_count(0)


def test_an_answer_that_ends_while_the_panel_is_hidden_marks_tab_and_title(
    panel: Panel, page: Page, model: Any
) -> None:
    model.use("gated")
    panel.open("lab")
    panel.ask("take your time")
    model.wait_for(lambda m: m.waiting == 1)
    page.locator('.lm-TabBar-tab[data-id="jp-property-inspector"]').click()
    expect(panel.root).to_be_hidden()
    model.release_all()
    tab = page.locator('.lm-TabBar-tab[data-id="cellar-panel"]')
    expect(tab).to_have_class(re.compile("jp-Cellar-unseen"))
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    panel.execute("docmanager:open", path="sample.ipynb")
    expect(page).to_have_title(re.compile(r"^\(1\) .*sample"))
    panel.show()
    expect(tab).not_to_have_class(re.compile("jp-Cellar-unseen"))
    expect(page).not_to_have_title(re.compile(r"^\(1\) "))


def test_an_answer_that_ends_in_a_hidden_page_marks_its_title_until_the_page_is_seen(
    panel: Panel, page: Page, model: Any
) -> None:
    panel.look_often()
    model.use("gated")
    panel.open("lab")
    panel.ask("take your time")
    model.wait_for(lambda m: m.waiting == 1)
    panel.to_background()
    expect(page).not_to_have_title(re.compile(r"^\(1\) "))
    model.release_all()
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    panel.to_foreground()
    expect(page).not_to_have_title(re.compile(r"^\(1\) "))
    panel.expect_answer("one two three four five six")


def test_a_new_chat_begins_with_the_summary_and_the_old_one_stays(
    new_lab: Callable[..., Lab], page: Page, model: Any
) -> None:
    lab = new_lab(config='c.Cellar.context_length = {"fake-coder": 4096}', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    for number in range(3):
        panel.ask(f"question {number} " + "with many words to read " * 180)
        panel.expect_state("complete", "length")
    model.use(Scenario(text="What matters is the number 4711."))
    panel.button("New conversation from summary").first.click()
    expect(panel.questions.filter(has_text="question 0")).to_have_count(0)
    model.use("echo")
    panel.write("go on")
    panel.text.press("Enter")
    panel.expect_state("complete")
    assert "4711" in str(model.requests[-1].body["messages"])
    assert len(lab.cellar("GET", "conversations")) == 2


def test_a_notification_comes_when_the_user_asked_for_it_and_the_page_is_hidden(
    panel: Panel, page: Page, model: Any
) -> None:
    page.add_init_script("""
        window.told = [];
        window.Notification = class {
            static permission = 'default';
            static requestPermission() { Notification.permission = 'granted'; return Promise.resolve('granted'); }
            constructor(title, options) { window.told.push(title); }
            close() {}
        };
    """)
    model.use("gated")
    panel.open("lab")
    assert page.evaluate("Notification.permission") == "default"  # nobody asks unasked
    panel.button("Earlier conversations").click()
    panel.root.get_by_role("checkbox", name="Notify me").check()
    expect(panel.root.get_by_role("checkbox", name="Notify me")).to_be_checked()
    panel.button("Back to the conversation").click()
    panel.ask("tell me later")
    model.wait_for(lambda m: m.waiting == 1)
    page.locator('.lm-TabBar-tab[data-id="jp-property-inspector"]').click()
    model.release_all()
    page.wait_for_function("window.told.length === 1")
    assert page.evaluate("window.told") == ["Cellar: the answer is ready"]
