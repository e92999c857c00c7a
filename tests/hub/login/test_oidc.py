"""Log-in by a real provider of OpenID Connect on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest
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


def test_made_up_answers_of_the_provider_are_refused_throttled_and_in_the_audit(house: tuple[Site, Provider]) -> None:
    site, _ = house
    where = "198.18.77.2"
    statuses, answer = [403], None
    while statuses[-1] == 403 and len(statuses) < 2 * ADDRESS.free:
        with browsing(site, where) as browser:
            away = browser.get("/hub/oauth_login").headers["location"]
            state = httpx.URL(away).params["state"]
            answer = browser.get("/hub/oauth_callback", params={"code": "made-up", "state": state})
        statuses.append(answer.status_code)
    assert set(statuses[: ADDRESS.free]) == {403} and statuses[-1] == 429, statuses
    assert answer is not None and "Please try again in" in said(answer.text) and answer.headers["Retry-After"]
    assert site.until_events(where, 2) == [
        ("user.login.failed", "", "the provider vouches for nobody"),
        ("user.login.refused", "", "too many attempts"),
    ]
    assert log_in(site, "ann")[0] == 302, "nobody else waits"
    without = httpx.get(f"{site.url}/hub/oauth_callback", params={"code": "x", "state": "y"}, timeout=30)
    assert without.status_code == 403 and "Sign in with Test House" in without.text


def test_a_name_and_a_password_make_no_token_here(house: tuple[Site, Provider]) -> None:
    site, _ = house
    body = {"auth": {"username": "ann", "password": "any"}}
    assert httpx.post(f"{site.url}/hub/api/users/ann/tokens", json=body, timeout=30).status_code == 403


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
