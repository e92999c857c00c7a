"""The page where somebody changes their own password, at a real JupyterHub; and that neither it, nor log-in, nor
sign-up tells one name from another, by what is said or by what is computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cellar_hub.login.native import NOBODY
from cellar_hub.login.refusals import SAME_PASSWORD, TOO_MANY, WRONG_OLD, WRONG_OR_WAITING
from cellar_hub.login.throttle import PAIR
from cellar_hub.pages import in_language

from tests.hub.commands.site import GUESS, PASSWORD, Site, said
from tests.hub.login.test_signup import DONE, sign_up

pytestmark = pytest.mark.timeout(240)
NEW = "battery staple wrong horse"
COMPARED, MADE = "checkpw $2b$04$", "hashpw $2b$04$"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"))
    yield found
    found.end()


@pytest.fixture
def browsers(site: Site) -> Iterator[Callable[..., httpx.Client]]:
    opened: list[httpx.Client] = []

    def log_in(name: str, password: str = PASSWORD, **headers: str) -> httpx.Client:
        browser, status = site.log_in(name, password, **headers)
        opened.append(browser)
        assert status == 302
        return browser

    yield log_in
    for each in opened:
        each.close()


def change(browser: httpx.Client, old: str, new: str, again: str | None = None) -> httpx.Response:
    form = {"old": old, "password": new, "again": new if again is None else again, "_xsrf": token_of(browser)}
    return browser.post("/hub/password", data=form)


def token_of(browser: httpx.Client) -> str:
    found = re.search(r'name="_xsrf" value="([^"]+)"', browser.get("/hub/password").text)
    assert found
    return found[1]


def is_in(browser: httpx.Client) -> bool:
    return browser.get("/hub/home").status_code == 200


def work_of(site: Site, ask: Callable[..., httpx.Response], *given: Any) -> tuple[httpx.Response, list[str]]:
    """The answer, and what the hub has computed for it."""
    before = len(site.work())
    answer = ask(*given)
    return answer, site.work()[before:]


def log_in(site: Site, name: str, password: str) -> httpx.Response:
    browser, answer = site.answer_to(name, password)
    browser.close()
    return answer


def test_a_new_password_ends_all_other_sessions_keeps_tokens_and_is_in_the_audit(
    site: Site, browsers: Callable[..., httpx.Client]
) -> None:
    site.add("ann")
    where = {"X-Forwarded-For": "198.51.100.1"}
    here, elsewhere = browsers("ann", **where), browsers("ann")
    kept = site.ask("POST", "/users/ann/tokens", {}).json()["token"]
    assert 'href="/hub/password"' in here.get("/hub/home").text
    session = here.cookies["jupyterhub-session-id"]
    answer = change(here, PASSWORD, NEW)
    assert answer.status_code == 200 and "password-done" in answer.text
    assert is_in(here) and not is_in(elsewhere), "who has changed it stays"
    assert here.cookies["jupyterhub-session-id"] != session
    with_it = {"Authorization": f"token {kept}"}
    assert httpx.get(f"{site.url}/hub/api/user", headers=with_it, timeout=30).status_code == 200
    assert [log_in(site, "ann", each).status_code for each in (PASSWORD, NEW)] == [403, 302]
    assert change(here, NEW, PASSWORD).status_code == 200, "and again, in the session that goes on"
    told = site.until_events("198.51.100.1", 2)
    assert told == [("user.login.succeeded", "ann", ""), ("user.password", "ann", "")]
    assert {each.actor for each in site.events("ann") if each.action == "user.password"} == {"ann"}


def test_guesses_at_the_old_password_must_wait_and_harm_no_other_browser(
    site: Site, browsers: Callable[..., httpx.Client]
) -> None:
    site.add("bob")
    where = {"X-Forwarded-For": "198.51.100.2"}
    left_open, other = browsers("bob", **where), browsers("bob", **where)
    answers = [change(left_open, GUESS, NEW) for _ in range(PAIR.free + 1)]
    assert [each.status_code for each in answers] == [403] * PAIR.free + [429]
    assert {said(each.text) for each in answers[:-1]} == {WRONG_OLD}
    assert re.fullmatch(TOO_MANY.replace("{seconds}", r"\d+"), said(answers[-1].text))
    assert answers[-1].headers["Retry-After"] == "1"
    assert change(other, PASSWORD, NEW).status_code == 200
    assert not is_in(left_open)
    told = {(action, reason) for action, _, reason in site.until_events("198.51.100.2", 4)}
    assert {("user.password", "wrong password"), ("user.password", "too many wrong passwords")} <= told


def test_whoever_is_not_logged_in_or_comes_from_another_page_changes_nothing(
    site: Site, browsers: Callable[..., httpx.Client]
) -> None:
    site.add("carl")
    form = {"old": PASSWORD, "password": NEW, "again": NEW}
    assert "/hub/login" in httpx.get(f"{site.url}/hub/password", timeout=30).headers["location"]
    browser = browsers("carl")
    assert browser.post("/hub/password", data=form).status_code == 403
    token = site.ask("POST", "/users/carl/tokens", {}).json()["token"]
    with_it = {"Authorization": f"token {token}"}
    for headers in ({}, with_it):
        assert httpx.post(f"{site.url}/hub/password", data=form, headers=headers, timeout=30).status_code == 403
    assert log_in(site, "carl", NEW).status_code == 403


def test_what_is_wrong_with_the_new_password_is_said_without_a_word_about_the_old_one(
    site: Site, browsers: Callable[..., httpx.Client]
) -> None:
    site.add("dora")
    browser = browsers("dora")
    wrong = {
        "The two passwords differ": (NEW, NEW + "!"),
        "A password has": ("short", "short"),
        "This password is easily guessed": ("dora-the-user", "dora-the-user"),
    }
    for problem, (new, again) in wrong.items():
        answers = [work_of(site, change, browser, old, new, again) for old in (PASSWORD, GUESS)]
        assert [(each.status_code, work) for each, work in answers] == [(400, []), (400, [])]
        texts = {said(each.text) for each, _ in answers}
        assert len(texts) == 1 and texts.pop().startswith(problem)
    same, work = work_of(site, change, browser, PASSWORD, PASSWORD)
    assert same.status_code == 400 and work == [] and said(same.text).lower() == SAME_PASSWORD
    assert work_of(site, change, browser, GUESS, NEW)[1] == [COMPARED]
    assert work_of(site, change, browser, "x" * 5000 + "\0", NEW)[1] == [COMPARED]
    assert work_of(site, change, browser, PASSWORD, NEW)[1] == [COMPARED, MADE]


def test_whoever_does_not_get_in_hears_the_same_after_the_same_comparison_whosever_the_name_is(site: Site) -> None:
    for name in ("known", "blocked"):
        site.add(name)
    assert site.command("users", "block", "blocked").returncode == 0
    assert DONE in sign_up(site, "waiting").text
    tried = [
        ("known", GUESS),
        ("admin", GUESS),
        ("\0", GUESS),
        ("x" * 300, GUESS),
        ("known", GUESS * 9),
        ("known", "\0"),
    ]
    tried += [(name, password) for name in ("blocked", "waiting", "nobody") for password in (PASSWORD, GUESS)]
    for name, password in tried:
        answer, work = work_of(site, log_in, site, name, password)
        assert (answer.status_code, said(answer.text), work) == (403, WRONG_OR_WAITING, [COMPARED]), (name, password)


def test_the_right_password_of_a_closed_account_is_counted_as_a_wrong_one(site: Site) -> None:
    site.add("closed")
    assert site.command("users", "block", "closed").returncode == 0
    where = {"X-Forwarded-For": "198.51.100.3"}
    statuses = []
    for _ in range(PAIR.free + 1):
        browser, status = site.log_in("closed", PASSWORD, **where)
        browser.close()
        statuses.append(status)
    assert statuses == [403] * PAIR.free + [429]


def test_a_sign_up_costs_the_same_and_hears_the_same_whether_the_name_is_free_or_not(site: Site) -> None:
    site.add("taken")
    for name in ("taken", "admin", "free-name"):
        answer, work = work_of(site, sign_up, site, name)
        assert DONE in answer.text and work == [MADE], name


def test_passwords_of_a_site_cost_what_bcrypt_advises() -> None:
    """The hub of these tests lets them cost less."""
    assert NOBODY.startswith(b"$2b$12$")


def test_every_text_of_the_page_is_there_in_korean() -> None:
    for text in (WRONG_OLD, SAME_PASSWORD[:1].upper() + SAME_PASSWORD[1:], "Change your password"):
        korean = in_language(text, "ko")
        assert korean and re.search("[가-힣]", korean)
