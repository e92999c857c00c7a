"""What can be reached from inside of a running workspace, before and after the services were made anew."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cellar_hub.spawner import inside
from playwright.sync_api import expect

from tests.docker.engine import TEST
from tests.docker.site.installation import Installation
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream
from tests.ui.lab import wait_until

OPEN = (("hub", 8081), ("proxy", 8000), ("gateway", 8080))
OUTSIDE = (("1.1.1.1", 443), ("8.8.8.8", 53), ("169.254.169.254", 80), ("2606:4700:4700::1111", 443))
CLOSED = (("proxy", 8001), ("gateway", 8090), ("gateway", 8001), ("hub", 8000), ("hub", 22), ("hub", 5432))
"""Ports of the services themselves: the proxy's REST API, the gateway's operations, a model server, a database."""
NAMES = ("example.com", "host.docker.internal", "gateway-control", "hub-control", "model", "postgres", "redis")
WAY_IN = ("a way to it", "no way")


@pytest.fixture
def host_port() -> Iterator[int]:
    """A port on which this machine listens on all its addresses."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield int(server.getsockname()[1])


def host_addresses(site: Installation) -> set[str]:
    """This machine's own, and the first of every network, where Docker puts the machine."""
    done = subprocess.run(["hostname", "-I"], capture_output=True, text=True)
    found = {each for each in done.stdout.split() if "." in each}
    for network in site.client.networks():
        for config in (network["IPAM"] or {}).get("Config") or []:
            if "." in config.get("Subnet", ""):
                found.add(str(ipaddress.IPv4Network(config["Subnet"])[1]))
    return found


def behind(site: Installation) -> list[tuple[str, int]]:
    """Addresses of services on networks of their own, with the ports that really listen there."""
    ports = {"model": 8001, "gateway": 8090, "hub": 8081, "proxy": 8000}
    own = f"{site.name}_"
    found = []
    for service, port in ports.items():
        networks = site.client.inspect_container(site.service(service))["NetworkSettings"]["Networks"]
        found += [(each["IPAddress"], port) for name, each in networks.items() if name.startswith(own)]
    assert len(found) > 4
    return found


def assert_sealed(site: Installation, user: str, other: str, port: int) -> None:
    """The network contract, tried from inside of the user's workspace."""
    container = site.workspace(user)
    neighbour = site.workspace(other)
    beside = (site.address(neighbour, f"{site.name}-ws-{other}"), 8888)
    hosts = [(address, each) for address in sorted(host_addresses(site)) for each in (port, 22, 2375, site.port)]
    silent = [*OUTSIDE, beside, *hosts, *behind(site)]
    asked = {"reach": [*OPEN, *CLOSED, *silent], "names": NAMES, "home": "/home/user"}
    found = site.inside(container, Path(inside.__file__).read_text(), json.dumps(asked))
    state = dict(zip([tuple(each) for each in asked["reach"]], found["reach"], strict=True))
    assert {address: state[address] for address in OPEN} == dict.fromkeys(OPEN, "open")
    assert not [address for address in CLOSED if state[address] == "open"]
    # a refusal is an answer, too: there would be a way
    assert not {address: state[address] for address in silent if state[address] in ("open", "refused")}
    led = {name: where for name, where in zip(NAMES, found["names"], strict=True) if isinstance(where, str)}
    assert not led, "names that lead somewhere"


def test_a_workspace_reaches_hub_proxy_and_gateway_and_nothing_else(
    site: Installation, two: tuple[Person, Person], host_port: int
) -> None:
    assert_sealed(site, "ada", "ben", host_port)


def test_a_neighbour_on_the_same_machine_does_answer_itself(site: Installation, two: tuple[Person, Person]) -> None:
    """So that "silent" above means closed, and not that nobody listened."""
    asked = {"reach": [["127.0.0.1", 8888]], "names": [], "home": "/home/user"}
    here = site.inside(site.workspace("ben"), Path(inside.__file__).read_text(), json.dumps(asked))
    [address] = {site.address(site.workspace("ben"), f"{site.name}-ws-ben")}
    asked = {"reach": [[address, 8888]], "names": [], "home": "/home/user"}
    own = site.inside(site.workspace("ben"), Path(inside.__file__).read_text(), json.dumps(asked))
    assert "open" in (*here["reach"], *own["reach"])


LISTENING = """
import json, socket
found = []
for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
    for line in open(f"/proc/net/{table}").readlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, _, port = local.partition(":")
        words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
        if state == "0A":
            found.append([socket.inet_ntop(family, b"".join(words)), int(port, 16)])
print(json.dumps(found))
"""


@pytest.mark.parametrize(("service", "port"), OPEN)
def test_a_service_listens_on_that_port_and_on_no_other_that_a_workspace_reaches(
    site: Installation, two: tuple[Person, Person], service: str, port: int
) -> None:
    container = site.service(service)
    own = {address: each for each, address in addresses(site, container).items()}
    everywhere = ("0.0.0.0", "::")
    found = {(where, at) for where, at in site.inside(container, LISTENING) if not where.startswith("127.")}
    elsewhere = {(own.get(where, where), at) for where, at in found if where not in everywhere}
    assert {at for where, at in found if where in everywhere} == {port}
    assert elsewhere == ({(f"{site.name}_control", 8090)} if service == "gateway" else set())


def test_the_hubs_own_metrics_are_not_for_workspaces(site: Installation, two: tuple[Person, Person]) -> None:
    ask = """
import os, urllib.error, urllib.request as r
ask = r.Request("http://hub:8081/hub/metrics", headers={"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]})
try:
    print(r.urlopen(ask, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
    assert site.inside(site.workspace("ada"), ask) == 403


def addresses(site: Installation, container: str) -> dict[str, str]:
    """By network."""
    networks = site.client.inspect_container(container)["NetworkSettings"]["Networks"]
    return {name: each["IPAddress"] for name, each in networks.items()}


ASK = """
import asyncio, os, socket, sys
from ipaddress import IPv4Network
from cellar_hub.resolver import StackResolver
async def ask(name):
    if sys.argv[1] == "system":
        return socket.getaddrinfo(name, 80)
    return await StackResolver(IPv4Network(os.environ["CELLAR_WORKSPACE_POOL"])).resolve(name, 80)
for name in ("hub-control", "no-such-service"):
    try:
        print(name, bool(asyncio.run(ask(name))))
    except OSError:
        print(name, "unknown")
"""


@pytest.mark.parametrize(("service", "how"), [("proxy", "system"), ("hub", "system"), ("gateway", "stack")])
def test_a_service_that_does_not_run_is_looked_for_nowhere_else(site: Installation, service: str, how: str) -> None:
    """Whatever the building's DNS says: some answer for every name, and would be sent users' requests."""
    said = site.run_inside(site.service(service), ASK, how).split()
    assert said == ["hub-control", "True", "no-such-service", "unknown"]


DNS = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", 53))
    print("ready", flush=True)
    while True:
        asked, client = server.recvfrom(512)
        end = asked.index(b"\\0", 12) + 5
        answer = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 203, 0, 113, 9]) if asked[end - 3] == 1 else b""
        head = asked[:2] + bytes([0x81, 0x80, 0, 1, 0, bool(answer), 0, 0, 0, 0])
        server.sendto(head + asked[12:end] + answer, client)
"""
"""A building's DNS that has an address for every name."""
BELIEVE = """
import asyncio, json, os, socket, sys
from ipaddress import IPv4Network
from redis.asyncio import Redis
from redis.exceptions import RedisError
from cellar_hub.hubapi import HubApi, HubRefused
from cellar_hub.gateway.shared import connections
from cellar_hub.resolver import near_url
pool, said = IPv4Network(sys.argv[1]), {"the building": socket.gethostbyname("redis")}
async def ping():
    await Redis(connection_pool=connections("redis://redis:6379/0", pool)).ping()
for who, ask in {
    "redis": lambda: asyncio.run(ping()),
    "command line": lambda: HubApi("http://no-hub:8081/hub/api", "secret", pool).ask("GET", "/"),
    "hub": lambda: near_url("http://no-gateway:8090", pool),
    "one that runs": lambda: near_url("http://hub-control:8081", pool),
}.items():
    try:
        said[who] = ask()
    except (OSError, RedisError, HubRefused) as error:
        said[who] = str(error)
print(json.dumps(said))
"""


def test_no_client_of_the_stack_believes_a_building_that_answers_for_a_container_that_does_not_run(
    site: Installation,
) -> None:
    image = site.client.inspect_container(site.service("hub"))["Image"]
    network = f"{site.name}_control"

    @contextmanager
    def running(code: str, *arguments: str, **more: object) -> Iterator[str]:
        made = site.client.create_container(
            image,
            ["python", "-u", "-c", code, *arguments],
            host_config=site.client.create_host_config(network_mode=network, **more),
            labels={TEST: site.name},
        )["Id"]
        try:
            site.client.start(made)
            yield made
        finally:
            site.client.remove_container(made, force=True)

    with running(DNS) as dns:
        wait_until(lambda: b"ready" in site.client.logs(dns), "the building's DNS")
        pool = site.stack.settings["CELLAR_WORKSPACE_POOL"]
        with running(BELIEVE, pool, dns=[site.address(dns, network)]) as asking:
            assert site.client.wait(asking)["StatusCode"] == 0, site.client.logs(asking)
            said = json.loads(site.client.logs(asking))
    assert said.pop("the building") == "203.0.113.9"
    assert said.pop("one that runs") == f"http://{site.address(site.service('hub'), network)}:8081"
    assert len(said) == 3 and all("no container" in each for each in said.values()), said


def test_services_made_anew_under_a_running_answer_are_as_closed_as_before(
    site: Installation, two: tuple[Person, Person], host_port: int, long_answers: None
) -> None:
    ada, _ = two
    before = {name: site.service(name) for name in ("gateway", "proxy")}
    workspaces = [site.workspace(name) for name in ("ada", "ben")]
    ada.panel.show()
    with Stream.inside(site, "ada", **LONG) as stream:
        stream.wait_for_text()
        ada.panel.ask("Count from one to one hundred.")
        expect(ada.panel.last_turn).to_have_attribute("data-state", re.compile("running|complete"), timeout=30_000)
        site.compose("up", "-d", "--force-recreate", "--no-deps", "gateway", "proxy")
        assert stream.wait_for_end(90).startswith(("done", "error", "cut"))
        assert stream.text
    assert all(site.service(name) != container for name, container in before.items())
    assert [site.workspace(name) for name in ("ada", "ben")] == workspaces, "workspaces stay"
    wait_until(lambda: answers(site, "ada"), "the gateway to be attached again", timeout=150)
    # the page comes back by itself, and the turn has an end and what was written before it
    ada.panel.expect_state("complete", "length", "interrupted", "error", seconds=90)
    expect(ada.panel.last_turn.locator(".jp-Cellar-answer, .jp-Cellar-error").first).to_be_visible()
    ada.shot("8-after-recreation")
    assert_sealed(site, "ada", "ben", host_port)
    with Stream.inside(site, "ben", max_tokens=5) as stream:
        assert stream.wait_for_end().startswith("done")


def answers(site: Installation, user: str) -> bool:
    with Stream.inside(site, user, max_tokens=3) as stream:
        return stream.wait_for_end() == "done"
