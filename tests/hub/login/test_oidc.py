"""Log-in by a real provider of OpenID Connect on loopback."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import httpx
import pytest
from cellar_hub.login.oidc import TRUSTED
from cellar_hub.login.throttle import ADDRESS

from tests.fakes.fixtures import unused_port
from tests.hub.commands.site import Site, said
from tests.hub.login import provider as providers
from tests.hub.login.provider import Provider, go_through

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Provider]]:
    modules = providers.modules()
    if modules is None:
        pytest.skip(providers.MISSING)
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("hub")
    with providers.running(folder, modules, f"{url}/hub/oauth_callback") as provider:
        more = {"CELLAR_PUBLIC_URL": url, "CELLAR_LOGIN_GROUPS": "staff", "CELLAR_HUB_GROUPS": "research guests"}
        site = Site(folder, port=port, **provider.settings(), **more)
        yield site, provider
        site.end()


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as found:
        yield found


@contextlib.contextmanager
def browsing(site: Site, where: str = "198.18.77.1") -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=30, headers={"X-Forwarded-For": where}) as browser:
        yield browser


def log_in(site: Site, name: str, browser: httpx.Client | None = None) -> tuple[int, str]:
    if browser is None:
        with browsing(site) as new:
            return log_in(site, name, new)
    page = browser.get("/hub/login")
    assert "Sign in with Test House" in page.text and "password_input" not in page.text
    answer = go_through(browser, f"{site.url}/hub/oauth_login?next=", name)
    return answer.status_code, said(answer.text)


def test_whom_the_provider_vouches_for_gets_in_when_a_group_or_the_administrator_says_so(
    house: tuple[Site, Provider],
) -> None:
    site, _ = house
    with browsing(site) as browser:
        assert log_in(site, "ann", browser)[0] == 302 and browser.get("/hub/home").status_code == 200
        assert site.ask("GET", "/users/ann").json()["groups"] == ["research"]
        assert site.command("users", "block", "ann").returncode == 0
        assert browser.get("/hub/home").status_code == 302
    status, text = log_in(site, "ben")
    assert status == 403 and "You may not use this hub" in text
    assert site.command("users", "add", "ben").returncode == 0
    assert log_in(site, "ben")[0] == 302
    assert log_in(site, "ann")[0] == 403
    assert site.command("users", "unblock", "ann").returncode == 0
    assert log_in(site, "ann")[0] == 302


def test_made_up_answers_of_the_provider_are_refused_throttled_and_in_the_audit(
    house: tuple[Site, Provider], stack: contextlib.ExitStack
) -> None:
    site, _ = house
    where = "198.18.77.2"
    browser_of_ann = stack.enter_context(browsing(site, where))
    assert log_in(site, "ann", browser_of_ann)[0] == 302
    statuses, answer = [403], None
    while statuses[-1] == 403 and len(statuses) < 2 * ADDRESS.free:
        with browsing(site, where) as browser:
            away = browser.get("/hub/oauth_login").headers["location"]
            state = httpx.URL(away).params["state"]
            answer = browser.get("/hub/oauth_callback", params={"code": "made-up", "state": state})
        statuses.append(answer.status_code)
    assert set(statuses[: ADDRESS.free]) == {403} and statuses[-1] == 429, statuses
    assert answer is not None and "Please try again in" in said(answer.text) and answer.headers["Retry-After"]
    assert site.until_events(where, 3) == [
        ("user.login.succeeded", "ann", ""),
        ("user.login.failed", "", "the provider vouches for nobody"),
        ("user.login.refused", "", "too many attempts"),
    ]
    assert log_in(site, "ann")[0] == 302, "nobody else waits"
    browser_of_ann.get("/hub/logout")
    assert log_in(site, "ann", browser_of_ann)[0] == 302, "nor who logged in there before"
    without = httpx.get(f"{site.url}/hub/oauth_callback", params={"code": "x", "state": "y"}, timeout=30)
    assert without.status_code == 403 and "Sign in with Test House" in without.text


def test_a_name_and_a_password_make_no_token_here(house: tuple[Site, Provider]) -> None:
    site, _ = house
    body = {"auth": {"username": "ann", "password": "any"}}
    assert httpx.post(f"{site.url}/hub/api/users/ann/tokens", json=body, timeout=30).status_code == 403


def test_a_name_that_another_person_had_opens_nothing_until_an_administrator_says_so(
    house: tuple[Site, Provider],
) -> None:
    site, _ = house
    assert log_in(site, "ann")[0] == 302
    with browsing(site, "198.18.77.4") as browser:
        status, text = log_in(site, "Ann", browser)
    assert status == 403 and "You may not use this hub" in text
    assert site.until_events("198.18.77.4", 1) == [("user.login.refused", "ann", "another person had this name")]
    for name, other in (("Ann", "ann"), ("ann", "Ann")):
        assert site.command("users", "unblock", "ann").returncode == 0
        assert [log_in(site, name)[0], log_in(site, other)[0]] == [302, 403]


def test_tokens_of_somebody_who_comes_no_more_stop_working(house: tuple[Site, Provider]) -> None:
    site, _ = house
    assert log_in(site, "ann")[0] == 302
    headers = {"Authorization": f"token {site.ask('POST', '/users/ann/tokens', {}).json()['token']}"}

    def until(status: int) -> None:
        while httpx.get(f"{site.url}/hub/api/user", headers=headers, timeout=30).status_code != status:
            pass  # the test's time limit ends it

    until(200)
    with contextlib.closing(sqlite3.connect(site.folder / "hub.sqlite")) as database, database:
        database.execute("UPDATE cellar_vouched SET last = last - ? WHERE name = 'ann'", (TRUSTED,))
    until(403)
    assert log_in(site, "ann")[0] == 302
    until(200)


def test_a_directorys_name_of_any_script_is_blocked_at_the_command_line(house: tuple[Site, Provider]) -> None:
    site, _ = house
    assert log_in(site, "김철수")[0] == 302
    done = site.command("users", "block", "김철수")
    assert done.returncode == 0, done.stderr
    assert log_in(site, "김철수")[0] == 403


def test_somebody_without_a_name_does_not_get_in_and_that_is_said(house: tuple[Site, Provider]) -> None:
    site, _ = house
    with browsing(site, "198.18.77.5") as browser:
        assert log_in(site, "nameless", browser)[0] == 403
    assert site.until_events("198.18.77.5", 1) == [("user.login.refused", "", "the provider says no name")]


def test_a_provider_that_is_away_is_said(house: tuple[Site, Provider]) -> None:
    site, provider = house
    with browsing(site, "198.18.77.3") as browser:
        away = browser.get("/hub/oauth_login").headers["location"]
        provider.stop()
        state = httpx.URL(away).params["state"]
        answer = browser.get("/hub/oauth_callback", params={"code": "made-up", "state": state})
    assert answer.status_code == 503 and said(answer.text).startswith("The directory does not answer")
    provider.start()
    assert log_in(site, "ann")[0] == 302


def test_an_address_that_the_provider_has_not_verified_is_nobodys_name(house: tuple[Site, Provider]) -> None:
    site, _ = house
    site.process.terminate()
    site.process.wait()
    site.env["CELLAR_OIDC_USERNAME_CLAIM"] = "email"
    site.start_hub()
    assert log_in(site, "ann")[0] == 302
    assert site.ask("GET", "/users/ann@example.org").status_code == 200
    with browsing(site, "198.18.77.6") as browser:
        assert log_in(site, "eve", browser)[0] == 403
    assert site.until_events("198.18.77.6", 1) == [
        ("user.login.refused", "", "the provider has not verified the address")
    ]
