"""Log-in with a real directory, OpenLDAP on loopback: in both ways of finding somebody, and of encryption."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import ldap3
import pytest
from cellar_hub.login.entrance import PAUSE

from tests.hub.commands.site import Site, said
from tests.hub.login import directory
from tests.hub.login.directory import GROUPS, PASSWORD, PEOPLE, SEARCH_PASSWORD, SEARCHER, Slapd

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    if directory.SLAPD is None:
        pytest.skip(directory.MISSING)
    with directory.running(tmp_path_factory.mktemp("slapd")) as found:
        yield found


def settings(slapd: Slapd, **more: str) -> dict[str, str]:
    return {
        "CELLAR_LOGIN": "ldap",
        "CELLAR_LDAP_SERVER": slapd.plain,
        "CELLAR_LDAP_CA": str(slapd.folder / "tls.crt"),
        "CELLAR_LDAP_GROUP_BASE": GROUPS,
        "CELLAR_LOGIN_GROUPS": "staff lab moved",
    } | more


@pytest.fixture(scope="module")
def by_search(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """StartTLS; the hub looks for people, as somebody of its own."""
    looking = {
        "CELLAR_LDAP_USER_BASE": PEOPLE,
        "CELLAR_LDAP_BIND_DN": SEARCHER,
        "CELLAR_LDAP_BIND_PASSWORD": SEARCH_PASSWORD,
        "CELLAR_HUB_GROUPS": "guests staff",
    }
    found = Site(tmp_path_factory.mktemp("hub"), **settings(slapd, **looking))
    yield found
    found.end()


@pytest.fixture(scope="module")
def by_place(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """ldaps; everybody's entry has a fixed place."""
    place = {"CELLAR_LDAP_SERVER": slapd.tls, "CELLAR_LDAP_USER_DN": f"uid={{username}},{PEOPLE}"}
    place |= {"CELLAR_LDAP_BIND_DN": SEARCHER, "CELLAR_LDAP_BIND_PASSWORD": SEARCH_PASSWORD}
    found = Site(tmp_path_factory.mktemp("hub"), **settings(slapd, **place), CELLAR_LOGIN_NAMES="ben")
    yield found
    found.end()


def log_in(site: Site, name: str, password: str, **headers: str) -> tuple[int, str]:
    browser, answer = site.answer_to(name, password, **headers)
    browser.close()
    return answer.status_code, said(answer.text)


def groups_told(site: Site, name: str, count: int) -> list[dict[str, str | int]]:
    """What the audit says of somebody's groups, by the directory's word, when there is so much of it."""
    deadline = time.monotonic() + 30
    while len(found := [each for each in site.events(name) if each.action == "user.groups"]) < count:
        assert time.monotonic() < deadline, found
    assert {each.actor for each in found} == {"hub"}
    return [{how: each.detail[how] for how in ("joined", "left") if how in each.detail} for each in found]


def test_members_of_the_group_get_in_and_the_directorys_groups_are_the_hubs(by_search: Site) -> None:
    assert log_in(by_search, "Ann", PASSWORD)[0] == 302
    assert by_search.ask("GET", "/users/ann").json()["groups"] == ["staff"]
    assert log_in(by_search, "ann", PASSWORD)[0] == 302
    assert groups_told(by_search, "ann", 1) == [{"joined": "staff"}], "once, when they changed"
    status, text = log_in(by_search, "ben", PASSWORD)
    assert status == 403 and "You may not use this hub" in text
    for name, password in (("ann", "wrong password"), ("ann", ""), ("nobody", PASSWORD), ("*", PASSWORD)):
        status, text = log_in(by_search, name, password)
        assert status == 403 and "Invalid username or password" in text
    log_in(by_search, "hunter2-hunter2", "ann")
    assert "hunter2-hunter2" not in by_search.log.read_text(), "people type their password there"


def test_who_leaves_the_group_is_out_before_the_next_log_in(by_search: Site, by_place: Site, slapd: Slapd) -> None:
    for site in (by_search, by_place):
        browser, status = site.log_in("cho", PASSWORD)
        assert status == 302 and browser.get("/hub/home").status_code == 200
        slapd.change_members("staff", ldap3.MODIFY_DELETE, "cho")
        deadline = time.monotonic() + 20
        while browser.get("/hub/home").status_code == 200:
            assert time.monotonic() < deadline, "the cookie goes on working"
        browser.close()
        assert log_in(site, "cho", PASSWORD)[0] == 403
        slapd.change_members("staff", ldap3.MODIFY_ADD, "cho")
        assert log_in(site, "cho", PASSWORD)[0] == 302


def test_a_group_of_names_in_the_directorys_own_spelling_throws_nobody_out(by_search: Site, slapd: Slapd) -> None:
    browser, status = by_search.log_in("dee", PASSWORD)
    assert status == 302
    slapd.change_members("guests", ldap3.MODIFY_ADD, "Dee")
    deadline = time.monotonic() + 20
    while by_search.ask("GET", "/users/dee").json()["groups"] != ["guests"]:
        assert browser.get("/hub/home").status_code == 200, "looked at again"
        assert time.monotonic() < deadline
    browser.close()
    slapd.change_members("guests", ldap3.MODIFY_DELETE, "Dee")
    assert log_in(by_search, "dee", PASSWORD)[0] == 302
    assert groups_told(by_search, "dee", 2) == [{"joined": "guests"}, {"left": "guests"}]


def test_no_other_server_is_told_a_password_wherever_the_directory_refers_to(
    by_search: Site, by_place: Site, slapd: Slapd
) -> None:
    for site in (by_search, by_place):
        assert log_in(site, "ann", PASSWORD)[0] == 302
    with pytest.raises(BlockingIOError):
        slapd.elsewhere.accept()


def test_a_name_that_is_nobodys_takes_as_long_as_a_wrong_password(by_search: Site) -> None:
    for name in ("ben", "nobody"):
        begun = time.monotonic()
        assert log_in(by_search, name, "wrong password")[0] == 403
        assert time.monotonic() - begun >= PAUSE


def test_a_password_that_cannot_be_written_is_a_wrong_one(by_search: Site) -> None:
    for odd in ("\\ud800", "a\\u0000b"):
        body = f'{{"auth": {{"username": "ben", "password": "{odd}"}}}}'
        assert httpx.post(f"{by_search.url}/hub/api/users/ben/tokens", content=body, timeout=30).status_code == 403


@pytest.mark.parametrize("name", ["ann)(uid=*", "ann*", "ann,ou=people", "uid=ann", "a\x00nn", "ann\\2a"])
def test_no_name_is_read_as_a_filter_or_a_place(by_search: Site, by_place: Site, name: str) -> None:
    for site in (by_search, by_place):
        assert log_in(site, name, PASSWORD)[0] == 403


def test_by_a_fixed_place_members_get_in_and_who_is_named(by_place: Site) -> None:
    assert [log_in(by_place, name, PASSWORD)[0] for name in ("ann", "ben", "cho")] == [302, 302, 302]
    assert log_in(by_place, "ann", "wrong password")[0] == 403
    assert by_place.ask("GET", "/users/ann").json()["groups"] == []


def test_who_is_blocked_here_stays_out_whatever_the_directory_says(by_place: Site) -> None:
    log_in(by_place, "cho", PASSWORD)
    assert by_place.command("users", "block", "cho").returncode == 0
    assert log_in(by_place, "cho", PASSWORD)[0] == 403
    assert by_place.command("users", "unblock", "cho").returncode == 0
    assert log_in(by_place, "cho", PASSWORD)[0] == 302


def test_wrong_passwords_make_wait_before_the_directory_is_asked(by_search: Site) -> None:
    here = {"X-Forwarded-For": "192.0.2.78"}
    tries, refused = by_search.until_refused("ann", seconds=1, **here)
    assert tries >= 5 and said(refused.text).startswith("Too many wrong passwords.")
    assert by_search.until_events("192.0.2.78", 2) == [
        ("user.login.failed", "ann", "wrong password"),
        ("user.login.refused", "ann", "too many wrong passwords"),
    ]


def test_a_directory_that_is_away_is_said_and_nobodys_fault(by_search: Site, slapd: Slapd) -> None:
    here = {"X-Forwarded-For": "192.0.2.79"}
    other, _ = by_search.log_in("cho", PASSWORD)
    there, status = by_search.log_in("ann", PASSWORD)
    slapd.stop()
    assert status == 302
    deadline = time.monotonic() + 20
    while (asked := by_search.log.read_text().count("cannot be asked about a user")) == 0:
        assert there.get("/hub/home").status_code == 200, "nobody is thrown out"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert other.get("/hub/home").status_code == 200
    assert by_search.log.read_text().count("cannot be asked about a user") == asked, "nobody waits for it a second time"
    there.close()
    other.close()
    browser, answer = by_search.answer_to("ann", PASSWORD, **here)
    browser.close()
    assert answer.status_code == 503 and said(answer.text).startswith("The directory does not answer")
    assert answer.headers["Retry-After"] == "60" and 'value="ann"' in answer.text
    slapd.start()
    assert log_in(by_search, "ann", PASSWORD, **here)[0] == 302
    assert by_search.until_events("192.0.2.79", 2)[0] == ("user.login.refused", "ann", "the directory is away")


def test_a_server_whose_certificate_is_not_vouched_for_is_told_no_password(
    slapd: Slapd, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with directory.running(other) as stranger:
        more = {"CELLAR_LDAP_USER_DN": f"uid={{username}},{PEOPLE}", "CELLAR_LDAP_SERVER": stranger.plain}
        site = Site(tmp_path_factory.mktemp("hub"), **settings(slapd, **more))
        begun = time.monotonic()
        assert log_in(site, "ann", PASSWORD)[0] == 503 and time.monotonic() - begun < 20
        site.end()
