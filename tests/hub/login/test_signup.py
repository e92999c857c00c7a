"""Asking for an account at a real JupyterHub's page, and what an administrator does about it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator

import httpx
import pytest
from cellar_hub.login.refusals import FULL, NETWORK_FULL, ODD_PASSWORD, OFTEN, TWO_PASSWORDS, WRONG_OR_WAITING
from cellar_hub.login.throttle import PAIR
from cellar_hub.pages import in_language

from tests.hub.commands.site import GUESS, PASSWORD, Site, said

pytestmark = pytest.mark.timeout(240)
DONE = "signup-done"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"), CELLAR_SIGNUPS_WAITING="12", CELLAR_SIGNUPS_PER_ADDRESS="8")
    yield found
    found.end()


def sign_up(site: Site, name: str, password: str = PASSWORD, where: str = "", **more: str) -> httpx.Response:
    where = where or f"198.19.0.{sum(name.encode()) % 250}"
    with httpx.Client(base_url=site.url, timeout=30, headers={"X-Forwarded-For": where}) as browser:
        assert browser.get("/hub/signup").status_code == 200
        form = {"username": name, "password": password, "again": password, "_xsrf": browser.cookies["_xsrf"]}
        return browser.post("/hub/signup", data=form | more)


def log_in(site: Site, name: str, password: str = PASSWORD) -> tuple[int, str]:
    browser, answer = site.answer_to(name, password)
    browser.close()
    return answer.status_code, said(answer.text)


def test_how_many_ask_and_wait_is_bounded_of_an_address_a_network_and_all(site: Site) -> None:
    site.add("flood-a3")  # a name that is not free takes a place like any other
    one = [sign_up(site, f"flood-a{number}", where="198.19.1.1") for number in range(9)]
    assert [each.status_code for each in one] == [200] * 6 + [503] * 2 + [429]
    assert [said(each.text) for each in one[6:]] == [NETWORK_FULL, NETWORK_FULL, OFTEN]
    beside = sign_up(site, "flood-b", where="198.19.1.2")
    assert beside.status_code == 503 and said(beside.text) == NETWORK_FULL
    more = [sign_up(site, f"flood-c{number}", where=f"198.19.{2 + number}.1") for number in range(7)]
    assert [each.status_code for each in more] == [200] * 6 + [503] and said(more[-1].text) == FULL
    waiting = [line for line in listed(site) if "waits for approval" in line]
    assert len(waiting) == 11
    deadline = time.monotonic() + 20
    while not any(str(each.detail.get("reason", "")).startswith("refused: Too many") for each in site.events()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for line in waiting:
        assert site.command("users", "remove", line.split()[0]).returncode == 0
    assert sign_up(site, "after").status_code == 200
    assert site.command("users", "remove", "after").returncode == 0


def test_who_signs_up_waits_until_an_administrator_approves(site: Site) -> None:
    assert DONE in sign_up(site, "Ann", note="Ann of <b>room</b> 5\r\nhello").text
    assert log_in(site, "ann") == (403, WRONG_OR_WAITING)
    assert site.command("users", "list", "--waiting").stdout.split() == [
        "ann",
        *["Ann", "of", "<b>room</b>", "5", "hello"],
    ]
    assert any(line.split()[:4] == ["ann", "waits", "for", "approval"] for line in listed(site))
    assert site.command("users", "approve", "ann").returncode == 0
    assert log_in(site, "ann")[0] == 302
    assert site.command("users", "approve", "ann").returncode == 2
    told = [(each.actor, each.action) for each in site.events("ann")]
    assert told[0] == ("hub", "user.signup") and ("kim (command line)", "user.approve") in told


def listed(site: Site) -> list[str]:
    return site.command("users", "list").stdout.splitlines()


def test_whoever_asks_for_an_account_does_not_learn_by_its_password_whether_the_name_was_free(site: Site) -> None:
    site.add("somebody")
    for number, name in enumerate(("somebody", "free-then"), 1):
        where = f"198.19.8.{number}"
        assert DONE in sign_up(site, name, GUESS, where=where).text
        assert log_in(site, name, GUESS) == (403, WRONG_OR_WAITING)
        tries, _ = site.until_refused(name, **{"X-Forwarded-For": where})
        assert tries == PAIR.free + 2, "the wait for it is the same, too"
    told = site.until_events("198.19.8.2", 2)
    assert told[:2] == [("user.signup", "free-then", ""), ("user.login.failed", "free-then", "waits for approval")]
    assert site.command("users", "remove", "free-then").returncode == 0


def test_the_answer_is_the_same_whether_the_name_is_taken_or_not(site: Site) -> None:
    site.add("taken")
    pages = []
    for name in ("taken", "admin", "free-name"):
        pages.append(re.sub('xsrf_token: "[^"]*"', "", sign_up(site, name, "another password!").text))
    assert pages[0] == pages[1] == pages[2] and DONE in pages[0]
    assert log_in(site, "taken")[0] == 302, "the password stays its owner's"
    assert log_in(site, "admin", "another password!")[0] == 403, "nobody gets a name that is an administrator's"
    assert site.command("users", "remove", "free-name").returncode == 0
    assert log_in(site, "free-name", "another password!")[1] == log_in(site, "nobody")[1], "turned down"


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"username": "../x"}, "A name has"),
        ({"username": "<script>x"}, "A name has"),
        ({"username": ""}, "A name has"),
        ({"username": "x" * 5000}, "A name has"),
        ({"again": "something else"}, "The two passwords differ"),
        ({"password": "short", "again": "short"}, "A password has"),
        ({"password": "é" * 40, "again": "é" * 40}, "A password has"),
        ({"password": "1234567890", "again": "1234567890"}, "This password is easily guessed"),
        ({"password": "some-visitor-1", "again": "some-visitor-1"}, "This password is easily guessed"),
        ({"note": "x" * 501}, "A note has"),
    ],
    ids=str,
)
def test_what_cannot_be_an_accounts_is_refused_with_its_rule_and_what_was_typed_stays(
    site: Site, form: dict[str, str], problem: str
) -> None:
    note = {"note": "from & room 5"} | form
    answer = sign_up(site, "some-visitor", where="198.19.9.9", **note)
    assert answer.status_code == 400 and said(answer.text).startswith(problem)
    assert "<script>x" not in answer.text and len(answer.text) < 50_000
    assert in_language(said(answer.text), "ko")
    if "note" not in form:
        assert "from &amp; room 5</textarea>" in answer.text
    assert not any(line.startswith("some-visitor") for line in listed(site))


def test_without_the_pages_own_token_nobody_is_signed_up(site: Site) -> None:
    form = {"username": "mallory", "password": PASSWORD, "again": PASSWORD}
    assert httpx.post(f"{site.url}/hub/signup", data=form, timeout=30).status_code == 403
    assert not any(line.startswith("mallory") for line in listed(site))


def test_where_it_is_off_there_is_no_page_and_who_waits_too_long_is_dropped_all_the_same(site: Site) -> None:
    assert 'href="/hub/signup"' in httpx.get(f"{site.url}/hub/login", timeout=30).text
    for name in ("late", "early"):
        assert DONE in sign_up(site, name, where="198.19.10.1").text
    site.process.terminate()
    site.process.wait()
    with contextlib.closing(sqlite3.connect(site.folder / "hub.sqlite")) as database, database:
        database.execute("UPDATE cellar_accounts SET since = since - 30 * 86400 WHERE name = 'late'")
    site.env["CELLAR_SIGNUP"] = "off"
    site.start_hub()
    assert httpx.get(f"{site.url}/hub/signup", timeout=30).status_code == 404
    assert "signup" not in httpx.get(f"{site.url}/hub/login", timeout=30).text
    assert ("user.account.remove", "late", "nobody decided in 30 days") in site.until_events("198.19.10.1", 3)
    waiting = site.command("users", "list", "--waiting").stdout.split()
    assert "early" in waiting and "late" not in waiting
    assert site.command("users", "approve", "late").returncode == 2
    assert site.command("users", "approve", "early").returncode == 0
    site.add("late")


def test_every_text_of_the_page_is_there_in_korean() -> None:
    for text in (
        FULL,
        NETWORK_FULL,
        OFTEN,
        WRONG_OR_WAITING,
        *(each[:1].upper() + each[1:] for each in (ODD_PASSWORD, TWO_PASSWORDS)),
    ):
        korean = in_language(text, "ko")
        assert korean and re.search("[가-힣]", korean)
