"""Tokens stop to work when what they stand for ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import TimeoutError

from tests.docker.site.conftest import NewPerson
from tests.docker.site.installation import Installation
from tests.docker.site.person import SPAWN, Person
from tests.docker.site.stream import LONG, Stream
from tests.ui.lab import wait_until

ASK = """
import json, sys, urllib.error, urllib.request as r
try:
    ask = r.Request("http://gateway:8080/v1/models", headers={"Authorization": "Bearer " + sys.argv[1]})
    print(r.urlopen(ask, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def carl(new_person: NewPerson) -> Iterator[Person]:
    person = new_person("carl")
    person.log_in()
    person.submit()
    person.page.wait_for_url("**/user/carl/lab**", timeout=1000 * SPAWN)
    yield person


def presses_stop(person: Person) -> bool:
    """Whether the page asked the hub for it: a click before its script listens does nothing."""
    try:
        with person.page.expect_request(lambda request: request.method == "DELETE", timeout=3000):
            person.page.locator("#stop").click()
    except TimeoutError:
        return False
    return True


def token_of(site: Installation, user: str) -> str:
    """The one that the hub gave to the user's workspace."""
    environment = site.client.inspect_container(site.workspace(user))["Config"]["Env"]
    return next(str(each).partition("=")[2] for each in environment if each.startswith("VLLM_API_KEY="))


def test_a_stopped_servers_token_is_refused_at_once(site: Installation, ada: Person, carl: Person) -> None:
    token = token_of(site, "carl")
    here = site.workspace("ada")
    assert site.inside(here, ASK, token) == 200, "and the gateway remembers for 30 s that it is good"
    carl.page.goto(f"{site.url}/hub/home")
    wait_until(lambda: presses_stop(carl), "the page to ask for a stop")
    wait_until(lambda: not site.workspace("carl"), "the workspace to stop", timeout=60)
    wait_until(lambda: site.inside(here, ASK, token) == 401, "the token to be refused", timeout=15)


def test_blocking_a_user_ends_a_running_stream(site: Installation, carl: Person, long_answers: None) -> None:
    token = carl.new_token()
    with Stream.outside(site, token, **LONG) as stream:
        stream.wait_for_text()
        said = site.command("users", "block", "carl")
        stream.wait_for_end(20)
        assert any(line.startswith("error") and "401" in line for line in stream.lines), stream.lines[-3:]
    assert "tokens taken away" in said
    with Stream.outside(site, token, max_tokens=5) as stream:
        assert stream.wait_for_end().startswith("status 401")
    carl.context.clear_cookies()
    carl.log_in()
    carl.press_submit()
    carl.page.wait_for_load_state()
    assert "/hub/login" in carl.page.url, "a blocked user cannot log in"
