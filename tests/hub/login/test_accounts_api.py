"""The accounts API of a real JupyterHub: who may ask it, what it answers, and what it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.hub.commands.site import PASSWORD, Site

pytestmark = pytest.mark.timeout(240)
ACCOUNTS = "/hub/api/cellar/accounts"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"))
    found.add("chief", "--admin")
    found.add("ann")
    yield found
    found.end()


def ask(site: Site, method: str, path: str = "", body: Any = None, token: str = "c" * 32) -> httpx.Response:
    headers = {"Authorization": f"token {token}"}
    return httpx.request(method, f"{site.url}{ACCOUNTS}{path}", headers=headers, json=body, timeout=30)


def token_of(site: Site, name: str, *scopes: str) -> str:
    headers = {"Authorization": "token " + "c" * 32}
    body = {"scopes": list(scopes)} if scopes else {}
    made = httpx.post(f"{site.url}/hub/api/users/{name}/tokens", headers=headers, json=body, timeout=30)
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def log_in(site: Site, name: str, password: str) -> int:
    browser, status = site.log_in(name, password)
    browser.close()
    return status


def test_an_account_is_made_with_a_password_or_gets_one_that_is_told_once(site: Site) -> None:
    made = ask(site, "POST", body={"name": "Bob", "password": PASSWORD})
    assert (made.status_code, made.json()) == (201, {"name": "bob", "state": "allowed"})
    again = ask(site, "POST", body={"name": "bob"})
    password = again.json()["password"]
    assert again.status_code == 201 and len(password) == 16
    assert [log_in(site, "bob", each) for each in (PASSWORD, password)] == [403, 302]
    found = ask(site, "GET", "/bob").json()
    assert found["state"] == "allowed" and found["note"] == "" and abs(found["since"] - time.time()) < 60


def test_accounts_are_listed_and_looked_for(site: Site) -> None:
    for number in range(5):
        ask(site, "POST", body={"name": f"listed{number}", "password": PASSWORD})
    assert ask(site, "PATCH", "/listed3", {"state": "blocked"}).status_code == 200
    page = ask(site, "GET", "?name_filter=LISTED&offset=1&limit=2").json()
    assert (page["total"], page["kind"]) == (5, "local")
    assert [each["name"] for each in page["accounts"]] == ["listed1", "listed2"]
    assert set(page["accounts"][0]) == {"name", "state", "since", "note"}
    blocked = ask(site, "GET", "?state=blocked&name_filter=listed").json()
    assert [each["name"] for each in blocked["accounts"]] == ["listed3"]
    assert ask(site, "GET", "?state=waiting").json()["total"] == 0
    for wrong in ("?state=odd", "?offset=-1", "?limit=x"):
        assert ask(site, "GET", wrong).status_code == 400


def test_a_blocked_account_is_shut_with_its_cookie_and_what_is_left_is_said(site: Site) -> None:
    ask(site, "POST", body={"name": "eve", "password": PASSWORD})
    token_of(site, "eve")
    browser, _ = site.log_in("eve", PASSWORD)
    blocked = ask(site, "PATCH", "/eve", {"state": "blocked"}).json()
    assert blocked["state"] == "blocked" and blocked["left"] == {"tokens": 1, "workspaces": []}
    assert browser.get("/hub/home").status_code == 302, "at the next request"
    assert log_in(site, "eve", PASSWORD) == 403
    assert ask(site, "PATCH", "/eve", {"state": "allowed"}).json()["state"] == "allowed"
    assert browser.get("/hub/home").status_code == 302, "the old cookie is none any more"
    browser.close()
    assert log_in(site, "eve", PASSWORD) == 302


def test_an_account_that_goes_takes_the_hubs_user_with_it(site: Site) -> None:
    ask(site, "POST", body={"name": "gone", "password": PASSWORD})
    browser, _ = site.log_in("gone", PASSWORD)
    assert ask(site, "DELETE", "/gone").status_code == 204
    assert browser.get("/hub/home").status_code == 302
    browser.close()
    headers = {"Authorization": "token " + "c" * 32}
    assert httpx.get(f"{site.url}/hub/api/users/gone", headers=headers, timeout=30).status_code == 404
    assert [ask(site, method, "/gone").status_code for method in ("GET", "DELETE")] == [404, 404]
    assert ask(site, "PATCH", "/gone", {"state": "allowed"}).status_code == 404


def test_nobody_asks_without_the_scope_and_nobody_but_an_administrator_touches_one(site: Site) -> None:
    nobody, user = "x" * 32, token_of(site, "ann")
    for token in (nobody, user):
        for method, path, body in (
            ("GET", "", None),
            ("GET", "/ann", None),
            ("POST", "", {"name": "mallory", "password": PASSWORD}),
            ("PATCH", "/ann", {"state": "blocked"}),
            ("DELETE", "/ann", None),
        ):
            assert ask(site, method, path, body, token).status_code == 403, (method, path)
    helper = "h" * 32
    assert ask(site, "POST", body={"name": "helped", "password": PASSWORD}, token=helper).status_code == 201
    for method, path, body in (
        ("POST", "", {"name": "helped", "password": PASSWORD, "admin": True}),
        ("POST", "", {"name": "chief", "password": PASSWORD}),
        ("PATCH", "/chief", {"state": "blocked"}),
        ("PATCH", "/Chief", {"state": "blocked"}),
        ("DELETE", "/chief", None),
        ("DELETE", "/CHIEF", None),
    ):
        assert ask(site, method, path, body, helper).status_code == 403, (method, path)
    assert log_in(site, "chief", PASSWORD) == 302


def test_nobody_but_an_administrator_makes_an_account_that_would_be_an_administrators(site: Site) -> None:
    assert site.ask("DELETE", "/users/admin").status_code == 204, "the settings name them still"
    new, helper = {"name": "admin", "password": PASSWORD}, {"Authorization": "token " + "h" * 32}
    assert ask(site, "POST", body=new, token="h" * 32).status_code == 403
    made = httpx.post(f"{site.url}/hub/api/users/admin", headers=helper, timeout=30)
    assert made.status_code == 201 and not made.json()["admin"], "not before their next log-in"
    assert ask(site, "POST", body=new, token="h" * 32).status_code == 403
    assert ask(site, "POST", body=new).status_code == 201


def test_no_name_is_longer_than_every_database_keeps(site: Site) -> None:
    assert site.ask("POST", "/users/" + "x" * 256).status_code == 400
    assert site.ask("POST", "/users/" + "x" * 255).status_code == 201


def test_nobody_locks_themselves_out(site: Site) -> None:
    chief = token_of(site, "chief")
    assert ask(site, "PATCH", "/chief", {"state": "blocked"}, chief).status_code == 400
    assert ask(site, "DELETE", "/chief", None, chief).status_code == 400
    assert ask(site, "GET", "/chief", None, chief).json()["state"] == "allowed"


def test_by_no_door_is_the_last_administrator_unmade_and_nobody_else_removes_one(site: Site) -> None:
    def jupyterhubs(method: str, name: str, body: Any = None, token: str = "c" * 32) -> tuple[int, str]:
        headers = {"Authorization": f"token {token}"}
        answer = httpx.request(method, f"{site.url}/hub/api/users/{name}", headers=headers, json=body, timeout=30)
        return answer.status_code, answer.json().get("message", "") if answer.content else ""

    chief, ann, helper = token_of(site, "chief"), token_of(site, "ann"), "h" * 32
    others = [user["name"] for user in site.ask("GET", "/users").json() if user["admin"] and user["name"] != "chief"]
    for name in others:  # of earlier tests, and of the settings
        assert jupyterhubs("PATCH", name, {"admin": False})[0] == 200
    last = (409, "chief is the last administrator: make another one first")
    assert jupyterhubs("PATCH", "chief", {"admin": False}, chief) == last
    assert jupyterhubs("PATCH", "chief", {"name": "chief", "admin": False}) == last
    assert jupyterhubs("DELETE", "chief") == last
    for method, body in (("PATCH", {"admin": False}), ("DELETE", None)):
        refused = ask(site, method, "/chief", body)
        assert (refused.status_code, refused.json()["message"]) == last
        for token in (ann, helper, "x" * 32):
            assert jupyterhubs(method, "chief", body, token)[0] in (403, 404)
    assert jupyterhubs("PATCH", "chief", {"admin": True})[0] == 200
    assert site.ask("GET", "/users/chief").json()["admin"] and log_in(site, "chief", PASSWORD) == 302
    site.add("second", "--admin")
    assert jupyterhubs("DELETE", "second", token=helper)[0] == 403, "though there is another one"
    assert jupyterhubs("PATCH", "chief", {"admin": False}, chief)[0] == 200
    assert jupyterhubs("PATCH", "chief", {"admin": True})[0] == 200
    assert jupyterhubs("DELETE", "second") == (204, "")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"name": 5},
        {"name": "../x"},
        {"name": "é"},
        {"name": "kim", "password": "short"},
        {"name": "kim", "password": "é" * 40},
        {"name": "kim", "admin": "yes"},
        {"name": "kim", "more": 1},
    ],
    ids=str,
)
def test_a_body_that_is_none_is_refused_and_changes_nothing(site: Site, body: Any) -> None:
    assert ask(site, "POST", body=body).status_code == 400
    assert ask(site, "GET", "/kim").status_code == 404
    assert ask(site, "PATCH", "/ann", body).status_code == 400
    assert ask(site, "GET", "/ann").json()["state"] == "allowed"


def test_a_browsers_cookie_needs_the_pages_token_as_for_jupyterhubs_own_api(site: Site) -> None:
    browser, status = site.log_in("chief", PASSWORD)
    assert status == 302
    new = {"name": "forged", "password": PASSWORD}
    assert browser.post(ACCOUNTS, json=new).status_code == 403 and ask(site, "GET", "/forged").status_code == 404
    xsrf = next(cookie.value for cookie in browser.cookies.jar if cookie.name == "_xsrf" and cookie.path == "/hub/")
    assert browser.post(ACCOUNTS, json=new, headers={"X-XSRFToken": str(xsrf)}).status_code == 201
    browser.close()


def test_what_was_done_here_is_in_the_audit_with_who_asked_for_it(site: Site) -> None:
    chief = token_of(site, "chief")
    ask(site, "POST", body={"name": "noted", "password": PASSWORD}, token=chief)
    ask(site, "PATCH", "/noted", {"state": "blocked"}, chief)
    ask(site, "DELETE", "/noted", None, chief)
    deadline = time.monotonic() + 30
    expected = [("chief", f"user.account.{action}", "noted") for action in ("add", "block", "remove")]
    while [(each.actor, each.action, each.subject) for each in site.events("noted")] != expected:
        assert time.monotonic() < deadline, site.events("noted")
    assert all(each.detail["client"] == "127.0.0.1" for each in site.events("noted"))
