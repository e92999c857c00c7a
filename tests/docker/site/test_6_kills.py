"""kill -9 of each service while an answer streams: workspaces and what was committed stay, and nothing is left over."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest
from playwright.sync_api import Error

from tests.docker.site.installation import Installation
from tests.docker.site.leftovers import assert_nothing_is_left, assert_the_audit_is_whole, audit_of
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream
from tests.docker.site.test_5_network import answers
from tests.ui.lab import wait_until
from tools.env_example import COMPOSE

SURVIVES = {"hub", "proxy", "socketfilter", "console"}
"""Services through which an answer in a workspace does not go."""


@pytest.mark.parametrize("service", ["gateway", "hub", "proxy", "model", "socketfilter", "console"])
def test_workspaces_live_on_and_nothing_is_left_over_when_a_service_is_killed(
    site: Installation, two: tuple[Person, Person], service: str, long_answers: None
) -> None:
    """While answers of two users stream and one has just ended."""
    ada, _ = two
    before = {name: site.workspace(name) for name in ("ada", "ben")}
    assert all(before.values())
    assert answers(site, "ben")
    conversations = {each["id"] for each in ada.conversations()}
    with Stream.inside(site, "ada", **LONG) as stream, Stream.inside(site, "ben", **LONG) as other:
        for each in (stream, other):
            each.wait_for_text()
        committed = {request: row for request, row in audit_of(site).items() if row.get("outcome")}
        site.kill(service)
        for each in (stream, other):
            if service in SURVIVES:
                each.wait_for_text(5)
            else:
                assert each.wait_for_end(60).startswith(("error", "cut"))
    for url in (f"{site.url}/hub/health", ada.url("api/contents")):  # /hub/api/ wants more than a cookie
        wait_until(lambda url=url: status(ada, url) == 200, f"{url} through the proxy", timeout=150)
    wait_until(lambda: answers(site, "ada"), "answers again", timeout=150)
    assert {name: site.workspace(name) for name in before} == before
    after = audit_of(site)
    assert committed and {request: after[request] for request in committed} == committed
    assert conversations <= {each["id"] for each in ada.conversations()}
    assert_nothing_is_left(site, "ada", "ben")


def status(person: Person, url: str) -> int:
    """0: the connection was closed."""
    try:
        return int(person.context.request.get(url).status)
    except Error:
        return 0


HOLD = """
import sqlite3, sys
books = sqlite3.connect("/var/lib/cellar/cellar.db", isolation_level=None, timeout=30)
books.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def database_held(site: Installation) -> Iterator[None]:
    """Somebody else writes in the database of the books, and does not come to an end."""
    command = ["docker", "exec", "-i", site.service("gateway"), "python", "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


def test_a_database_that_cannot_be_written_loses_nothing_of_what_ended_meanwhile(
    site: Installation, two: tuple[Person, Person], long_answers: None
) -> None:
    with Stream.inside(site, "ada", **LONG) as stream:
        stream.wait_for_text()
        with database_held(site):
            with Stream.inside(site, "ben", max_tokens=3) as refused:
                assert refused.wait_for_end().startswith("body")
                assert any(line.startswith("status 503") for line in refused.lines)
                assert "database_down" in refused.lines[-2]
            stream.wait_for_text()
            stream.close()
    wait_until(lambda: answers(site, "ben"), "answers again", timeout=150)
    assert_nothing_is_left(site, "ada", "ben")
    ended = audit_of(site)[stream.request_id]
    assert ended["outcome"] == "stopped"
    assert ended["completion"] > 0


def test_the_audit_is_whole_and_every_request_in_it_has_its_end(site: Installation, two: tuple[Person, Person]) -> None:
    assert_the_audit_is_whole(site)
    assert audit_of(site)
    assert not [row for row in audit_of(site).values() if not row.get("outcome")]


def test_the_doctor_finds_everything_well(site: Installation, two: tuple[Person, Person]) -> None:
    """As an administrator asks it: in the hub's, the gateway's and the proxy's container."""
    command = [str(COMPOSE / "cellar-hub"), "check"]
    done = subprocess.run(command, env=os.environ | {"CELLAR_SITE": site.name}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("Everything works together.")) == (0, 3), done.stdout + done.stderr
    for line in (
        "image standard: sha256:",
        "streaming through the proxy: ",
        "gateway: answers, Cellar ",
        "console: answers, Cellar ",
    ):
        assert f"ok    {line}" in done.stdout


def test_a_password_that_an_administrator_types_is_asked_for_and_not_shown(site: Installation) -> None:
    command = [str(COMPOSE / "cellar-hub"), "users", "add", "typed"]
    seen = io.StringIO()
    with pexpect.spawnu(command[0], command[1:], env=os.environ | {"CELLAR_SITE": site.name}, timeout=60) as terminal:
        terminal.logfile_read = seen
        for prompt in ("Password", "Again"):
            terminal.expect(prompt)
            terminal.sendline("a-typed-password")
        terminal.expect(pexpect.EOF)
    assert "typed may log in." in seen.getvalue() and "Password: " not in seen.getvalue()
    assert "a-typed-password" not in seen.getvalue()
