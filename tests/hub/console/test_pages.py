"""The console's pages, at a real hub: who sees what, what changes, and that each change is in the audit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import datetime
import hashlib
import io
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cellar_hub.audit import Event
from cellar_hub.backup.renewal import note_backup
from cellar_hub.doctor import versions
from cellar_hub.spawner.names import OWNER
from cellar_hub.store import Store
from cellar_hub.store.tables import usage

from tests.hub.commands.engine import Volumes
from tests.hub.commands.site import PASSWORD
from tests.hub.console.site import ConsoleSite, xsrf_of
from tests.hub.jupyter import proxy_command

pytestmark = pytest.mark.timeout(240)
ADMINS = (
    "overview",
    "users",
    "groups",
    "policy/default",
    "policy/destinations",
    "policy",
    "usage",
    "audit",
    "models",
    "announcements",
)
TODAY = datetime.datetime.now(datetime.UTC).date()


@pytest.fixture(scope="module")
def admin(site: ConsoleSite) -> Iterator[httpx.Client]:
    with contextlib.closing(site.browser("admin")) as browser:
        yield browser


@pytest.fixture(scope="module")
def ann(site: ConsoleSite) -> Iterator[httpx.Client]:
    with contextlib.closing(site.browser("ann")) as browser:
        yield browser


def page(browser: httpx.Client, path: str, status: int = 200) -> str:
    answer = browser.get(f"/services/console/{path}")
    assert answer.status_code == status, answer.text[-1500:]
    return answer.text


def until(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)  # another process reads a file when it looks the next time
    return found


def spend(site: ConsoleSite, user: str, tokens: int, day: datetime.date = TODAY, model: str = "coder") -> None:
    store = Store.open(f"sqlite:///{site.books['CELLAR_DATA']}/cellar.db")
    row = {"user_name": user, "day": day, "model": model, "prompt": tokens, "completion": 0}

    async def write() -> None:
        await store.write(lambda tx: tx.execute(usage.insert(), row | {"cached": 0, "requests": 1, "estimated": 0}))
        await store.close()

    asyncio.run(write())


def deeds(site: ConsoleSite, action: str) -> list[Event]:
    return [each for each in site.events() if each.action == action]


def test_nobody_sees_a_page_without_the_hubs_log_in(site: ConsoleSite) -> None:
    for path in (*ADMINS, "me", "users/ann", "usage/export", "audit/export", "overview/live"):
        answer = httpx.get(f"{site.console}/{path}", follow_redirects=False)
        assert answer.status_code == 302 and "/hub/api/oauth2/authorize" in answer.headers["location"], path
        by_script = httpx.get(f"{site.console}/{path}", headers={"Sec-Fetch-Mode": "cors"}, follow_redirects=False)
        assert by_script.status_code == 403
    assert httpx.post(f"{site.console}/users/ann", data={"action": "block"}).status_code == 403


def test_an_administrator_sees_every_page_in_both_languages(site: ConsoleSite, admin: httpx.Client) -> None:
    for path in (*ADMINS, "me", "users/ann", "overview/live"):
        assert "<h" in page(admin, path)
    with contextlib.closing(site.browser("admin", **{"Accept-Language": "ko-KR,ko;q=0.9"})) as korean:
        assert "<h1>개요</h1>" in page(korean, "overview")
        sent = korean.post("/services/console/language", data=language(korean, "en"))
    assert sent.status_code == 200 and "<h1>Overview</h1>" in sent.text


def language(browser: httpx.Client, name: str) -> dict[str, str]:
    return {"_xsrf": xsrf_of(page(browser, "overview")), "language": name, "back": "/services/console/overview"}


def test_a_user_sees_their_own_page_and_nothing_of_others(site: ConsoleSite, ann: httpx.Client) -> None:
    spend(site, "ann", 4_321)
    spend(site, "admin", 98_765)
    text = page(ann, "me")
    assert "4,321" in text and "of 1,000,000 tokens" in text and "98,765" not in text
    assert page(ann, "").count("<h1>My page</h1>") == 1
    for path in (*ADMINS, "users/ann", "users/admin", "usage/export", "audit/export", "overview/live"):
        assert "This page is for administrators." in page(ann, path, 403)
    refused = ann.post("/services/console/users/admin", data={"_xsrf": xsrf_of(text), "action": "block"})
    assert refused.status_code == 403 and not deeds(site, "user.block")


def test_the_doctor_finds_it_and_its_release(site: ConsoleSite) -> None:
    assert "as here" in versions.of_service(f"{site.own}/services/console/alive")


def test_the_hubs_own_pages_lead_there(site: ConsoleSite, admin: httpx.Client, ann: httpx.Client) -> None:
    for browser, words in ((admin, "Console"), (ann, "My page")):
        home = browser.get("/hub/home").text
        link = home.rpartition(f">{words}</a>")[0].rpartition('href="')[2].partition('"')[0]
        assert link == "/services/console/" and browser.get(link).status_code == 200
        assert "/hub/admin" not in home


def test_a_form_from_another_page_changes_nothing(site: ConsoleSite, admin: httpx.Client, ann: httpx.Client) -> None:
    others = xsrf_of(page(ann, "me"))
    for token in ("", others, "2|aaaa|bbbb|1"):
        answer = admin.post("/services/console/groups", data={"name": "forged", "_xsrf": token})
        assert answer.status_code == 403
    assert "forged" not in page(admin, "groups")


def test_no_page_may_be_framed_or_run_what_is_not_ours(admin: httpx.Client) -> None:
    for path in ("overview", "me", "nothing-here"):
        headers = admin.get(f"/services/console/{path}").headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store"


def test_a_quota_for_one_person_counts_at_the_gateway_within_seconds_and_is_in_the_audit(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.add("quentin")
    token = token_of(site, "quentin")
    based_on = based_on_of(page(admin, "users/quentin"))
    done = site.form(admin, "users/quentin", action="rules", based_on=based_on, tokens_per_day="50,000")
    assert "Saved." in done.text
    until(lambda: me(site, token)["day"]["limit"] == 50_000, "the gateway to know the new limit")
    assert me(site, token)["month"]["limit"] == 1_000_000, "what is not said there is everybody's"
    assert "# enough for most" in site.policy.read_text()
    (deed,) = [each for each in deeds(site, "policy.change") if each.subject == "users.quentin"]
    assert deed.actor == "admin" and "50000" in str(deed.detail)
    assert deed.detail["fields"] == "users.quentin.tokens_per_day"
    assert deed.detail["sha256"] == hashlib.sha256(site.policy.read_bytes()).hexdigest() != deed.detail["sha256_before"]
    assert not deeds(site, "policy.read")[1:], "what a page has saved is read, and is no news"


def token_of(site: ConsoleSite, name: str) -> str:
    answer = httpx.post(
        f"{site.url}/hub/api/users/{name}/tokens", json={"auth": {"username": name, "password": PASSWORD}}, timeout=30
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def me(site: ConsoleSite, token: str) -> Any:
    answer = httpx.get(f"{site.gateway.url}/cellar/v1/me", headers={"authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def based_on_of(text: str) -> str:
    return text.partition('name="based_on" value="')[2].partition('"')[0]


def test_of_two_who_change_the_policy_at_once_the_later_is_told_and_loses_nothing_typed(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.add("other", "--admin")
    seen = based_on_of(page(admin, "policy/default"))
    with contextlib.closing(site.browser("other")) as other:
        first = site.form(other, "policy/default", action="rules", based_on=seen, tokens_per_month="2000000")
    assert "Saved." in first.text
    late = site.form(admin, "policy/default", action="rules", based_on=seen, requests_per_minute="77")
    assert late.status_code == 409 and "other has changed the policy meanwhile" in late.text
    assert 'value="77"' in late.text and "2_000_000" not in late.text
    assert "requests_per_minute" not in site.policy.read_text()
    again = {"_xsrf": xsrf_of(late.text), "action": "rules", "based_on": based_on_of(late.text)}
    form = again | {"requests_per_minute": "77", "tokens_per_month": "2000000"}
    assert "Saved." in admin.post("/services/console/policy/default", data=form).text
    assert "requests_per_minute = 77" in site.policy.read_text()
    assert [each.detail for each in deeds(site, "policy.change.failed")], "that it did not come to pass is said, too"


def test_a_number_that_is_none_is_named_and_nothing_is_saved(site: ConsoleSite, admin: httpx.Client) -> None:
    before = site.policy.read_text()
    seen = based_on_of(page(admin, "policy/default"))
    answer = site.form(admin, "policy/default", action="rules", based_on=seen, max_tokens="many", max_running="3")
    assert answer.status_code == 400 and "Longest answer, in tokens must be a whole number." in answer.text
    assert 'value="many"' in answer.text and site.policy.read_text() == before


def test_the_file_itself_is_edited_a_broken_one_refused_and_an_old_one_brought_back(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    text = site.policy.read_text()
    broken = site.form(admin, "policy", based_on=based_on_of(page(admin, "policy")), text="[default]\nmax_tokens = 0\n")
    assert broken.status_code == 409 and "max_tokens = 0" in broken.text and site.policy.read_text() == text
    inside = text + '\n[[destinations]]\nname = "a.corp"\nport = 1\nto = "10.213.0.1:1"\n'
    refused = site.form(admin, "policy", based_on=based_on_of(page(admin, "policy")), text=inside)
    assert refused.status_code == 409 and site.policy.read_text() == text, "no hub would start with it"
    wanted = text + "\n[groups.typed]\nmax_tokens = 512\n"
    saved = site.form(admin, "policy", based_on=based_on_of(page(admin, "policy")), text=wanted)
    assert "Saved." in saved.text and site.policy.read_text() == wanted
    was = saved.text.split("/services/console/policy/")[2].partition('"')[0]
    assert "What changed then" in page(admin, f"policy/{was}")
    back = site.form(admin, f"policy/{was}", based_on=based_on_of(page(admin, f"policy/{was}")))
    assert "again what it was then" in back.text and site.policy.read_text() == text


def test_what_people_write_is_shown_and_never_obeyed(site: ConsoleSite, admin: httpx.Client) -> None:
    evil = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
    made = site.form(admin, "groups", name=evil)
    assert made.status_code == 200, made.text[-800:]
    said = site.form(
        admin,
        "announcements",
        based_on=based_on_of(page(admin, "announcements")),
        text=evil + "\r\nand a second line",
        level="warning",
        audience="users",
    )
    assert "Saved. It is shown at the times you gave." in said.text
    spend(site, evil, 10)
    until(lambda: "&lt;script&gt;" in page(admin, "announcements"), "the announcement to be listed")
    searched = ("users", "audit?user=" + evil, "usage?user=" + evil, f"users?q={evil}")
    for path in ("groups", "usage", "overview", "announcements", "audit", *searched):
        text = page(admin, path)
        assert "<script>alert" not in text and "<img src=x" not in text, path


def test_what_a_spreadsheet_would_take_for_a_formula_is_text_in_the_file(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    spend(site, "=HYPERLINK(1)", 10, model="+cmd")
    answer = admin.get("/services/console/usage/export?span=today")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert ("'=HYPERLINK(1)", "'+cmd") in [(row["user"], row["model"]) for row in rows]
    assert deeds(site, "usage.export")[-1].actor == "admin"


def test_the_audit_is_searched_and_taken_away_and_that_is_in_it(site: ConsoleSite, admin: httpx.Client) -> None:
    assert "user.add" in page(admin, "audit?kind=events&subject=ann")
    assert "Nothing found." in page(admin, "audit?user=nobody-of-that-name")
    lines = admin.get("/services/console/audit/export?kind=events&subject=ann&form=jsonl").text.splitlines()
    assert any('"user.add"' in line for line in lines)
    assert deeds(site, "audit.export")[-1].detail["subject"] == "ann"


def test_the_audit_is_verified_from_its_page_and_a_row_that_was_changed_is_named(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    assert "is being verified" in site.form(admin, "audit/verify", page="audit").text
    until(lambda: "The audit is whole" in page(admin, "audit"), "the audit to be verified", 60)
    assert "The audit is whole" in page(admin, "audit/verify")
    with sqlite3.connect(Path(site.books["CELLAR_DATA"]) / "cellar.db") as database:
        ((seq, record),) = database.execute("SELECT seq, record FROM cellar_audit WHERE chain = 'console' LIMIT 1")
        database.execute("DROP TRIGGER cellar_audit_no_update")
        change = "UPDATE cellar_audit SET record = ? WHERE chain = 'console' AND seq = ?"
        database.execute(change, (record.replace("admin", "somebody"), seq))
        database.commit()
        site.form(admin, "audit/verify", page="audit")
        until(lambda: "The audit is NOT whole" in page(admin, "audit"), "the change to be seen", 60)
        assert f"console {seq}: changed" in page(admin, "audit")
        database.execute(change, (record, seq))
    database.close()
    assert deeds(site, "audit.verify")[-1].actor == "admin"


def test_the_overview_says_who_began_the_last_backup_and_when(site: ConsoleSite, admin: httpx.Client) -> None:
    assert "No backup is in the audit yet" in page(admin, "overview")
    note_backup(site.env | site.books | {"CELLAR_OPERATOR": "kim"}, of="everything")
    said = page(admin, "overview").partition("Last backup begun")[2].partition("</p>")[0]
    assert "just now" in said and "(kim (command line))" in said
    assert "site.backup" in page(
        admin, said.partition('href="/services/console/')[2].partition('"')[0].replace("&amp;", "&")
    )


def test_pages_of_the_audit_follow_each_other_without_a_gap(site: ConsoleSite, admin: httpx.Client) -> None:
    for number in range(60):
        spend(site, f"crowd{number}", 1)
        if number % 10 == 0:
            admin.get("/services/console/usage/export?span=today")
    seen, path = 0, "audit"
    while True:
        text = page(admin, path)
        seen += text.count("<tr>") - 1
        if 'rel="next"' not in text:
            break
        path = "audit" + text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert seen >= len(site.events())


def secret_in(text: str) -> str:
    return text.partition('<code class="secret">')[2].partition("<")[0]


def logs_in(site: ConsoleSite, name: str, password: str) -> bool:
    browser, status = site.log_in(name, password)
    browser.close()
    return status == 302


def test_an_account_is_made_blocked_and_let_in_again(site: ConsoleSite, admin: httpx.Client) -> None:
    made = site.form(admin, "users", name="Bob")
    assert "bob may log in. The password" in made.text
    password = secret_in(made.text)
    assert logs_in(site, "bob", password)
    token = httpx.post(
        f"{site.url}/hub/api/users/bob/tokens", json={"auth": {"username": "bob", "password": password}}, timeout=30
    ).json()["token"]
    assert me(site, token)["user"] == "bob"
    blocked = site.form(admin, "users/bob", action="block")
    assert "bob is blocked" in blocked.text and "tokens taken away" in blocked.text
    assert "Start the workspace" not in blocked.text
    refused = httpx.get(f"{site.gateway.url}/cellar/v1/me", headers={"authorization": f"Bearer {token}"}, timeout=30)
    assert refused.status_code == 401
    assert not logs_in(site, "bob", password)
    assert "blocked" in page(admin, "users?state=blocked")
    assert "bob may log in again." in site.form(admin, "users/bob", action="unblock").text
    assert logs_in(site, "bob", password)
    wanted = ["user.add", "user.block", "user.unblock"]
    done = [each.action for each in site.events("bob") if each.actor == "admin"]
    assert [each for each in done if each in wanted] == wanted


def test_who_is_blocked_while_the_gateway_hangs_is_out_of_the_hub_and_the_page_says_what_is_not_confirmed(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.add("hasty")
    token = token_of(site, "hasty")
    page(admin, "users/hasty")
    os.kill(site.gateway.pid, signal.SIGSTOP)
    try:
        blocked = site.form(admin, "users/hasty", action="block")
        assert blocked.status_code == 200 and "hasty is blocked: may not log in any more, 1 tokens" in blocked.text
        assert "Not confirmed: the gateway was not told (no answer)" in blocked.text
        assert httpx.get(f"{site.url}/hub/api/user", headers={"authorization": f"token {token}"}).status_code == 403
        assert not logs_in(site, "hasty", PASSWORD)
        assert "Not confirmed" not in page(admin, "users/hasty"), "it is said once"
    finally:
        os.kill(site.gateway.pid, signal.SIGCONT)


def test_whom_the_hub_knows_without_an_account_is_said_to_have_none_and_gets_one_from_the_page(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    assert site.ask("POST", "/users/made-by-api").status_code == 201
    row = page(admin, "users?q=made-by").partition("made-by-api</a>")[2].partition("</tr>")[0]
    assert "no account" in row and "may log in" not in row
    text = page(admin, "users/made-by-api")
    assert "no account" in text and "nobody has given them a password here" in text
    made = site.form(admin, "users", page="users/made-by-api", name="made-by-api")
    password = secret_in(made.text)
    assert logs_in(site, "made-by-api", password) and "no account" not in page(admin, "users/made-by-api")


def test_the_list_of_blocked_people_has_columns_that_say_something(site: ConsoleSite, admin: httpx.Client) -> None:
    site.add("barred")
    site.form(admin, "users/barred", action="block")
    text = page(admin, "users?state=blocked")
    assert heads(text) == ["Name", "Account", "Since"] and "just now" in text.partition("barred</a>")[2]


def heads(text: str) -> list[str]:
    """Of the columns of a page's first table."""
    return re.findall(r"<th[^>]*>([^<]*)</th>", text.partition("<thead>")[2].partition("</thead>")[0])


def test_an_account_that_may_log_in_is_blocked_before_it_is_removed(site: ConsoleSite, admin: httpx.Client) -> None:
    site.add("tom")
    refused = site.form(admin, "users/tom", action="remove")
    assert refused.status_code == 409 and "block tom first" in refused.text
    site.form(admin, "users/tom", action="block")
    assert "The account of tom is gone." in site.form(admin, "users/tom", action="remove").text
    page(admin, "users/tom", 404)


def test_a_form_shows_what_counts_where_it_says_nothing(site: ConsoleSite, admin: httpx.Client) -> None:
    text = page(admin, "users/ann")
    assert (
        'name="max_tokens" value="" inputmode="numeric" maxlength="24" autocomplete="off" placeholder="4,096"' in text
    )
    assert 'name="tokens_per_day"' in text and 'placeholder="no limit"' in text
    everybodys = page(admin, "policy/default")
    beside, only, these = "Profiles of workspaces, beside those open to all", " Only these:", " These:"
    assert beside in everybodys and these in everybodys
    assert beside not in text and these not in text and only in text, "what is said of one person counts alone"


def test_a_workspace_is_started_and_stopped_by_its_user_and_by_an_administrator(
    site: ConsoleSite, admin: httpx.Client, ann: httpx.Client
) -> None:
    assert "Your workspace is starting." in site.form(ann, "me", action="start").text
    until(lambda: "Open it" in page(ann, "me"), "the workspace to run")
    until(lambda: "Stop the workspace" in page(admin, "users/ann"), "the admin to see it")
    assert "ann" in page(admin, "users?state=running")
    assert "is stopping" in site.form(admin, "users/ann", action="stop").text
    until(lambda: "not running" in page(ann, "me"), "the workspace to be gone")
    done = {(each.actor, each.action) for each in site.events("ann") if each.action.startswith("workspace.")}
    assert done >= {("ann", "workspace.start"), ("admin", "workspace.stop")}, "also what people do for themselves"


def test_a_user_sees_and_revokes_their_tokens_and_nobody_elses(site: ConsoleSite, ann: httpx.Client) -> None:
    token = token_of(site, "ann")
    headers = {"authorization": f"token {token}"}
    number = httpx.get(f"{site.url}/hub/api/user", headers=headers).json()["token_id"]
    assert f'value="{number}"' in page(ann, "me")
    assert me(site, token)["user"] == "ann"
    assert "The token is revoked." in site.form(ann, "me", action="revoke", token=number).text
    assert httpx.get(f"{site.url}/hub/api/user", headers=headers).status_code == 403
    asked = httpx.get(f"{site.gateway.url}/cellar/v1/me", headers={"authorization": f"Bearer {token}"}, timeout=30)
    assert asked.status_code == 401, "the gateway, which had just believed it, was told"
    others = token_of(site, "admin")
    theirs = httpx.get(f"{site.url}/hub/api/user", headers={"authorization": f"token {others}"}).json()["token_id"]
    assert site.form(ann, "me", action="revoke", token=theirs).status_code == 409
    assert httpx.get(f"{site.url}/hub/api/user", headers={"authorization": f"token {others}"}).status_code == 200


def test_who_is_no_administrator_any_more_changes_nothing_from_the_next_request_on(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.add("former", "--admin")
    command = {"authorization": "token " + site.env["CELLAR_COMMANDS_TOKEN"]}
    with contextlib.closing(site.browser("former")) as former:
        xsrf = xsrf_of(page(former, "groups"))
        answer = httpx.patch(f"{site.url}/hub/api/users/former", json={"admin": False}, headers=command)
        assert answer.status_code == 200
        assert former.post("/services/console/groups", data={"_xsrf": xsrf, "name": "too-late"}).status_code == 403
    assert "too-late" not in page(admin, "groups")


def test_rights_are_given_and_taken_on_a_persons_page_and_nobody_takes_their_own(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.add("deputy")
    with contextlib.closing(site.browser("deputy")) as deputy:
        page(deputy, "users", 403)
        assert "Remove administrator" not in page(admin, "users/deputy")
        promoted = site.form(admin, "users/deputy", action="promote").text
        assert "deputy is an administrator, here from their next log-in on." in promoted
    with contextlib.closing(site.browser("deputy")) as deputy:
        page(deputy, "users")
        refused = site.form(deputy, "users/deputy", action="demote")
        assert refused.status_code == 409 and "another administrator has to" in refused.text
        assert "deputy is an administrator no longer." in site.form(admin, "users/deputy", action="demote").text
        until(lambda: deputy.get("/services/console/users").status_code == 403, "the deputy to be out")
    told = [(each.action, each.actor) for each in site.events("deputy")]
    assert ("user.promote", "admin") in told and ("user.demote", "admin") in told


def test_members_come_and_go_and_a_group_goes_with_its_rules(site: ConsoleSite, admin: httpx.Client) -> None:
    assert "is there now" in site.form(admin, "groups", name="research").text
    assert "Added to the group: 1" in site.form(admin, "groups/research", action="join", users="ann").text
    seen = based_on_of(page(admin, "groups/research"))
    saved = site.form(
        admin, "groups/research", action="rules", based_on=seen, models_said="yes", models_more="coder-large"
    )
    assert "Saved." in saved.text and '[groups.research]\nmodels = ["coder-large"]' in site.policy.read_text()
    assert "no longer" in site.form(admin, "groups/research", action="leave", user="ann").text
    assert "is gone" in site.form(admin, "groups/research", action="remove").text
    assert "research" not in site.policy.read_text() and "research" not in page(admin, "groups/new-one", 404)


def test_what_is_done_by_a_page_is_told_by_the_console_and_not_by_the_hub_as_well(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.form(admin, "groups", name="once")
    site.form(admin, "groups/once", action="join", users="ann")
    with contextlib.closing(site.browser("admin")) as here:
        revoke = page(here, "me").partition("This browser")[2].partition("</form>")[0]
        numbers = [each.partition('"')[0] for each in revoke.split('name="token" value="')[1:]]
        assert numbers, "those by which the page itself asks"
        form = {"_xsrf": xsrf_of(page(here, "me")), "action": "revoke", "token": numbers}
        here.post("/services/console/me", data=form)
    site.ask("DELETE", "/groups/once")
    until(lambda: [each.subject for each in deeds(site, "hub.group.remove")] == ["once"], "what came after it")
    assert [each.subject for each in deeds(site, "group.join") if each.detail == {"group": "once"}] == ["ann"]
    told = [each for each in site.events() if each.action.startswith("hub.") and each.actor in ("admin", "ann")]
    assert {each.action for each in told} <= {"hub.token.add"}, told


def test_a_destination_is_described_given_to_a_group_and_taken_away_from_all(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    def based_on() -> str:
        return based_on_of(page(admin, "policy/destinations"))

    path = "policy/destinations"
    wrong = site.form(admin, path, based_on=based_on(), name="hub", port="5432")
    assert wrong.status_code == 409 and "every workspace uses already" in wrong.text
    assert site.form(admin, path, based_on=based_on(), name="db.corp", port="many").status_code == 400
    assert "Saved." in site.form(admin, path, based_on=based_on(), name="db.corp", port="5432", to="10.9.9.9:6432").text
    seen = based_on_of(page(admin, "policy/default"))
    given = {"destinations_said": "yes", "destinations": "db.corp:5432"}
    assert "Saved." in site.form(admin, "policy/default", action="rules", based_on=seen, **given).text
    assert "everybody</a>" in page(admin, path) and "10.9.9.9:6432" in page(admin, path)
    gone = site.form(admin, path, action="remove", key="db.corp:5432", based_on=based_on())
    assert "Saved." in gone.text and "db.corp" not in site.policy.read_text()


def test_a_gateway_that_is_away_is_said_and_what_the_books_know_is_shown(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.gateway.terminate()
    try:
        text = until(
            lambda: (found := page(admin, "overview")) and "The gateway does not answer" in found and found,
            "the page to say it",
        )
        assert "Tokens by day" in text
        assert "The gateway does not answer" in page(admin, "models")
    finally:
        site.gateway.start()
    until(lambda: "The gateway does not answer" not in page(admin, "overview"), "the gateway to be back")


def test_a_hub_that_hangs_is_said_within_seconds(site: ConsoleSite, admin: httpx.Client) -> None:
    form = {"_xsrf": xsrf_of(page(admin, "groups")), "name": "before-it-hangs"}
    done = admin.post("/services/console/groups", data=form, follow_redirects=False)
    assert done.status_code == 303, "after a change, who somebody is is asked anew"
    site.process.send_signal(signal.SIGSTOP)
    try:
        with httpx.Client(base_url=site.own, cookies=admin.cookies, timeout=20) as direct:
            answer = direct.get("/services/console/me")
    finally:
        site.process.send_signal(signal.SIGCONT)
    assert answer.status_code == 503 and "The hub does not answer." in answer.text
    assert answer.elapsed.total_seconds() < 15


def test_a_hub_that_is_away_is_said_and_the_page_works_again_when_it_is_back(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    page(admin, "users")
    site.process.terminate()  # with its proxy, here: the console is asked at its own port
    site.process.wait()
    with httpx.Client(base_url=site.own, cookies=admin.cookies, timeout=30) as direct:
        for path in ("users", "overview", "me"):
            answer = direct.get(f"/services/console/{path}")
            assert answer.status_code == 503 and "The hub does not answer." in answer.text
    site.start_hub()
    until(lambda: admin.get("/services/console/users").status_code == 200, "the page to work again", 60)


def test_an_account_that_is_there_is_not_made_again(site: ConsoleSite, admin: httpx.Client) -> None:
    site.add("there")
    again = site.form(admin, "users", name="There")
    assert again.status_code == 409 and "there has an account already." in again.text
    assert logs_in(site, "there", PASSWORD), "its password is what it was"
    assert [each.actor for each in site.events("there") if each.action == "user.add"] == ["kim (command line)"]


def test_a_token_that_is_none_is_nobody_else_and_that_it_failed_is_in_the_audit(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.add("dotty")
    for token in ("..", ".", "", "a999"):
        assert site.form(admin, "users/dotty", action="revoke", token=token).status_code == 409
    page(admin, "users/dotty")
    assert site.form(admin, "users/dotty", action="join", group="no-such").status_code == 409
    told = [each.action for each in site.events("dotty") if each.actor == "admin"]
    assert told.count("token.revoke") == told.count("token.revoke.failed") == 4
    assert told.count("group.join.failed") == 1


def test_a_group_of_any_name_is_reached_by_its_link(site: ConsoleSite, admin: httpx.Client) -> None:
    site.form(admin, "groups", name="left/right")
    link = page(admin, "groups").partition(">left/right</a>")[0].rpartition('href="')[2].partition('"')[0]
    assert '<h1 class="name">left/right</h1>' in admin.get(link).text


def test_a_name_that_cannot_be_one_is_no_page_wherever_it_stands(site: ConsoleSite, admin: httpx.Client) -> None:
    page(admin, "groups")
    with httpx.Client(base_url=site.own, cookies=admin.cookies, timeout=30) as direct:  # a proxy refuses some itself
        for name in ("%FF%FE", "%00", "..%2F..", "%2E%2E", "a" * 300, "nobody-of-that-name"):
            for path in ("users", "groups"):
                answer = direct.get(f"/services/console/{path}/{name}")
                assert answer.status_code == 404 and "There is no such page." in answer.text, (path, name)
        for path in ("users?q=%FF", "usage?user=%FF", "audit?subject=%FF", "announcements?edit=%FF"):
            answer = direct.get(f"/services/console/{path}")
            assert answer.status_code == 400 and "This address or form cannot be read." in answer.text, path
        xsrf = xsrf_of(direct.get("/services/console/groups").text)
        for path in ("users/%FF", "groups/%FF"):
            assert direct.post(f"/services/console/{path}", data={"_xsrf": xsrf}).status_code == 404
        assert direct.get("/services/console/policy/%FF").status_code == 404


def test_what_is_larger_than_a_form_may_be_is_refused_in_words(site: ConsoleSite, admin: httpx.Client) -> None:
    xsrf = xsrf_of(page(admin, "policy"))
    for path in ("policy", "users/ann", "no-page"):
        sent = {"_xsrf": xsrf, "text": 6_000_000 * "x"}
        answer = admin.post(f"/services/console/{path}", data=sent, headers={"Accept-Language": "ko"})
        assert answer.status_code == 413 and "5 MB까지" in answer.text
    assert page(admin, "overview"), "whoever sent it is still logged in"


def test_nothing_says_which_server_it_is(site: ConsoleSite, admin: httpx.Client) -> None:
    paths = ("overview", "me", "nothing-here", "static/console.css", "static/none", "alive", "oauth_callback")
    for path in paths:
        answer = httpx.get(f"{site.own}/services/console/{path}", cookies=admin.cookies)
        assert "server" not in answer.headers, path


def test_what_others_write_for_programs_is_korean_on_korean_pages(site: ConsoleSite) -> None:
    with contextlib.closing(site.browser("admin", **{"Accept-Language": "ko"})) as korean:
        text = page(korean, "audit?kind=events&subject=ann")
        assert ">계정 추가</span>" in text and "<code>user.add</code>" not in text and "관리자: 아니요" in text
        site.add("eungyeong")
        blocked = site.form(korean, "users/eungyeong", action="block")
        assert "더는 로그인할 수 없음, 토큰 0개 회수" in blocked.text
        assert "질문, 편집, 에이전트" in page(korean, "me")


def test_the_days_that_are_shown_are_marked(admin: httpx.Client) -> None:
    def marked(path: str) -> list[str]:
        pieces = page(admin, path).split('<a aria-current="true"')[1:]
        return [each.partition(">")[2].partition("<")[0] for each in pieces]

    assert marked("usage?span=yesterday") == ["Yesterday"]
    assert marked("usage") == ["30 days"]
    assert marked(f"usage?first={TODAY - datetime.timedelta(days=3)}&last={TODAY}") == []
    assert marked("audit") == ["All"]
    query = page(admin, "audit?user=ann").partition('href="?user=ann&amp;since')[2].partition('"')[0]
    assert marked(f"audit?user=ann&since{query}") == ["Today"]


def test_a_user_reads_what_they_may_and_no_more(site: ConsoleSite, admin: httpx.Client, ann: httpx.Client) -> None:
    before = site.policy.read_text()
    seen = based_on_of(page(admin, "users/ann"))
    rules = {
        "modes_said": "yes",
        "modes": "ask",
        "tools": "off",
        "models_said": "yes",
        "models_more": "coder-x coder-y",
    }
    more = {"profiles_said": "yes", "profiles_more": "large", "feature_export": "off", "reason_export": "It stays here"}
    saved = site.form(admin, "users/ann", action="rules", based_on=seen, **rules, **more)
    assert "Saved." in saved.text
    text = page(ann, "me")
    may = text.partition("What you may")[2].partition("</dl>")[0]
    assert (
        "<dt>Modes of the panel</dt><dd>ask</dd>" in may and "<dt>Tools for the model</dt><dd>not allowed</dd>" in may
    )
    assert "<dt>Workspace profiles</dt><dd>large</dd>" in may
    assert "<dt>Export conversations</dt><dd>off: It stays here</dd>" in may
    assert "The model servers do not answer now." in may and "<dd>none</dd>" not in may.partition("Modes")[0]
    assert "agent" not in may
    site.policy.write_text(before)


def test_of_a_users_log_ins_the_one_in_front_of_them_is_marked_and_each_browser_is_one_line(site: ConsoleSite) -> None:
    site.add("tess")
    token = token_of(site, "tess")
    with contextlib.closing(site.browser("tess")) as here, contextlib.closing(site.browser("tess")):
        table = page(here, "me").partition("<table")[2].partition("</table>")[0]
        assert table.count("This browser") == table.count("you are here") == 1
        assert table.count("Another browser") == 1 and table.count("Made by you") == 1
        assert table.index("This browser") < table.index("Another browser") < table.index("Made by you")
        other = table.partition("Another browser")[2].partition("</form>")[0]
        numbers = [each.partition('"')[0] for each in other.split('name="token" value="')[1:]]
        form = {"_xsrf": xsrf_of(page(here, "me")), "action": "revoke", "token": numbers}
        done = here.post("/services/console/me", data=form)
        assert "revoked." in done.text and "Another browser" not in done.text
        left = [each["id"] for each in site.ask("GET", "/users/tess/tokens").json()["api_tokens"]]
        assert left and set(left).isdisjoint(numbers)
    assert httpx.get(f"{site.url}/hub/api/user", headers={"authorization": f"token {token}"}).status_code == 200


def test_a_users_page_asks_for_names_of_groups_and_no_member_of_them(site: ConsoleSite, admin: httpx.Client) -> None:
    site.form(admin, "groups", name="wide")
    site.form(admin, "groups/wide", action="join", users="ann admin")
    asked = {"authorization": f"token {token_of(site, 'ann')}"}
    refused = httpx.get(f"{site.url}/hub/api/cellar/groups", headers=asked)
    assert refused.status_code == 403, "it is for whoever may list groups"
    assert {"name": "wide", "members": 2} in site.ask("GET", "/cellar/groups").json()
    assert "<option>wide</option>" in page(admin, "users/other")
    row = page(admin, "groups").partition(">wide</a>")[2].partition("</tr>")[0]
    assert 'data-label="Members" class="number">2</td>' in row
    assert "<option>wide</option>" not in page(admin, "users/ann") and ">wide <form" in page(admin, "users/ann")


def test_addresses_that_no_page_has_made_fail_in_words(admin: httpx.Client) -> None:
    for place in ('{"at":1,"chain":"x","seq":' + 40 * "9" + "}", '{"at":1,"chain":"\\u0000","seq":1}'):
        page(admin, "audit?after=" + base64.urlsafe_b64encode(place.encode()).decode())
    page(admin, "usage?last=0001-01-05")
    for back in ("/services/console/\r\nX-Other: 1", "//example.org/"):
        form = language(admin, "en") | {"back": back}
        answer = admin.post("/services/console/language", data=form, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/services/console/")


def test_a_form_of_another_session_is_refused_in_the_readers_language(site: ConsoleSite) -> None:
    answer = httpx.post(f"{site.console}/groups", data={"name": "x"}, headers={"Accept-Language": "ko"})
    assert answer.status_code == 403 and "다른 세션" in answer.text


def test_an_announcement_of_all_times_is_refused_and_one_in_the_file_is_shown(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    based_on = based_on_of(page(admin, "announcements"))
    for field in ({"starts": "0001-01-01T00:00"}, {"ends": "9999-12-31T23:59-14:00"}):
        refused = site.form(admin, "announcements", text="for ever", based_on=based_on, **field)
        assert refused.status_code == 400 and "is no time" in refused.text
    before = site.policy.read_text()
    try:
        told = '\n[[announcements]]\nid = "ever"\nlevel = "info"\ntext = "always"\nends = 9999-12-31T23:59:00-14:00\n'
        site.policy.write_text(before + told)
        until(lambda: "9999-12-31 23:59" in page(admin, "announcements"), "the page to show it")
    finally:
        site.policy.write_text(before)


def test_two_who_change_one_group_keep_both_changes(site: ConsoleSite, admin: httpx.Client) -> None:
    site.form(admin, "groups", name="shared")
    seen = based_on_of(page(admin, "groups/shared"))
    editor = site.policy.read_text() + "\n[groups.shared]\ntokens_per_day = 777\n"
    site.policy.write_text(editor)  # somebody who uses no page: of this the history knows nothing
    asked = {"action": "rules", "based_on": seen, "seen": "{}", "tokens_per_month": "888"}
    late = site.form(admin, "groups/shared", **asked)
    assert late.status_code == 409 and 'value="777"' in late.text and 'value="888"' in late.text


def test_somebody_is_blocked_while_the_policy_file_is_broken(site: ConsoleSite, admin: httpx.Client) -> None:
    site.add("urgent")
    before = site.policy.read_text()
    try:
        for broken in ("[[[", None):
            site.policy.unlink() if broken is None else site.policy.write_text(broken)
            assert "The policy file cannot be read" in page(admin, "users/urgent")
        assert "urgent is blocked" in site.form(admin, "users/urgent", action="block").text
    finally:
        site.policy.write_text(before)


def test_readers_of_the_audits_file_who_sleep_leave_the_pages_to_others(site: ConsoleSite, admin: httpx.Client) -> None:
    page(admin, "groups")
    cookies = "; ".join(f"{each.name}={each.value}" for each in admin.cookies.jar)
    request = f"GET /services/console/audit/export HTTP/1.1\r\nHost: {site.own[7:]}\r\nCookie: {cookies}\r\n\r\n"
    lengthen_audit(site)
    with contextlib.ExitStack() as stack:
        for number in range(6):
            sleeper = stack.enter_context(socket.socket())
            sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sleeper.connect(("127.0.0.1", int(site.own.rpartition(":")[2])))
            sleeper.sendall(request.encode())
            status = sleeper.recv(15, socket.MSG_WAITALL)
            assert status == (b"HTTP/1.1 200 OK" if number < 2 else b"HTTP/1.1 429 To")
        for path in ("audit", "users", "me"):
            page(admin, path)
    until(
        lambda: admin.get("/services/console/audit/export?subject=nobody").status_code == 200, "the sleepers to be gone"
    )


def lengthen_audit(site: ConsoleSite) -> None:
    """By more rows than fit between a server and a client. None is signed, and none can be taken away again."""
    columns = "row_type, request_id, user_name, subject, model, record, key_id, mac"
    numbers = "with recursive n(i) as (values(1) union all select i + 1 from n where i < 100000)"
    source = f"(select at, {columns} from cellar_audit where row_type = 'event' limit 1)"
    rows = f"{numbers} select 'long', i, at - 1 - i * 1e-3, {columns} from n, {source}"
    with contextlib.closing(sqlite3.connect(f"{site.books['CELLAR_DATA']}/cellar.db", timeout=30)) as books, books:
        books.execute(f"insert or ignore into cellar_audit (chain, seq, at, {columns}) {rows}")


def test_an_event_that_is_long_ago_is_looked_for_page_by_page_and_each_says_how_far(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    lengthen_audit(site)
    assert "<code>user.add</code> ann" in page(admin, "audit?action=user.add&subject=ann")
    text = page(admin, "audit?action=site.restore")
    assert "10,000 rows were looked through, back to" in text and "Nothing found." not in text
    older = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "action=site.restore" in older and "10,000 rows were looked through" in page(admin, "audit" + older)


def put_in_place(file: Path, *statements: str) -> None:
    """A copy in which something is different, renamed to where the original is."""
    copy = file.with_name("restored")
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as now, contextlib.closing(sqlite3.connect(copy)) as new:
        now.backup(new)
        for each in statements:
            new.execute(each)
        new.commit()
    copy.replace(file)


def test_services_go_on_with_another_database_and_say_when_it_is_gone(site: ConsoleSite, admin: httpx.Client) -> None:
    file = Path(site.books["CELLAR_DATA"]) / "cellar.db"
    spend(site, "rosa", 1_111)
    site.add("rosa")
    token = token_of(site, "rosa")
    assert "1,111" in page(admin, "users/rosa") and me(site, token)["day"]["spent"]["prompt"] == 1_111
    put_in_place(file, "update cellar_usage set prompt = 2222 where user_name = 'rosa'")
    assert "2,222" in page(admin, "users/rosa") and me(site, token)["day"]["spent"]["prompt"] == 2_222
    assert "of-the-restored" in site.form(admin, "groups", name="of-the-restored").text
    assert [each.action for each in site.events("of-the-restored")][-1:] == ["group.add"], (
        "it is in the new one's audit"
    )
    assert "another file is in the place of" in site.console_log.read_text()
    aside = file.rename(file.with_name("aside"))
    assert "database does not answer." in page(admin, "users/rosa", 503)
    assert "does not answer" in site.form(admin, "groups", "me", name="unseen").text and not file.exists()
    assert httpx.get(f"{site.own}/services/console/alive").status_code == 503
    assert f"{file} is gone" in site.console_log.read_text()
    aside.rename(file)
    assert "2,222" in page(admin, "users/rosa") and "unseen" not in page(admin, "groups")


def test_whose_an_earlier_users_files_are_is_asked_with_the_new_account_or_on_the_persons_page(
    tmp_path: Path,
) -> None:
    if not proxy_command():
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    with Volumes() as volumes, contextlib.ExitStack() as stack:
        site = ConsoleSite(tmp_path, DOCKER_HOST=volumes.address)
        stack.callback(site.end)
        admin = stack.enter_context(contextlib.closing(site.browser("admin")))
        for name in ("nora", "olaf", "ann"):
            volumes.labels[f"cellar-ws-{name}"] = {OWNER: "2020-01-01T00:00:00"}
        asked = site.form(admin, "users", name="nora")
        assert asked.status_code == 409 and "There are files of an earlier user nora: whose are they?" in asked.text
        assert 'value="nora"' in asked.text and '<select name="files" required autofocus>' in asked.text
        assert site.form(admin, "users", name="nora", files="").status_code == 409
        assert "nora may log in. The password" in site.form(admin, "users", name="nora", files="theirs").text
        assert "olaf may log in. The password" in site.form(admin, "users", name="olaf", files="none").text
        assert set(volumes.labels) == {"cellar-ws-nora", "cellar-ws-ann"}
        assert "whose are they?" not in page(admin, "users/nora") and "whose are they?" in page(admin, "users/ann")
        assert "ann begins without files." in site.form(admin, "users/ann", action="files", files="none").text
        assert "whose are they?" not in page(admin, "users/ann") and set(volumes.labels) == {"cellar-ws-nora"}
        assert site.form(admin, "users/ann", action="files", files="all").status_code == 400
        told = [(each.subject, each.detail["files"]) for each in site.events() if each.detail.get("files")]
        assert set(told) >= {("nora", "theirs"), ("olaf", "none"), ("ann", "none")}


def test_a_hub_whose_database_was_replaced_ends_and_takes_nobody_for_somebody_else(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    site.ask("POST", "/users/ann/server").raise_for_status()  # of which a hub writes when it ends
    page(admin, "users")
    put_in_place(site.folder / "hub.sqlite", "update users set name = 'ann-of-then' where name = 'ann'")
    with contextlib.suppress(httpx.HTTPError):  # it ends meanwhile
        site.ask("GET", "/users/ann")
    assert site.process.wait(30) == 0, "by itself, though what it tidies up cannot be written"
    assert "another database is in the place of the hub's" in site.log.read_text()
    site.start_hub()
    assert site.ask("GET", "/users/ann-of-then").status_code == 200
