"""kill -9 of each service while an answer streams: workspaces stay, and nothing is left over."""

from __future__ import annotations

import json
import re

import pytest
from cellar_hub.spawner import names

from tests.docker.site.installation import Installation
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream
from tests.docker.site.test_5_network import answers
from tests.ui.lab import wait_until

SURVIVES = {"hub", "proxy", "socketfilter"}
"""Services through which an answer in a workspace does not go."""

ROUTES = """
import http.client, json, os, socket
class Proxy(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/cellar/proxy.sock")
asking = Proxy("proxy")
asking.request("GET", "/api/routes", headers={"Authorization": "token " + os.environ["CONFIGPROXY_AUTH_TOKEN"]})
print(json.dumps(sorted(json.loads(asking.getresponse().read()))))
"""
RESERVATIONS = """
import os, sqlite3
books = sqlite3.connect("file:/var/lib/cellar/cellar.db?mode=ro", uri=True)
print(books.execute("select count(*) from cellar_reservation").fetchone()[0])
"""


@pytest.mark.parametrize("service", ["gateway", "hub", "proxy", "model", "socketfilter"])
def test_workspaces_and_what_does_not_need_it_live_on_when_a_service_is_killed(
    site: Installation, two: tuple[Person, Person], service: str, long_answers: None
) -> None:
    ada, _ = two
    before = {name: site.workspace(name) for name in ("ada", "ben")}
    assert all(before.values())
    with Stream.inside(site, "ada", **LONG) as stream:
        stream.wait_for_text()
        site.kill(service)
        if service in SURVIVES:
            stream.wait_for_text(20)
        else:
            assert stream.wait_for_end(60).startswith(("error", "cut"))
    wait_until(lambda: answers(site, "ada"), "answers again", timeout=60)
    wait_until(lambda: page_answers(ada), "the user's server through the proxy", timeout=90)
    assert {name: site.workspace(name) for name in before} == before


def page_answers(person: Person) -> bool:
    return bool(person.context.request.get(person.url("api/contents")).status == 200)


def test_nothing_is_left_over_after_all_of_it(site: Installation, two: tuple[Person, Person]) -> None:
    users = {"ada", "ben"}
    label = [f"{names.SITE}={site.name}", names.KIND]
    found = site.client.containers(all=True, filters={"label": label})
    assert {each["Labels"][names.USER] for each in found} == users
    networks = {each["Name"] for each in site.client.networks(filters={"label": label})}
    assert networks == {f"{site.name}-ws-{name}" for name in users}
    for network in networks:
        on = site.client.inspect_network(network)["Containers"]
        assert {site.service(name) for name in ("hub", "proxy", "gateway")} < set(on)
        assert len(on) == 4, "three services and one workspace"
    routes = site.inside(site.service("hub"), ROUTES)
    assert set(routes) == {"/", "/services/cellar", *(f"/user/{name}" for name in users)}
    wait_until(lambda: site.inside(site.service("gateway"), RESERVATIONS) == 0, "no reservation to be held")


def test_the_audit_is_whole_and_every_request_in_it_has_its_end(site: Installation, two: tuple[Person, Person]) -> None:
    said = site.command("audit", "verify")
    assert "The audit is whole." in said
    assert re.search(r"gateway-1: \d+ rows, 0 sealed, 0 without an end", said), said
    rows = [json.loads(line) for line in site.command("audit", "export", "--format", "jsonl").splitlines()]
    requests = [row for row in rows if row.get("request_id")]
    assert requests
    assert not [row for row in requests if not row.get("outcome")]


def test_the_doctor_finds_everything_well(site: Installation, two: tuple[Person, Person]) -> None:
    assert "Everything works together." in site.command("check")
    assert "Everything works together." in site.compose("exec", "-T", "gateway", "cellar-hub", "check")
