"""What changes something at the hub is in the audit, by whichever of its doors, and counts at the gateway at once."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cellar_hub import login
from cellar_hub.hubapi import TOLD, told_mark
from cellar_hub.login.attempts import MOST_UNSENT, NAMES, Attempts, Kind
from cellar_hub.login.watching import CHANGING, DEEDS, MOST_NAMED, acts_of, changes
from jupyterhub import __version__, apihandlers, handlers
from tornado.web import RequestHandler

from tests.hub.commands.site import PASSWORD, Site

pytestmark = pytest.mark.timeout(240)
BESIDE = ("client", "count", "report")
AT_ONCE = 10.0
"""Seconds, on a machine that has other things to do. What the gateway knows is asked anew after 20 at the earliest."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"), CELLAR_CONSOLE_TOKEN="o" * 32)
    found.add("chief", "--admin")
    found.add("ann")
    yield found
    found.end()


def token_of(site: Site, name: str) -> str:
    return str(site.ask("POST", f"/users/{name}/tokens", {}).json()["token"])


def ask(site: Site, token: str, method: str, path: str, body: Any = None, told: str = "") -> int:
    headers = {"Authorization": f"token {token}"} | ({TOLD: told} if told else {})
    return httpx.request(method, f"{site.url}/hub/api{path}", headers=headers, json=body, timeout=30).status_code


def told(site: Site, actor: str, count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """What the audit says that somebody did, when there is so much of it: action, subject, detail."""
    deadline = time.monotonic() + 30
    while True:
        found = [each for each in site.events() if each.action.startswith("hub.") and each.actor == actor]
        if len(found) >= count:
            return [
                (each.action, each.subject, {key: what for key, what in each.detail.items() if key not in BESIDE})
                for each in found
            ]
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def ours() -> set[type[RequestHandler]]:
    """All pages and APIs that our log-in adds to the hub."""
    found: set[type[RequestHandler]] = set()
    for module in pkgutil.iter_modules(login.__path__, f"{login.__name__}."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and issubclass(each, RequestHandler) and each.__module__ == module.name:
                found.add(each)
    return found


def test_each_way_to_change_something_at_this_jupyterhub_is_known() -> None:
    theirs = {kind for _, kind, *_ in (*apihandlers.default_handlers, *handlers.default_handlers)}
    found = {(kind.__name__, method) for kind in theirs | ours() for method in changes(kind)}
    assert found - set(DEEDS) == set(), "what are these to be called in the audit?"
    if not __version__.startswith("5."):
        assert set(DEEDS) - found == set(), "this JupyterHub does not have these"


def test_a_way_that_nobody_knows_yet_is_told_all_the_same() -> None:
    class Newer(RequestHandler):
        def put(self) -> None: ...

    assert changes(Newer) == ["PUT"] and set(changes(Newer)) < set(CHANGING)
    (act,) = acts_of("Newer", "PUT", ("ann",), b"", "chief", 200)
    assert act == ("hub.call", "", (("kind", "Newer"), ("method", "PUT")))


def test_a_call_tells_names_and_neither_its_body_nor_a_token() -> None:
    secret = "0123456789abcdef0123456789abcdef"
    body = f'{{"usernames": ["a", "b", 3, null], "admin": true, "note": "{secret}"}}'.encode()
    assert list(acts_of("UserListAPIHandler", "POST", (), body, "chief", 201)) == [
        ("hub.user.add", each, (("admin", "yes"),)) for each in ("a", "b", "3", "")
    ]
    assert list(acts_of("UserTokenAPIHandler", "DELETE", ("ann", "a12"), b"", "ann", 204)) == [
        ("hub.token.revoke", "ann", (("token", "a12"),))
    ]
    assert secret not in str(list(acts_of("UserTokenAPIHandler", "DELETE", ("ann", secret), b"", "ann", 404)))
    assert list(acts_of("TokenAPIHandler", "POST", (secret,), b"", "ann", 404)) == []
    assert list(acts_of("UserAPIHandler", "PATCH", ("x" * 999,), b"no JSON", "chief", 400)) == [
        ("hub.user.change.failed", "x" * 255, (("status", 400),))
    ]


def test_a_call_with_very_many_names_tells_a_hundred_and_how_many_more_and_a_refused_one_tells_one() -> None:
    body = str({"users": [f"user{number}" for number in range(5000)]}).replace("'", '"').encode()
    found = list(acts_of("GroupUsersAPIHandler", "POST", ("staff",), body, "chief", 200))
    assert len(found) == MOST_NAMED + 1
    assert found[-1] == ("hub.group.join", "", (("group", "staff"), ("more", 4900)))
    assert found[7] == ("hub.group.join", "user7", (("group", "staff"),))
    refused = list(acts_of("GroupUsersAPIHandler", "POST", ("staff",), body, "ann", 403))
    assert [each.subject for each in refused] == ["user0", ""]


def test_what_an_administrator_does_is_told_one_by_one_and_a_loop_of_a_users_is_counted() -> None:
    attempts = Attempts("a")
    add = Kind("succeeded", "ann", "10.0.0.1", "", "hub.token.add", "ann")
    for _ in range(3):
        attempts.called(add, 100.0, one_by_one=False)
    for number in range(3):
        attempts.called(add._replace(subject=f"user{number}", actor="chief"), 100.0, one_by_one=True)
    for number in range(200):
        refused = Kind("failed", f"guess{number}", "10.0.0.1", "", "hub.user.remove.failed", "eve")
        attempts.called(refused, 100.0, one_by_one=True)
    found = attempts.due(100.0, end=True)
    assert [(each.subject, each.count) for each in found if each.actor == "ann"] == [("ann", 1), ("ann", 2)]
    assert [(each.subject, each.count) for each in found if each.actor == "chief"] == [
        (f"user{number}", 1) for number in range(3)
    ]
    refusals = [each for each in found if each.actor == "eve"]
    assert len(refusals) <= NAMES + 2 and sum(each.count for each in refusals) == 200
    for number in range(10 * MOST_UNSENT):
        attempts.called(add._replace(said=(("token", f"a{number}"),)), 100.0, one_by_one=True)
    assert len(attempts.due(100.0)) <= MOST_UNSENT


def test_changes_by_the_hubs_api_are_in_the_audit_with_who_made_them_and_how_they_ended(site: Site) -> None:
    chief, ann = token_of(site, "chief"), token_of(site, "ann")
    done = [
        ask(site, chief, "POST", "/users", {"usernames": ["bob", "eve"]}),
        ask(site, chief, "POST", "/groups/staff"),
        ask(site, chief, "POST", "/groups/staff/users", {"users": ["bob", "ann"]}),
        ask(site, chief, "DELETE", "/groups/staff/users", {"users": ["ann"]}),
        ask(site, chief, "PATCH", "/users/bob", {"admin": True}),
        ask(site, chief, "PUT", "/groups/staff/properties", {"secret": "property"}),
        ask(site, chief, "DELETE", "/users/eve"),
        ask(site, chief, "DELETE", "/groups/staff"),
        ask(site, chief, "GET", "/users"),
    ]
    assert [each // 100 for each in done] == [2] * 9, done
    assert told(site, "chief", 10) == [
        ("hub.user.add", "bob", {}),
        ("hub.user.add", "eve", {}),
        ("hub.group.add", "staff", {}),
        ("hub.group.join", "bob", {"group": "staff"}),
        ("hub.group.join", "ann", {"group": "staff"}),
        ("hub.group.leave", "ann", {"group": "staff"}),
        ("hub.user.change", "bob", {"admin": "yes"}),
        ("hub.group.change", "staff", {}),
        ("hub.user.remove", "eve", {}),
        ("hub.group.remove", "staff", {}),
    ]
    assert [ask(site, ann, "DELETE", "/users/bob"), ask(site, ann, "POST", "/users/ann/tokens", {})] == [403, 201]
    assert [ask(site, each, "DELETE", "/users/bob") for each in ("forged", "-")] == [403, 403]
    assert told(site, "ann", 2) == [
        ("hub.user.remove.failed", "bob", {"status": 403}),
        ("hub.token.add", "ann", {}),
    ]
    assert ("hub.token.add", "ann", {}) in told(site, "service:commands", 2)
    assert {each.actor for each in site.events() if each.action.startswith("hub.user.remove")} == {"chief", "ann"}


def test_what_the_console_has_told_is_not_told_again_and_nobody_else_can_say_that_they_are_the_console(
    site: Site,
) -> None:
    site.add("lee", "--admin")
    lee = token_of(site, "lee")
    marks = [told_mark("o" * 32, lee), told_mark("o" * 32, token_of(site, "lee")), told_mark("x" * 32, lee), "no mark"]
    for number, mark in enumerate(marks):
        assert ask(site, lee, "POST", f"/groups/lee{number}", told=mark) == 201
    assert [subject for _, subject, _ in told(site, "lee", 3)] == ["lee1", "lee2", "lee3"]


def test_jupyterhubs_own_page_for_administrators_leads_to_the_console(site: Site) -> None:
    browser, _ = site.log_in("chief", PASSWORD)
    for path in ("/hub/admin", "/hub/admin/", "/hub/admin/edit-user", "/hub/admin?offset=5"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/services/console/"), path
    assert re.search(r'href="[^"]*/admin"', browser.get("/hub/home").text) is None
    browser.close()


def known(site: Site, token: str) -> list[str] | int:
    """The groups by which the gateway knows somebody, or the status of its refusal."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{site.gateway.url}/cellar/v1/me", headers=headers, timeout=30)
    return list(answer.json().get("groups", ())) if answer.is_success else answer.status_code


def until_known(site: Site, token: str, expected: list[str] | int) -> None:
    deadline = time.monotonic() + AT_ONCE
    while (found := known(site, token)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_group_joined_or_left_and_a_token_revoked_count_at_the_gateway_at_once(site: Site) -> None:
    site.add("kim")
    token, other = token_of(site, "kim"), token_of(site, "kim")
    assert known(site, token) == known(site, other) == []
    site.ask("POST", "/groups/night")
    site.ask("POST", "/groups/night/users", {"users": ["kim"]})
    until_known(site, token, ["night"])
    site.ask("DELETE", "/groups/night")
    until_known(site, token, [])
    headers = {"Authorization": f"token {token}"}
    me = httpx.get(site.url + "/hub/api/user", headers=headers, timeout=30).json()
    assert ask(site, token, "DELETE", f"/users/kim/tokens/{me['token_id']}") == 204  # as the hub's own page does it
    until_known(site, token, 401)
    assert known(site, other) == []
    site.ask("DELETE", "/users/kim")
    until_known(site, other, 401)
