"""The console in Chromium, at a real hub: an administrator's errands, and 5,000 users."""

from __future__ import annotations

import contextlib
import datetime
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.hub.commands.site import PASSWORD
from tests.hub.console.seed import seed
from tests.hub.console.site import ConsoleSite
from tests.hub.jupyter import proxy_command

pytestmark = [pytest.mark.ui, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    if not proxy_command():
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    found = ConsoleSite(tmp_path_factory.mktemp("console"))
    seed(found)
    yield found
    found.end()


class Desk:
    """Somebody in front of the console; what the browser complains about fails the test."""

    def __init__(self, site: ConsoleSite, context: BrowserContext, name: str) -> None:
        self.site = site
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{site.public}/hub/login?next=/services/console/")
        self.page.locator("#username_input").fill(name)
        self.page.locator("input[name=password]").first.fill(PASSWORD)
        self.page.locator("#login_submit").click()
        self.page.wait_for_url("**/services/console/**")

    def open(self, path: str) -> None:
        self.page.goto(f"{self.site.console}/{path}")

    def flash(self) -> str:
        said = self.page.get_by_role("status")
        expect(said).to_be_visible()
        return said.inner_text()

    def confirm(self) -> None:
        self.page.locator("dialog button.bad").click()


@pytest.fixture
def contexts(browser: Browser) -> Iterator[list[BrowserContext]]:
    found: list[BrowserContext] = []
    yield found
    for each in found:
        each.close()


@pytest.fixture
def admin(site: ConsoleSite, browser: Browser, contexts: list[BrowserContext]) -> Iterator[Desk]:
    contexts.append(browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US"))
    contexts[-1].set_default_timeout(15_000)
    desk = Desk(site, contexts[-1], "admin")
    yield desk
    assert desk.complaints == []


def test_an_administrator_who_has_never_seen_it_does_their_errands(admin: Desk) -> None:
    page = admin.page
    # who used the GPU yesterday
    page.get_by_role("link", name="Usage", exact=True).click()
    page.get_by_role("link", name="Yesterday").click()
    expect(page.locator("tbody tr").first).to_contain_text("lee")
    # a limit for that person
    page.locator("tbody tr").first.get_by_role("link").click()
    page.get_by_label("Tokens a day").fill("50,000")
    page.get_by_role("button", name="Save").click()
    assert admin.flash() == "Saved. It counts within seconds."
    expect(page.get_by_text("of 50,000 tokens")).to_be_visible()
    # block somebody
    page.get_by_role("link", name="Users", exact=True).first.click()
    page.get_by_label("Name", exact=True).fill("par")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="park").click()
    page.get_by_role("button", name="Block").click()
    admin.confirm()
    assert "park is blocked" in admin.flash()
    # and see all that in the audit
    page.get_by_role("link", name="Audit", exact=True).click()
    page.locator("select[name=kind]").select_option("events")
    expect(page.locator("tbody").get_by_text("user.block")).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("link", name="Download as CSV").click()
    assert "policy.change" in Path(taken.value.path()).read_text()


def test_who_signs_up_waits_is_approved_and_gets_in(
    site: ConsoleSite, admin: Desk, browser: Browser, contexts: list[BrowserContext]
) -> None:
    contexts.append(browser.new_context(locale="ko-KR"))
    page = contexts[-1].new_page()
    page.goto(f"{site.public}/hub/signup")
    page.locator("#username_input").fill("nari")
    page.locator("#password_input").fill(PASSWORD)
    page.locator("#again_input").fill(PASSWORD)
    page.locator("#note_input").fill("Biology, <b>room 12</b>")
    page.locator("#signup_submit").click()
    expect(page.locator("#signup-done")).to_be_visible()
    admin.open("users")
    admin.page.get_by_role("link", name="Sign-ups waiting for your approval: 1").click()
    row = admin.page.locator("tbody tr", has_text="nari")
    expect(row).to_contain_text("Biology, <b>room 12</b>")
    row.get_by_role("button", name="Approve").click()
    assert admin.flash() == "nari may log in."
    expect(admin.page).to_have_url(f"{site.console}/users?state=waiting")
    expect(admin.page.get_by_text("No users found.")).to_be_visible()
    page.goto(f"{site.public}/hub/login?next=/services/console/")
    page.locator("#username_input").fill("nari")
    page.locator("input[name=password]").first.fill(PASSWORD)
    page.locator("#login_submit").click()
    expect(page.get_by_role("heading", name="내 페이지")).to_be_visible()


def test_a_group_is_made_given_a_model_and_members_and_an_announcement_goes_up(admin: Desk) -> None:
    page = admin.page
    admin.open("groups")
    page.get_by_label("New group").fill("chemistry")
    page.get_by_role("button", name="Make a group").click()
    page.get_by_label("Add people").fill("ann lee")
    page.get_by_role("button", name="Add", exact=True).click()
    assert admin.flash() == "Added to the group: 2"
    models = page.get_by_role("group", name="Models")
    models.get_by_text("Only these").click()
    models.get_by_placeholder("others, with spaces between").fill("coder-large")
    page.get_by_role("button", name="Save").click()
    assert "Saved" in admin.flash()
    expect(page.get_by_role("checkbox", name="coder-large")).to_be_checked()
    page.get_by_role("link", name="Announcements").click()
    page.get_by_label("Text").fill("The large model moves on Friday.")
    page.get_by_label("Level").select_option("warning")
    page.get_by_role("button", name="Save").click()
    admin.flash()
    admin.open("announcements")
    row = page.locator("tbody tr", has_text="The large model moves on Friday.")
    expect(row).to_contain_text("shown now")
    row.get_by_role("button", name="Take down").click()
    admin.confirm()
    admin.flash()


def test_numbers_change_without_a_reload(admin: Desk) -> None:
    admin.open("overview")
    tile = admin.page.locator(".tile", has_text="Workspaces running").locator(".big")
    expect(tile).to_have_text("0")
    headers = {"authorization": "token " + admin.site.env["CELLAR_COMMANDS_TOKEN"]}
    answer = admin.page.request.post(f"{admin.site.public}/hub/api/users/lee/server", headers=headers)
    assert answer.ok
    expect(tile).to_have_text("1", timeout=20_000)
    assert admin.page.request.delete(f"{admin.site.public}/hub/api/users/lee/server", headers=headers).ok
    expect(tile).to_have_text("0", timeout=20_000)


def test_everything_is_reached_by_keyboard_and_what_cannot_be_undone_is_asked(admin: Desk) -> None:
    page = admin.page
    admin.open("users/ann")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    button = page.get_by_role("button", name="Block")
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    expect(page.locator(":focus")).to_have_text("Cancel")
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_count(0)
    button.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    admin.open("audit?subject=ann&kind=events")
    expect(page.locator("tbody").get_by_text("user.add")).to_be_visible()
    expect(page.locator("tbody").get_by_text("user.block")).to_have_count(0)


def test_the_pages_work_without_javascript(site: ConsoleSite, browser: Browser, contexts: list[BrowserContext]) -> None:
    contexts.append(browser.new_context(locale="en-US"))
    desk = Desk(site, contexts[-1], "admin")
    kept = contexts[-1].storage_state()
    contexts.append(browser.new_context(locale="en-US", java_script_enabled=False, storage_state=kept))
    page = contexts[-1].new_page()
    page.goto(f"{desk.site.console}/groups")
    page.get_by_label("New group").fill("plain")
    page.get_by_role("button", name="Make a group").click()
    expect(page.get_by_role("status")).to_have_text("The group plain is there now.")
    page.get_by_role("button", name="Remove this group").click()
    expect(page.get_by_role("status")).to_have_text("The group plain is gone.")


def test_the_hubs_own_pages_follow_the_language_that_was_chosen(
    site: ConsoleSite, browser: Browser, contexts: list[BrowserContext]
) -> None:
    contexts.append(browser.new_context(locale="en-US"))
    page = Desk(site, contexts[-1], "ann").page
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("heading", name="내 페이지")).to_be_visible()
    page.get_by_role("link", name="내 작업 공간").click()
    expect(page.locator("#start")).to_have_text("내 작업 공간 시작")


def test_a_user_sees_what_is_theirs(site: ConsoleSite, browser: Browser, contexts: list[BrowserContext]) -> None:
    contexts.append(browser.new_context(locale="en-US"))
    desk = Desk(site, contexts[-1], "ann")
    expect(desk.page.get_by_role("heading", name="My page")).to_be_visible()
    expect(desk.page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(1)
    desk.page.get_by_role("button", name="Revoke").first.click()
    desk.confirm()
    assert desk.flash() == "The token is revoked."
    assert desk.complaints == []


CROWD = 5_000


def crowd(site: ConsoleSite) -> None:
    """So many more users, a twentieth of them in each of twenty groups, each with some use of today."""
    numbers = f"with recursive n(i) as (values(0) union all select i + 1 from n where i < {CROWD - 1})"
    with contextlib.closing(sqlite3.connect(site.folder / "hub.sqlite", timeout=60)) as hub, hub:
        columns = "(name, admin, created, cookie_id)"
        rows = f"{numbers} select 'user' || i, 0, '2026-01-01 00:00:00', 'crowd' || i from n"
        hub.execute(f"insert into users {columns} {rows}")
        of_crowd = "from users where cookie_id like 'crowd%'"
        hub.execute(
            "insert into user_role_map (user_id, role_id, managed_by_auth) "
            "select users.id, roles.id, 0 from users, roles where cookie_id like 'crowd%' and roles.name = 'user'"
        )
        hub.executemany("insert into groups (name) values (?)", [(f"department{number}",) for number in range(20)])
        hub.execute(
            "insert into user_group_map (user_id, group_id) "
            f"select id, (select id from groups where name = 'department' || (users.id % 20)) {of_crowd}"
        )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    with contextlib.closing(sqlite3.connect(f"{site.books['CELLAR_DATA']}/cellar.db", timeout=60)) as books, books:
        columns = "(user_name, day, model, prompt, completion, cached, requests, estimated)"
        books.execute(
            f"insert into cellar_usage {columns} {numbers} select 'user' || i, '{today}', 'crowd', i, 1, 0, 1, 0 from n"
        )


def test_five_thousand_users_are_paged_through_searched_and_one_of_them_changed(admin: Desk) -> None:
    crowd(admin.site)
    page = admin.page
    rows = page.locator("tbody tr")
    admin.open("users")
    expect(page.get_by_text(re.compile(r"^1 to 50 of 5,0\d\d$"))).to_be_visible()
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text(re.compile(r"^51 to 100 of 5,0\d\d$"))).to_be_visible()
    admin.open("users?page=100")
    expect(page.get_by_role("link", name="user999", exact=True)).to_be_visible()
    page.get_by_label("Name", exact=True).fill("user4321")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="user4321").click()
    page.get_by_label("Tokens a day").fill("77,000")
    page.get_by_role("button", name="Save").click()
    assert admin.flash() == "Saved. It counts within seconds."
    expect(page.get_by_text("of 77,000 tokens")).to_be_visible()
    page.get_by_label("Add to").select_option("research")
    page.get_by_role("button", name="Add", exact=True).click()
    assert admin.flash() == "user4321 is in the group now."
    admin.open("groups")
    expect(page.get_by_role("row", name=re.compile("^department7 250 "))).to_be_visible()
    page.get_by_role("link", name="research").click()
    expect(page.get_by_role("link", name="user4321")).to_be_visible()
    admin.open("usage?span=today&model=crowd")
    expect(rows).to_have_count(50)
    expect(rows.first).to_contain_text("user4999")
    page.get_by_role("link", name="Next").click()
    expect(rows.first).to_contain_text("user4949")
