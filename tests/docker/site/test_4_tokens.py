"""Tokens stop to work when what they stand for ends."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.docker.site.conftest import NewPerson
from tests.docker.site.installation import Installation
from tests.docker.site.person import Person
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
    person.wait_for_workspace()
    yield person


def token_of(site: Installation, user: str) -> str:
    """The one that the hub gave to the user's workspace."""
    environment = site.client.inspect_container(site.workspace(user))["Config"]["Env"]
    return next(str(each).partition("=")[2] for each in environment if each.startswith("VLLM_API_KEY="))


def test_a_stopped_servers_token_is_refused_at_once(site: Installation, ada: Person, carl: Person) -> None:
    token = token_of(site, "carl")
    here = site.workspace("ada")
    assert site.inside(here, ASK, token) == 200, "and the gateway remembers for 30 s that it is good"
    carl.page.goto(f"{site.url}/hub/home")
    carl.page.locator("#stop").click()
    wait_until(lambda: not site.workspace("carl"), "the workspace to stop")
    wait_until(lambda: site.inside(here, ASK, token) == 401, "the token to be refused", timeout=5)


def test_blocking_a_user_ends_a_running_stream(site: Installation, carl: Person, long_answers: None) -> None:
    carl.page.goto(f"{site.url}/hub/home")
    scopes = ["custom:llm:chat", "access:services!service=cellar"]
    status, text = carl.fetch("POST", f"{site.url}/hub/api/users/carl/tokens", {"note": "script", "scopes": scopes})
    assert status == 201, text
    token = json.loads(text)["token"]
    with Stream.outside(site, token, **LONG) as stream:
        stream.wait_for_text()
        said = site.command("users", "block", "carl")
        end = stream.wait_for_end(20)
        assert end.startswith(("error", "cut", "done")), end
    assert "tokens taken away" in said
    with Stream.outside(site, token, max_tokens=5) as stream:
        assert stream.wait_for_end().startswith("status 401")
    carl.context.clear_cookies()
    carl.log_in()
    carl.press_submit()
    carl.page.wait_for_load_state()
    assert "/hub/login" in carl.page.url, "a blocked user cannot log in"
