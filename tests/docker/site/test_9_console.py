"""The console of the whole stack: what an administrator sees and changes there reaches panel and workspace."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.docker.site.conftest import NewPerson
from tests.docker.site.installation import SHORT, Installation
from tests.docker.site.person import Person
from tests.docker.site.test_5_network import answers
from tests.ui.lab import wait_until


@pytest.fixture(scope="module")
def admin(site: Installation, two: tuple[Person, Person], new_person: NewPerson) -> Person:
    site.policy(SHORT)
    person = new_person("admin")
    person.log_in("hub/login?next=/services/console/")
    person.press_submit()
    person.page.wait_for_url("**/services/console/overview")
    return person


def open_console(admin: Person, path: str) -> None:
    admin.page.goto(f"{admin.installation.url}/services/console/{path}")


def save(admin: Person) -> None:
    admin.page.get_by_role("button", name="Save").click()
    expect(admin.page.get_by_role("status")).to_have_text("Saved. It counts within seconds.")


def test_the_overview_shows_the_model_server_and_who_works(site: Installation, admin: Person, ada: Person) -> None:
    assert answers(site, "ada")
    open_console(admin, "models")
    expect(admin.page.get_by_role("main")).to_contain_text("http://model:8001/v1")
    expect(admin.page.locator(".state.good").first).to_have_text("up")
    open_console(admin, "overview")
    running = admin.page.locator(".tile", has_text="Workspaces running").locator(".big")
    expect(running).not_to_have_text("0")
    expect(admin.page.locator("tbody tr", has_text="ada")).to_be_visible()
    admin.shot("9-console-overview")


def test_a_limit_for_one_person_is_in_her_panel_within_seconds_and_in_nobody_elses(
    site: Installation, admin: Person, ada: Person
) -> None:
    open_console(admin, "users/ada")
    admin.page.get_by_label("Tokens a day").fill("10")
    save(admin)
    wait_until(lambda: site.me("ada")["day"].get("limit") == 10, "the gateway to go by it")
    assert site.me("ben")["day"].get("limit") is None
    served = {each["id"] for each in site.me("ada")["models"]}
    wait_until(lambda: ada.ask("GET", "cellar/api/status")["default_model"] in served, "the workspace to know them")
    ada.panel.show()
    ada.panel.ask("One more question?")
    ada.panel.expect_state("error", seconds=30)
    expect(ada.panel.last_turn).to_contain_text("Your quota is used up")
    admin.page.get_by_label("Tokens a day").fill("")
    save(admin)
    wait_until(lambda: site.me("ada")["day"].get("limit") is None, "the limit to go")


def test_who_is_blocked_loses_workspace_and_tokens_at_once(
    site: Installation, admin: Person, new_person: NewPerson
) -> None:
    gus = new_person("gus")
    gus.log_in()
    gus.submit()
    gus.wait_for_workspace()
    assert site.workspace("gus")
    open_console(admin, "users?q=gus")
    admin.page.get_by_role("link", name="gus").click()
    expect(admin.page.get_by_role("button", name="Stop the workspace")).to_be_visible()
    admin.page.get_by_role("button", name="Block").click()
    admin.page.locator("dialog button.bad").click()
    expect(admin.page.get_by_role("status")).to_contain_text("gus is blocked")
    wait_until(lambda: not site.workspace("gus"), "the workspace to be gone", timeout=60)
    gus.page.goto(f"{site.url}/hub/home")
    expect(gus.page.locator("#username_input")).to_be_visible()
    gus.log_in()
    gus.press_submit()
    expect(gus.page.locator("#username_input")).to_be_visible()
    admin.page.get_by_role("button", name="Unblock").click()
    expect(admin.page.get_by_role("status")).to_have_text("gus may log in again.")


def test_what_was_done_is_in_the_audit_which_is_whole(site: Installation, admin: Person) -> None:
    open_console(admin, "audit?kind=events&subject=gus")
    rows = admin.page.locator("tbody tr")
    for action in ("user.unblock", "user.block", "user.login.refused"):
        expect(rows.filter(has_text=action).first).to_be_visible()
    open_console(admin, "audit")
    admin.page.get_by_role("button", name="Verify the audit").click()
    expect(admin.page.get_by_text("The audit is whole")).to_be_visible(timeout=60_000)
    admin.shot("9-console-audit")


def test_a_user_finds_her_own_page_from_the_hubs(site: Installation, ada: Person) -> None:
    page = ada.context.new_page()
    page.goto(f"{site.url}/hub/home")
    page.get_by_role("link", name="My page").click()
    expect(page.get_by_role("heading", name="My page")).to_be_visible()
    expect(page.get_by_text(re.compile("tokens, without a limit")).first).to_be_visible()
    page.goto(f"{site.url}/services/console/users/ben")
    expect(page.get_by_role("alert")).to_have_text("This page is for administrators.")
    page.close()
