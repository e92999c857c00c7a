"""Log-in by a real provider of OpenID Connect on loopback, with a certificate by an authority of its own."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cellar.settings import SettingsError
from cellar_hub.doctor import Failed
from cellar_hub.doctor.logins import settled
from cellar_hub.login.oidc import TRUSTED
from cellar_hub.login.refusals import ODD_PROVIDER
from cellar_hub.login.throttle import ADDRESS
from cellar_hub.pages import in_language
from cellar_hub.settings import HubSettings

from tests.fakes.fixtures import unused_port
from tests.hub.commands.site import Site, said
from tests.hub.login import provider as providers
from tests.hub.login.provider import Provider

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


def log_in(house: tuple[Site, Provider], name: str, browser: httpx.Client | None = None) -> tuple[int, str]:
    site, provider = house
    if browser is None:
        with browsing(site) as new:
            return log_in(house, name, new)
    page = browser.get("/hub/login")
    assert "Sign in with Test House" in page.text and "password_input" not in page.text
    answer = provider.go_through(browser, f"{site.url}/hub/oauth_login?next=", name)
    return answer.status_code, said(answer.text)


def test_whom_the_provider_vouches_for_gets_in_when_a_group_or_the_administrator_says_so(
    house: tuple[Site, Provider],
) -> None:
    site, _ = house
    with browsing(site) as browser:
        assert log_in(house, "ann", browser)[0] == 302 and browser.get("/hub/home").status_code == 200
        assert site.ask("GET", "/users/ann").json()["groups"] == ["research"]
        assert site.command("users", "block", "ann").returncode == 0
        assert browser.get("/hub/home").status_code == 302
    status, text = log_in(house, "ben")
    assert status == 403 and "You may not use this hub" in text
    assert site.command("users", "add", "ben").returncode == 0
    assert log_in(house, "ben")[0] == 302
    assert log_in(house, "ann")[0] == 403
    assert site.command("users", "unblock", "ann").returncode == 0
    assert log_in(house, "ann")[0] == 302


def test_made_up_answers_of_the_provider_are_refused_throttled_and_in_the_audit(
    house: tuple[Site, Provider], stack: contextlib.ExitStack
) -> None:
    site, _ = house
    where = "198.18.77.2"
    browser_of_ann = stack.enter_context(browsing(site, where))
    assert log_in(house, "ann", browser_of_ann)[0] == 302
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
    assert log_in(house, "ann")[0] == 302, "nobody else waits"
    browser_of_ann.get("/hub/logout")
    assert log_in(house, "ann", browser_of_ann)[0] == 302, "nor who logged in there before"
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
    assert log_in(house, "ann")[0] == 302
    with browsing(site, "198.18.77.4") as browser:
        status, text = log_in(house, "Ann", browser)
    assert status == 403 and "You may not use this hub" in text
    assert site.until_events("198.18.77.4", 1) == [("user.login.refused", "ann", "another person had this name")]
    for name, other in (("Ann", "ann"), ("ann", "Ann")):
        assert site.command("users", "unblock", "ann").returncode == 0
        assert [log_in(house, name)[0], log_in(house, other)[0]] == [302, 403]


def test_tokens_of_somebody_who_comes_no_more_stop_working(house: tuple[Site, Provider]) -> None:
    site, _ = house
    assert log_in(house, "ann")[0] == 302
    headers = {"Authorization": f"token {site.ask('POST', '/users/ann/tokens', {}).json()['token']}"}

    def until(status: int) -> None:
        while httpx.get(f"{site.url}/hub/api/user", headers=headers, timeout=30).status_code != status:
            pass  # the test's time limit ends it

    until(200)
    with contextlib.closing(sqlite3.connect(site.folder / "hub.sqlite")) as database, database:
        database.execute("UPDATE cellar_vouched SET last = last - ? WHERE name = 'ann'", (TRUSTED,))
    until(403)
    assert log_in(house, "ann")[0] == 302
    until(200)


def test_a_directorys_name_of_any_script_is_blocked_at_the_command_line(house: tuple[Site, Provider]) -> None:
    site, _ = house
    assert log_in(house, "김철수")[0] == 302
    done = site.command("users", "block", "김철수")
    assert done.returncode == 0, done.stderr
    assert log_in(house, "김철수")[0] == 403


def test_somebody_without_a_name_does_not_get_in_and_that_is_said(house: tuple[Site, Provider]) -> None:
    site, _ = house
    with browsing(site, "198.18.77.5") as browser:
        assert log_in(house, "nameless", browser)[0] == 403
    assert site.until_events("198.18.77.5", 1) == [("user.login.refused", "", "the provider says no name")]


@contextlib.contextmanager
def refers_elsewhere(provider: Provider) -> Iterator[list[str]]:
    """In the provider's place a server that sends everybody to another path of its; what it was asked for."""
    asked: list[str] = []

    class Refers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", f"{provider.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*provider.certificate)
    with ThreadingHTTPServer(("127.0.0.1", int(provider.url.rpartition(":")[2])), Refers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


def test_a_provider_that_is_away_or_refers_to_another_is_said(house: tuple[Site, Provider]) -> None:
    site, provider = house
    with browsing(site, "198.18.77.3") as browser:
        answers = []
        for place in (contextlib.nullcontext([]), refers_elsewhere(provider)):
            away = browser.get("/hub/oauth_login").headers["location"]
            provider.stop()
            with place as asked:
                made_up = {"code": "made-up", "state": httpx.URL(away).params["state"]}
                answers.append(browser.get("/hub/oauth_callback", params=made_up))
    for each in answers:
        assert each.status_code == 503 and said(each.text).startswith("The directory does not answer")
    assert asked == ["/token"], "where it refers to is told nothing"
    provider.start()
    assert log_in(house, "ann")[0] == 302


def test_passwords_are_changed_at_the_provider(house: tuple[Site, Provider]) -> None:
    site, _ = house
    with browsing(site) as browser:
        assert log_in(house, "ann", browser)[0] == 302
        assert "/hub/password" not in browser.get("/hub/home").text
        assert browser.get("/hub/password").status_code == 404


def restart(site: Site, **env: str) -> None:
    site.process.terminate()
    site.process.wait()
    site.env |= env
    site.start_hub()


def test_a_provider_that_is_another_than_the_configured_one_is_not_believed(house: tuple[Site, Provider]) -> None:
    site, provider = house
    restart(site, CELLAR_OIDC_ISSUER=provider.url + "/")  # it calls itself without
    with browsing(site, "198.18.77.7") as browser:
        answer = browser.get("/hub/oauth_login")
        assert answer.status_code == 503 and said(answer.text) == ODD_PROVIDER
        made_up = browser.get("/hub/oauth_callback", params={"code": "x", "state": "y"})
        assert made_up.status_code == 403
    assert site.until_events("198.18.77.7", 1)[0] == ("user.login.refused", "", "the provider is not believed")
    korean = in_language(ODD_PROVIDER, "ko")
    assert korean and re.search("[가-힣]", korean)


def test_an_address_that_the_provider_has_not_verified_is_nobodys_name(house: tuple[Site, Provider]) -> None:
    site, provider = house
    restart(site, **provider.addresses(), CELLAR_OIDC_USERNAME_CLAIM="email")  # and addresses by hand are good, too
    assert log_in(house, "ann")[0] == 302
    assert site.ask("GET", "/users/ann@example.org").status_code == 200
    with browsing(site, "198.18.77.6") as browser:
        assert log_in(house, "eve", browser)[0] == 403
    assert site.until_events("198.18.77.6", 1) == [
        ("user.login.refused", "", "the provider has not verified the address")
    ]


@pytest.mark.parametrize("by_hand", [False, True], ids=["issuer", "addresses"])
def test_the_doctor_asks_the_provider_as_the_hub_does(house: tuple[Site, Provider], by_hand: bool) -> None:
    site, provider = house
    env = (
        site.env
        | dict.fromkeys(provider.addresses(), "")
        | provider.settings()
        | (provider.addresses() if by_hand else {})
    )
    assert provider.url in settled(HubSettings.from_env(env))
    with pytest.raises(Failed, match="certificate"):
        settled(HubSettings.from_env(env | {"CELLAR_OIDC_CA": ""}))
    with pytest.raises(SettingsError, match="CELLAR_OIDC_CA is no file"):
        settled(HubSettings.from_env(env | {"CELLAR_OIDC_CA": "/nowhere.pem"}))
    if not by_hand:
        with pytest.raises(Failed, match="calls itself"):
            settled(HubSettings.from_env(env | {"CELLAR_OIDC_ISSUER": provider.url + "/"}))
    provider.stop()
    with pytest.raises(Failed, match="cannot be asked"):
        settled(HubSettings.from_env(env))
    with refers_elsewhere(provider) as asked, pytest.raises(Failed, match="goes nowhere else"):
        settled(HubSettings.from_env(env))
    assert "/elsewhere" not in asked
    provider.start()
