"""Where a directory has the passwords and decides about groups: what the hub tells the console, what pages change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from tests.hub.console.site import ConsoleSite
from tests.hub.console.test_pages import based_on_of, page
from tests.hub.jupyter import proxy_command

pytestmark = pytest.mark.timeout(240)
PROFILES = """\
[standard]
cpus = 2
memory = "4G"

[large]
title = "Large"
groups = ["staff"]
cpus = 8
memory = "32G"
"""
LDAP = {
    "CELLAR_LOGIN": "ldap",
    "CELLAR_LDAP_SERVER": "ldap://127.0.0.1:9",  # nobody's: people here have tokens
    "CELLAR_LDAP_USER_DN": "uid={username},ou=people,dc=example,dc=org",
    "CELLAR_LDAP_GROUP_BASE": "ou=groups,dc=example,dc=org",
    "CELLAR_LOGIN_NAMES": "admin",
    "CELLAR_HUB_GROUPS": "staff",
}


class DirectorySite(ConsoleSite):
    def add(self, name: str, *options: str) -> None:
        """Whose password is the directory's."""
        done = self.command("users", "add", name, *options)
        assert done.returncode == 0, done.stderr

    def with_token_of(self, name: str) -> httpx.Client:
        """A program of theirs: the log-in of a browser would ask the directory."""
        token = self.ask("POST", f"/users/{name}/tokens").json()["token"]
        headers = {"Authorization": f"token {token}"}
        return httpx.Client(base_url=self.public, timeout=30, follow_redirects=True, headers=headers)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectorySite]:
    if not proxy_command():
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    folder = tmp_path_factory.mktemp("directory")
    profiles = folder / "profiles.toml"
    profiles.write_text(PROFILES)
    found = DirectorySite(folder, CELLAR_PROFILES=str(profiles), **LDAP)
    yield found
    found.end()


@pytest.fixture(scope="module")
def admin(site: DirectorySite) -> Iterator[httpx.Client]:
    with contextlib.closing(site.with_token_of("admin")) as browser:
        yield browser


def test_what_the_hubs_settings_say_is_told_to_the_console_and_to_nobody_else(
    site: DirectorySite, admin: httpx.Client
) -> None:
    def asked(token: str) -> httpx.Response:
        return httpx.get(f"{site.url}/hub/api/cellar/facts", headers={"authorization": token})

    for token in ("", "token wrong", admin.headers["authorization"], "token " + site.env["CELLAR_COMMANDS_TOKEN"]):
        assert asked(token).status_code == 403
    told = asked("token " + site.env["CELLAR_CONSOLE_TOKEN"]).json()
    assert (told["login"], told["managed_groups"]) == ("ldap", ["staff"])
    assert [(each["name"], each["groups"]) for each in told["profiles"]] == [("standard", None), ("large", ["staff"])]


def test_profiles_are_chosen_from_those_that_there_are(site: DirectorySite, admin: httpx.Client) -> None:
    text = page(admin, "groups/staff")
    assert 'name="profiles" value="large"' in text and "Large, 8 CPU, 32 GB" in text
    assert "2 CPU, 4 GB, open to all" in text and 'name="profiles_more"' not in text
    rules = {"action": "rules", "profiles_said": "yes", "profiles": "large"}
    saved = site.form(admin, "groups/staff", based_on=based_on_of(text), **rules)
    assert "Saved." in saved.text and 'profiles = ["large"]' in site.policy.read_text()
    site.policy.write_text(site.policy.read_text().replace('"large"', '"huge"'))
    assert "there is none of that name" in page(admin, "groups/staff")


def test_members_of_a_group_that_the_log_in_fills_are_not_changed_by_hand_and_the_page_says_who_decides(
    site: DirectorySite, admin: httpx.Client
) -> None:
    assert site.ask("POST", "/groups/staff", {"users": ["ann"]}).is_success
    assert site.ask("POST", "/groups/by-hand", {"users": ["ann"]}).is_success
    rows = page(admin, "groups")
    assert "by the log-in" in rows.partition(">staff</a>")[2].partition("</tr>")[0]
    assert "no members any more" in rows.partition(">by-hand</a>")[2].partition("</tr>")[0]
    assert "the directory (LDAP) decides who is in which group" in rows and "New group" not in rows
    members = page(admin, "groups/staff").partition("Members (1)")[2].partition("</section>")[0]
    assert "the directory (LDAP) decides who is in this group" in members and "<form" not in members
    assert "leaves it at their next log-in" in page(admin, "groups/by-hand")
    theirs = page(admin, "users/ann")
    assert 'value="join"' not in theirs and 'value="leave"' not in theirs and "the directory (LDAP) decides" in theirs
    for path, fields in (
        ("groups", {"name": "new"}),
        ("groups/staff", {"action": "join", "users": "admin"}),
        ("groups/staff", {"action": "leave", "user": "ann"}),
        ("groups/staff", {"action": "remove"}),
        ("users/ann", {"action": "join", "group": "by-hand"}),
        ("users/ann", {"action": "leave", "group": "staff"}),
    ):
        answer = site.form(admin, path, **fields)
        assert answer.status_code == 409 and "each log-in would undo it" in answer.text, path
    assert site.ask("GET", "/groups/staff").json()["users"] == ["ann"]
    assert "is gone" in site.form(admin, "groups/by-hand", action="remove").text
