"""With CELLAR_SUBDOMAIN_HOST each workspace is an origin of its own. The last file: it restarts the installation so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from tests.docker.site.conftest import NewPerson
from tests.docker.site.installation import SHORT, Installation
from tests.docker.site.person import Person

ANSWER = 180_000  # ms
READ = """
async url => {
  try { return (await fetch(url, {credentials: 'include'})).status } catch (error) { return error.name }
}
"""
EMBED = """
url => new Promise(done => {
  const frame = document.createElement('iframe')
  frame.onload = () => { done(frame.contentDocument === null ? 'closed' : frame.contentDocument.title); frame.remove() }
  frame.src = url
  document.body.append(frame)
})
"""


@pytest.fixture(scope="module")
def fay(site: Installation, two: tuple[Person, Person], new_person: NewPerson) -> Iterator[Person]:
    site.policy(SHORT)
    site.give_the_model(0)
    site.give_everybody_an_origin()
    person = new_person("fay")
    person.log_in()
    person.submit()
    person.wait_for_workspace()
    yield person


def test_a_user_logs_in_and_works_at_an_origin_of_her_own(site: Installation, fay: Person) -> None:
    assert fay.page.url.startswith(f"http://fay.hub.localhost:{site.port}/user/fay/lab")
    fay.open_notebook("own.ipynb", "6 * 7")
    expect(fay.run_cell(0)).to_contain_text("42")
    fay.panel.show()
    fay.panel.ask("Say hello.")
    expect(fay.panel.last_turn).to_have_attribute("data-state", re.compile("complete|length"), timeout=ANSWER)


def test_make_hub_over_a_running_hub_says_the_new_address_and_makes_no_new_password(
    site: Installation, fay: Person
) -> None:
    assert f"\nCellar Hub is ready: http://hub.localhost:{site.port}/\n" in site.said
    assert site.stack.password.read_text().strip() == site.passwords["admin"]


def test_the_doctor_finds_the_gateway_at_its_own_origin(site: Installation, fay: Person) -> None:
    assert "ok    streaming through the proxy: 8 pieces" in site.command("check", service="proxy")


def test_her_pages_read_nothing_of_the_hub_and_nothing_of_another_user(site: Installation, fay: Person) -> None:
    at_the_hub = {cookie["name"] for cookie in fay.context.cookies(f"{site.url}/hub/")}
    assert "jupyterhub-hub-login" in at_the_hub, "her browser is logged in there"
    for url in (f"{site.url}/hub/api/user", f"{site.url}/hub/home", f"{site.origin('ada')}/user/ada/api/contents"):
        assert fay.page.evaluate(READ, url) == "TypeError", url
        assert fay.page.evaluate(EMBED, url) == "closed", url


def test_her_cookies_are_sent_to_her_own_workspace_alone(site: Installation, fay: Person) -> None:
    sent = {cookie["name"] for cookie in fay.context.cookies(f"{site.origin('ada')}/user/ada/")}
    assert sent <= {"jupyterhub-session-id"}, "which only lets the hub end all sessions of one log-in at once"
    assert {"jupyterhub-user-fay", "_xsrf"} <= {cookie["name"] for cookie in fay.context.cookies(fay.url())}


def test_other_clients_find_the_gateway_at_its_own_origin(site: Installation, fay: Person) -> None:
    scopes = ["custom:llm:chat", "access:services!service=cellar"]
    fay.page.goto(f"{site.url}/hub/home")
    status, text = fay.fetch("POST", f"{site.url}/hub/api/users/fay/tokens", {"note": "script", "scopes": scopes})
    assert status == 201, text
    headers = {
        "host": f"cellar--service.hub.localhost:{site.port}",  # this machine's resolver need not know the name
        "authorization": f"Bearer {httpx.Response(200, text=text).json()['token']}",
    }
    answer = httpx.get(f"http://127.0.0.1:{site.port}/services/cellar/v1/models", headers=headers, timeout=30)
    assert answer.status_code == 200 and answer.json()["data"]
