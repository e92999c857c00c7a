"""The one queue before the model: nobody waits for the crowd that somebody else brought."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import expect

from tests.docker.site.installation import Installation
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream
from tests.ui.lab import wait_until

PLACES = 2
"""CELLAR_MAX_INFLIGHT's default: requests at the model server at once."""
CROWD = """
import http.client, json, os, sys
headers = {"Authorization": "Bearer " + os.environ["VLLM_API_KEY"], "Content-Type": "application/json"}
body = {"model": sys.argv[2], "stream": True, "max_tokens": 20, "messages": [{"role": "user", "content": "Count."}]}
kept = []
for _ in range(int(sys.argv[1])):
    kept.append(http.client.HTTPConnection("gateway", 8080))
    kept[-1].request("POST", "/v1/chat/completions", json.dumps(body), headers)
sys.stdin.read()
"""
"""Asks so often at once, and leaves all of it again when its input ends."""


@contextmanager
def crowd(site: Installation, user: str, many: int) -> Iterator[None]:
    """So many requests of one user, which are not read."""
    model = site.me(user)["models"][0]["id"]
    command = ["docker", "exec", "-i", site.workspace(user), "python3", "-c", CROWD, str(many), model]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as asking:  # its input is closed in any case
        yield
        asking.communicate()


def queue(site: Installation) -> tuple[int, int]:
    """Requests of everybody at the model server, and those that wait."""
    [model] = site.me("ben")["models"]
    return model.get("running", 0), model.get("waiting", 0)


def test_one_user_with_fifty_requests_delays_another_by_one_slot_at_most(
    site: Installation, two: tuple[Person, Person], long_answers: None
) -> None:
    many = 50 - PLACES
    with Stream.inside(site, "ada", **LONG) as first, Stream.inside(site, "ada", **LONG) as second:
        for stream in (first, second):
            stream.wait_for_text()
        with crowd(site, "ada", many):
            wait_until(lambda: queue(site) == (PLACES, many), "fifty requests of one user")
            with Stream.inside(site, "ben", max_tokens=5) as bens:
                bens.wait_for_line("queued position=1 ahead=0")
                first.close()
                bens.wait_for_text(1)
    wait_until(lambda: queue(site) == (0, 0), "their places to be free again")


def test_the_panel_says_that_a_question_waits_and_cancel_leaves_the_queue(
    site: Installation, two: tuple[Person, Person], long_answers: None
) -> None:
    _, ben = two
    with Stream.inside(site, "ada", **LONG) as first, Stream.inside(site, "ada", **LONG) as second:
        for stream in (first, second):
            stream.wait_for_text()
        ben.panel.show()
        ben.panel.ask("Count from one to ten.")
        waiting = ben.panel.last_answer.locator(".jp-Cellar-waiting")
        expect(waiting).to_contain_text("Waiting for the model", timeout=30_000)
        assert queue(site) == (PLACES, 1)
        ben.shot("12-queue")
        waiting.get_by_role("button", name="Cancel").click()
        wait_until(lambda: queue(site) == (PLACES, 0), "the place in the queue to be left")
    wait_until(lambda: queue(site) == (0, 0), "their places to be free again")
