"""How long a session and a token live at a real JupyterHub with our settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest
from tornado.web import create_signed_value, decode_signed_value

from tests.hub.commands.site import PASSWORD, Site

pytestmark = pytest.mark.timeout(240)
COOKIE = "jupyterhub-hub-login"
DAY = 24 * 3600
QUARTER = 90 * DAY


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"))
    found.add("ann")
    found.add("ben")
    yield found
    found.end()


@pytest.fixture
def ann(site: Site) -> Iterator[httpx.Client]:
    """Her browser, with the token of its pages."""
    browser, status = site.log_in("ann", PASSWORD)
    assert status == 302
    browser.get("/hub/token")
    xsrf = [cookie.value for cookie in browser.cookies.jar if cookie.name == "_xsrf"][-1]
    browser.headers["X-XSRFToken"] = str(xsrf)
    yield browser
    browser.close()


def test_a_log_in_lasts_a_day(site: Site, ann: httpx.Client) -> None:
    secret = bytes.fromhex((site.folder / "cookie-secret").read_text().strip())
    given = next(str(each.value).strip('"') for each in ann.cookies.jar if each.name == COOKIE)
    who = decode_signed_value(secret, COOKIE, given)
    assert who
    for age, status in ((DAY - 600, 200), (DAY + 60, 302)):
        old = create_signed_value(secret, COOKIE, who, clock=lambda age=age: time.time() - age)  # type: ignore[misc]
        with httpx.Client(base_url=site.url, cookies={COOKIE: old.decode()}, timeout=30) as browser:
            assert browser.get("/hub/home").status_code == status, age


def test_a_token_ends_when_its_user_says_or_in_ninety_days_and_not_later(ann: httpx.Client) -> None:
    for wanted, seconds in ((None, QUARTER), (3600, 3600), (QUARTER, QUARTER)):
        made = ann.post("/hub/api/users/ann/tokens", json={"expires_in": wanted}).json()
        ends = datetime.fromisoformat(made["expires_at"].replace("Z", "+00:00")).timestamp()
        assert abs(ends - time.time() - seconds) < 60, wanted
    assert ann.post("/hub/api/users/ann/tokens", json={"expires_in": QUARTER + 1}).status_code == 400
    for wrong in (0, -5, "x"):
        assert ann.post("/hub/api/users/ann/tokens", json={"expires_in": wrong}).status_code in (201, 400)


def test_a_user_sees_and_takes_away_their_own_tokens_and_no_others(site: Site, ann: httpx.Client) -> None:
    made = ann.post("/hub/api/users/ann/tokens", json={"note": "a note of mine"}).json()
    with_it = {"Authorization": f"token {made['token']}"}
    assert httpx.get(f"{site.url}/hub/api/user", headers=with_it, timeout=30).json()["name"] == "ann"
    assert "a note of mine" in ann.get("/hub/token").text and made["token"] not in ann.get("/hub/token").text
    body = {"auth": {"username": "ben", "password": PASSWORD}}
    his = httpx.post(f"{site.url}/hub/api/users/ben/tokens", json=body, timeout=30).json()
    assert ann.get("/hub/api/users/ben/tokens").status_code == 404
    assert ann.delete(f"/hub/api/users/ben/tokens/{his['id']}").status_code == 404
    assert ann.delete(f"/hub/api/users/ann/tokens/{his['id']}").status_code == 404
    assert ann.delete(f"/hub/api/users/ann/tokens/{made['id']}").status_code == 204
    assert httpx.get(f"{site.url}/hub/api/user", headers=with_it, timeout=30).status_code == 403
    assert "a note of mine" not in ann.get("/hub/token").text
