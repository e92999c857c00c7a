"""Asking for an account, waiting for it, and one's own tokens, in Chromium on a real JupyterHub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.hub.commands.site import PASSWORD, Site
from tests.ui.test_hub_pages import english_in, korean, shot
from tests.ui.test_panel_looks import CONTRAST

pytestmark = pytest.mark.timeout(240)
__all__ = ["korean"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"))
    found.add("tom")
    yield found
    found.end()


def log_in(site: Site, page: Page, name: str) -> None:
    page.goto(f"{site.url}/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")


def test_somebody_signs_up_by_keyboard_alone_waits_and_is_let_in(
    site: Site, page: Page, allow_console: Callable[[str], None]
) -> None:
    allow_console("403")
    allow_console("400")
    page.goto(f"{site.url}/hub/login")
    page.focus("#cellar-signup")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Ask for an account")
    for typed in ("Ann", "short", "short", "from room 5"):  # the first field has the focus
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".login_error")).to_have_text("A password has 10 to 72 characters.")
    expect(page.locator("#username_input")).to_have_value("Ann")
    expect(page.locator("#note_input")).to_have_value("from room 5")
    shot(page, "hub-signup-en")
    page.fill("#password_input", PASSWORD)
    page.fill("#again_input", PASSWORD)
    page.click("#signup_submit")
    expect(page.locator("#signup-done")).to_contain_text("an administrator now decides")
    shot(page, "hub-signup-done-en")
    log_in(site, page, "ann")
    expect(page.locator(".login_error")).to_have_text(
        "Name or password is wrong, or the account still waits for an administrator's approval."
    )
    expect(page.locator("#username_input")).to_have_value("ann")
    assert site.command("users", "approve", "ann").returncode == 0
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")


def test_the_page_is_in_korean_and_dark_where_the_browser_is(site: Site, korean: Page) -> None:
    korean.goto(f"{site.url}/hub/signup")
    expect(korean.locator("h1")).to_have_text("계정 신청")
    assert english_in(korean) == []
    shot(korean, "hub-signup-ko")
    korean.fill("#username_input", "bora")
    korean.fill("#password_input", "1234567890")
    korean.fill("#again_input", "1234567890")
    korean.click("#signup_submit")
    expect(korean.locator(".login_error")).to_contain_text("추측하기 쉬운 비밀번호")
    korean.fill("#password_input", PASSWORD)
    korean.fill("#again_input", PASSWORD)
    korean.click("#signup_submit")
    expect(korean.locator("#signup-done")).to_contain_text("관리자가")
    log_in(site, korean, "bora")
    expect(korean.locator(".login_error")).to_have_text(
        "이름 또는 비밀번호가 올바르지 않거나, 계정이 아직 관리자의 승인을 기다리고 있습니다."
    )
    assert korean.evaluate("document.documentElement.dataset.bsTheme") == "dark"


NEW = "battery staple wrong horse"


@pytest.mark.parametrize(("language", "scheme", "width"), [("en", "light", 1100), ("ko", "dark", 390)])
def test_somebody_changes_their_password_by_keyboard_alone_on_a_laptop_and_on_a_phone(
    site: Site, browser: Browser, language: str, scheme: Literal["light", "dark"], width: int
) -> None:
    site.add(f"pat-{language}")
    context = browser.new_context(
        viewport={"width": width, "height": 780}, locale=language, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    log_in(site, page, f"pat-{language}")
    page.wait_for_url("**/hub/home")
    if width < 600:
        page.click(".navbar-toggler")
        shot(page, f"hub-menu-{language}")
    page.get_by_role("link", name={"en": "Password", "ko": "비밀번호"}[language], exact=True).click()
    expect(page.locator("h1")).to_have_text({"en": "Change your password", "ko": "비밀번호 변경"}[language])
    for typed, says in (
        (
            ("a wrong password", NEW, NEW),
            {"en": "The old password is wrong.", "ko": "현재 비밀번호가 올바르지 않습니다."},
        ),
        ((PASSWORD, NEW, "another"), {"en": "The two passwords differ.", "ko": "두 비밀번호가 서로 다릅니다."}),
    ):
        for each in typed:  # the first field has the focus
            page.keyboard.type(each)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".login_error")).to_have_text(says[language])
    shot(page, f"hub-password-{language}-{scheme}")
    if language == "ko":
        assert [line for line in english_in(page) if "pat" not in line] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for each in page.locator("#login-main").locator("h1, label, small, p, input[type=submit]").all():
        if each.is_visible():
            assert each.evaluate(CONTRAST) >= 4.5, each.inner_text()
    for each in (PASSWORD, NEW, NEW):
        page.keyboard.type(each)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#password-done")).to_be_visible()
    shot(page, f"hub-password-done-{language}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.goto(f"{site.url}/hub/token")
    expect(page.locator("#request-token-form")).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [360, 1100])
def test_the_pages_can_be_read_on_a_phone_too(site: Site, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    for path in ("login", "signup"):
        page.goto(f"{site.url}/hub/{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
    shot(page, f"hub-signup-{width}")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_token_is_made_shown_once_listed_and_taken_away(site: Site, browser: Browser, language: str) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 800}, locale=language)
    page = context.new_page()
    log_in(site, page, "tom")
    page.wait_for_url("**/hub/home")
    page.goto(f"{site.url}/hub/token")
    page.fill("#token-note", f"for tests in {language}")
    page.click("#request-token-form button[type=submit]")
    expect(page.locator("#token-result")).to_have_text(re.compile("[0-9a-f]{32}"))
    token = page.locator("#token-result").inner_text()
    headers = {"Authorization": f"token {token}"}
    assert httpx.get(f"{site.url}/hub/api/user", headers=headers, timeout=30).status_code == 200
    page.reload()
    row = page.locator(".token-row", has_text=f"for tests in {language}")
    expect(row).to_have_count(1)
    assert token not in page.content()
    expect(row.locator(".time-col").last).to_have_text({"en": "in 3 months", "ko": "3개월 후"}[language])
    shot(page, f"hub-token-{language}")
    row.locator(".revoke-token-btn").click()
    expect(row).to_have_count(0)
    assert httpx.get(f"{site.url}/hub/api/user", headers=headers, timeout=30).status_code == 403
    context.close()
