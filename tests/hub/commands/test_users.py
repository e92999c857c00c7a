"""Accounts by the command line, against a real JupyterHub with our log-in: made, used, blocked."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cellar_hub.commands import witness
from cellar_hub.commands.program import run

from tests.hub.commands.site import PASSWORD, Site
from tests.hub.gateway.process import running

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"))
    yield found
    found.end()


def test_an_account_that_was_made_can_log_in_and_no_other(site: Site) -> None:
    site.add("Ann")
    browser, status = site.log_in("ann", PASSWORD)
    assert status == 302
    assert browser.get("/hub/home").status_code == 200
    browser.close()
    wrong = [("ann", "wrong password"), ("nobody", PASSWORD), ("ann", "x" * 100), ("../ann", PASSWORD), ("", "")]
    for name, password in (*wrong, ("a\0nn", PASSWORD), ("ann", "a\0b"), ("x" * 5000, "y" * 5000)):
        browser, status = site.log_in(name, password)
        browser.close()
        assert status == 403, (name, status)


def test_a_generated_password_is_told_once_and_works(site: Site) -> None:
    done = site.command("users", "add", "gen", "--generate")
    password = done.stdout.split("Password: ")[1].strip()
    browser, status = site.log_in("gen", password)
    browser.close()
    assert (status, len(password)) == (302, 16)


def test_adding_somebody_again_gives_a_new_password(site: Site) -> None:
    site.add("twice")
    browser, _ = site.log_in("twice", PASSWORD)
    kept = {"Authorization": f"token {site.ask('POST', '/users/twice/tokens', {}).json()['token']}"}
    done = site.command("users", "add", "twice", "--password-stdin", stdin="another password\n")
    assert done.stdout == "twice had an account: it has a new password, and may log in.\n"
    assert browser.get("/hub/home").status_code == 302, "whoever sat there with the old one"
    browser.close()
    assert httpx.get(site.url + "/hub/api/user", headers=kept, timeout=30).status_code == 200
    for password, expected in ((PASSWORD, 403), ("another password", 302)):
        browser, status = site.log_in("twice", password)
        browser.close()
        assert status == expected


def test_a_blocked_user_is_out_at_once_with_cookie_and_tokens_until_unblocked(site: Site) -> None:
    site.add("eve")
    browser, _ = site.log_in("eve", PASSWORD)
    headers = {"Authorization": "token " + "c" * 32}
    made = httpx.post(site.url + "/hub/api/users/eve/tokens", headers=headers, json={}, timeout=30).json()["token"]
    with_token = {"Authorization": f"token {made}"}
    assert httpx.get(site.url + "/hub/api/user", headers=with_token, timeout=30).status_code == 200
    done = site.command("users", "block", "eve")
    assert done.returncode == 0, done.stderr
    assert "the gateway was not told" not in done.stdout
    assert httpx.get(site.url + "/hub/api/user", headers=with_token, timeout=30).status_code == 403
    deadline = time.monotonic() + 20
    while browser.get("/hub/home").status_code == 200:
        assert time.monotonic() < deadline, "the cookie goes on working"
    browser.close()
    for action, expected in (("block", 403), ("unblock", 302)):
        assert site.command("users", action, "eve").returncode == 0
        browser, status = site.log_in("eve", PASSWORD)
        browser.close()
        assert status == expected


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../admin",
        "a/../admin",
        "김하나",
        "a" * 255,
        "\u202eadmin",
        "<script>x</script>",
        "admin\r\nX: y",
        "%2e%2e",
        " ",
    ],
    ids=ascii,
)
def test_no_name_at_the_log_in_form_means_somebody_else_or_breaks_the_page(site: Site, name: str) -> None:
    for password in (PASSWORD, "x" * 100_000):
        browser, status = site.log_in(name, password)
        shown = browser.get("/hub/login").text
        browser.close()
        assert status == 403
        assert "<script>x" not in shown
    headers = {"Authorization": "token " + "c" * 32}
    known = httpx.get(site.url + "/hub/api/users", headers=headers, timeout=30).json()
    assert name.strip().lower() not in {user["name"] for user in known}


def test_a_token_that_escaped_the_block_is_worth_nothing(site: Site) -> None:
    """A program can make tokens faster than they are taken away; the account alone must decide."""
    site.add("mallory")
    headers = {"Authorization": "token " + "c" * 32}
    made = httpx.post(site.url + "/hub/api/users/mallory/tokens", headers=headers, json={}, timeout=30).json()["token"]
    with httpx.Client(headers={"Authorization": f"token {made}"}, base_url=site.url, timeout=30) as token:
        assert token.get("/hub/api/user").status_code == 200
        with sqlite3.connect(site.folder / "hub.sqlite") as database:
            database.execute("update users_info set is_authorized = 0 where username = 'mallory'")
        deadline = time.monotonic() + 20
        while token.get("/hub/api/user").status_code == 200:
            assert time.monotonic() < deadline, "the token goes on working"
        assert token.get("/hub/api/user").status_code == 403
        assert token.post("/hub/api/users/mallory/server").status_code == 403
        assert token.post("/hub/api/users/mallory/tokens", json={}).status_code == 403


@pytest.mark.parametrize("name", ["evil\x1b[2J", "\u202egro", "ann\x00", "two\nlines", "with space", "zero\u200bwidth"])
def test_no_admin_gives_a_name_that_a_terminal_or_a_page_would_obey(site: Site, name: str) -> None:
    headers = {"Authorization": "token " + "c" * 32}
    one = httpx.post(f"{site.url}/hub/api/users/{quote(name)}", headers=headers, timeout=30)
    several = httpx.post(f"{site.url}/hub/api/users", headers=headers, json={"usernames": [name]}, timeout=30)
    assert (one.status_code, several.status_code) == (400, 400)
    known = httpx.get(site.url + "/hub/api/users", headers=headers, timeout=30).json()
    assert name not in {user["name"] for user in known}


def test_a_user_keeps_their_name_for_everything_goes_by_it(site: Site) -> None:
    site.add("ivy")
    headers = {"Authorization": "token " + "c" * 32}

    def patch(body: dict[str, object]) -> httpx.Response:
        return httpx.patch(site.url + "/hub/api/users/ivy", headers=headers, json=body, timeout=30)

    for name in ("ivy.new", "Ivy", "", None, "later"):
        refused = patch({"name": name, "admin": True})
        assert refused.status_code == 400 and "Users keep their names" in refused.json()["message"]
    assert patch({"name": "ivy", "admin": False}).json()["name"] == "ivy"
    assert [line.split()[0] for line in listed(site) if "ivy" in line and "admin" not in line] == ["ivy"]
    browser, status = site.log_in("ivy", PASSWORD)
    browser.close()
    assert status == 302


def test_what_an_administrator_does_to_accounts_is_in_the_audit_of_a_running_gateway(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("fay")
    site.add("fay")
    for action in ("block", "unblock"):
        assert site.command("users", action, "fay").returncode == 0
    assert site.command("users", "unblock", "fay.nobody").returncode == 2
    told = [(each.action, each.detail) for each in site.events("fay") if each.actor == "kim (command line)"]
    assert told == [
        ("user.add", {"admin": "no"}),
        ("user.add", {"admin": "no"}),
        ("user.block", {"done": "may not log in any more, 0 tokens taken away"}),
        ("user.unblock", {}),
    ]
    deadline = time.monotonic() + 20
    while [each.action for each in site.events("fay") if each.actor == "commands"] != [
        f"user.account.{action}" for action in ("add", "add", "block", "allow")
    ]:
        assert time.monotonic() < deadline, "the hub tells what was asked of it"
    assert {each.actor for each in site.events("fay")} == {"kim (command line)", "commands"}
    assert [each.action for each in site.events("fay.nobody")] == ["user.unblock", "user.unblock.failed"]
    audit = run(["audit", "verify"], site.books)  # while the gateway runs
    assert audit == 0, capsys.readouterr().out
    assert PASSWORD not in "".join(
        path.read_text(errors="replace") for path in Path(site.books["CELLAR_DATA"]).iterdir()
    )


def test_an_operators_name_is_cut_and_cleaned(site: Site) -> None:
    site.command("users", "unblock", "nobody-here", CELLAR_OPERATOR="eve\u202e\n" + "x" * 9000)
    (actor,) = {each.actor for each in site.events("nobody-here")}
    assert len(actor) == 255 and actor.isprintable() and actor.startswith("eve\ufffd")


def test_an_administrator_is_made_at_once_or_of_somebody_who_is_there(site: Site) -> None:
    site.add("later")
    assert not any(line.split()[0] == "later" and "admin" in line for line in listed(site))
    for name in ("later", "chief"):
        site.add(name, "--admin")
        assert any(line.split()[0] == name and "admin" in line for line in listed(site))


def test_administrators_are_made_and_unmade_at_once_and_the_last_one_stays(site: Site) -> None:
    for name in ("boss", "deputy"):
        site.add(name, "--admin")
    site.add("clerk")
    headers = {"Authorization": f"token {site.ask('POST', '/users/clerk/tokens', {}).json()['token']}"}

    def may() -> bool:
        return httpx.get(site.url + "/hub/api/users", headers=headers, timeout=30).is_success

    assert not may()
    assert site.command("users", "promote", "clerk").stdout == "clerk is an administrator.\n"
    assert may(), "with a token of before"
    assert site.command("users", "demote", "clerk").stdout == "clerk: no administrator any more.\n"
    assert not may()
    assert site.command("users", "block", "deputy").returncode == 0
    others = [line.split()[0] for line in listed(site) if "admin" in line.split()[1:] and "may log in" in line]
    for name in others:
        if name != "boss":
            assert site.command("users", "demote", name).returncode == 0
    refused = site.command("users", "demote", "boss")
    assert refused.returncode == 2 and "boss is the last administrator" in refused.stderr
    assert any(line.split()[0] == "boss" and " admin" in line for line in listed(site))
    for name, why in (("deputy", "may not log in"), ("nobody.here", "has no account")):
        refused = site.command("users", "promote", name)
        assert refused.returncode == 2 and why in refused.stderr, refused.stderr
    assert "CELLAR_ADMINS names them" in site.command("users", "demote", "admin").stdout
    assert site.ask("PATCH", "/users/admin", {"admin": True}).is_success  # as the next start makes them
    told = [(each.actor.split()[0], each.action) for each in site.events("clerk") if each.actor.startswith("kim")]
    assert told == [("kim", "user.add"), ("kim", "user.promote"), ("kim", "user.demote")]
    assert [each.action for each in site.events("deputy")][-2:] == ["user.promote", "user.promote.failed"]


def test_without_an_audit_nobody_is_let_in_and_somebody_is_kept_out_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    site.add("gus")
    monkeypatch.setattr(witness, "PATIENCE", 0.0)
    without = site.env | {"CELLAR_GATEWAY_OPERATIONS_URL": "http://127.0.0.1:9"}
    assert run(["users", "add", "hal", "--generate"], without) == 2
    assert "the gateway keeps the audit" in capsys.readouterr().err
    assert not any(line.startswith("hal") for line in listed(site))
    assert run(["users", "block", "gus"], without) == 0
    said = capsys.readouterr()
    assert "NOT in the audit: user.block gus" in caplog.text and "may not log in any more" in said.out
    assert "NOT in the audit" in said.out, "a page has no other place to say it"
    assert any(line.split()[:2] == ["gus", "blocked"] for line in listed(site))
    assert run(["users", "unblock", "gus"], without) == 2
    assert any(line.split()[:2] == ["gus", "blocked"] for line in listed(site))


def listed(site: Site) -> list[str]:
    return site.command("users", "list").stdout.splitlines()


def test_the_list_says_who_may_log_in(site: Site) -> None:
    site.add("listed")
    names = site.command("users", "list", "--names").stdout.split()
    assert "listed" in names
    assert "admin" not in names  # a user of the hub without an account
    lines = site.command("users", "list").stdout
    assert any(line.split() == ["listed", "may", "log", "in"] for line in lines.splitlines())
    assert any(line.split() == ["admin", "no", "account", "admin"] for line in lines.splitlines())


def test_an_account_that_was_removed_is_gone_and_so_is_the_user(site: Site) -> None:
    site.add("rita")
    done = site.command("users", "remove", "rita")
    assert (done.returncode, done.stdout) == (0, "rita: removed.\n"), done.stderr
    browser, status = site.log_in("rita", PASSWORD)
    browser.close()
    assert status == 403 and not any(line.startswith("rita") for line in listed(site))
    again = site.command("users", "remove", "rita")
    assert again.returncode == 2 and "has no account" in again.stderr
    assert site.command("users", "approve", "rita").returncode == 2


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "é", "\u202eann", "-a", "a..b", "x" * 255, "a\nb", "a,b"])
def test_a_hostile_name_is_refused_in_one_line(name: str, site: Site) -> None:
    done = site.command("users", "add", "--generate", "--", name)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_token_and_a_hub_that_is_down_are_said_in_one_line(site: Site) -> None:
    for change, said in (
        ({"CELLAR_COMMANDS_TOKEN": "x" * 32}, "403"),
        ({"CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api"}, "does not answer"),
        ({"CELLAR_COMMANDS_TOKEN": ""}, "CELLAR_COMMANDS_TOKEN must be set"),
    ):
        words = [sys.executable, "-c", "from cellar_hub.commands.program import main; main()", "users", "list"]
        done = subprocess.run(words, env=site.env | change, capture_output=True, text=True, timeout=60)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert said in done.stderr or "Missing or invalid credentials" in done.stderr


def test_whoever_blocks_somebody_is_told_how_many_gateways_did_not_hear_it(site: Site, tmp_path: Path) -> None:
    site.add("hugo")
    apart = {"CELLAR_DATA": str(tmp_path / "books"), "CELLAR_GATEWAY_OPERATIONS": "127.0.0.1:0"}
    books = site.books | apart | {"CELLAR_GATEWAYS": "2"}  # no Redis: each is alone
    with running(books, tmp_path / "log") as one_of_two:
        done = site.command("users", "block", "hugo", CELLAR_GATEWAY_OPERATIONS_URL=one_of_two.operations)
    assert done.returncode == 0, done.stderr
    assert "1 of the gateways did not hear it, and believe tokens for 30 seconds more" in done.stdout
