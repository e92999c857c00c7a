"""Destinations in the building, tried from inside of workspaces on a real engine, through real forwarders."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import docker
import msgspec
import pytest
from cellar_hub.leases import Lease, Network4, file_name
from cellar_hub.spawner import names

from tests.docker.engine import LISTENER, SYSCTLS, TEST, Hub, Site, wait_for
from tests.docker.test_networks import attempts

pytestmark = pytest.mark.timeout(400)
POOL = "10.199.20.0/24"
POLICY = """
[[destinations]]
name = "warehouse.corp"
port = 5432
to = "warehouse:5432"

[[destinations]]
name = "wiki.corp"
port = 443
to = "wiki:8443"

[[destinations]]
name = "git.corp"
port = 443
to = "git:8443"

[[destinations]]
name = "rebound.corp"
port = 8081
to = "rebound:8081"

[[destinations]]
name = "third.corp"
port = 443
to = "wiki:8443"

[groups.analysts]
destinations = [{analysts}]

[groups.writers]
destinations = ["third.corp:443"]
"""
ALL = ("warehouse.corp:5432", "wiki.corp:443", "git.corp:443", "rebound.corp:8081")
TOKEN = "forwarder-token-0123456789"

GET = """
import json, socket, sys
def get(host, port):
    try:
        with socket.create_connection((host, port), timeout=5) as s:
            s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            said = b""
            while piece := s.recv(4096):
                said += piece
    except OSError as error:
        return type(error).__name__
    return said.rpartition(b"\\r\\n\\r\\n")[2].decode()
print(json.dumps([get(host, port) for host, port in %s]))
"""


REPLACE = """
import os
open("/data/policy.part", "w").write(%r)
os.replace("/data/policy.part", "/data/policy.toml")
print("null")
"""


HOLD = """
import pathlib, socket
file = pathlib.Path(%r)
with socket.create_connection(%r, timeout=5) as s:
    s.settimeout(120)
    file.write_text("held")
    try:
        file.write_text("ended" if s.recv(1) == b"" else "said something")
    except ConnectionError:
        file.write_text("ended")
    except TimeoutError:
        file.write_text("still there")
"""
READ = """
import json, pathlib
file = pathlib.Path(%r)
print(json.dumps(file.read_text() if file.exists() else ""))
"""
LEASES = """
import glob, json
print(json.dumps([open(file).read() for file in glob.glob("/data/leases/*")]))
"""


class Held:
    """A program in a workspace that holds a connection, and writes into a file what became of it."""

    def __init__(self, building: Building, workspace: str, target: tuple[str, int]) -> None:
        self._building, self._workspace = building, workspace
        self._file = f"/tmp/held-{secrets.token_hex(4)}"
        client = building.site.client
        made = client.exec_create(workspace, ["python3", "-c", HOLD % (self._file, target)])
        client.exec_start(made["Id"], detach=True)
        self._wait_for("held")

    def wait_for_end(self) -> None:
        self._wait_for("ended")

    def _wait_for(self, word: str) -> None:
        site = self._building.site
        wait_for(lambda: site.inside(self._workspace, READ % self._file) == word, 90, self._building.log)


class Building:
    """A site with two forwarders, servers beside it, and Ann, an analyst, and Bob, who is in no group."""

    def __init__(self, client: docker.APIClient, base: str, image: str) -> None:
        self.site = Site(client, base)
        self.site.service("proxy", 8000)
        self.gateway = self.site.service("gateway", 8080, 8090)
        self.hub = Hub(self.site, image, POOL, CELLAR_FORWARDERS="2", CELLAR_LEASES="/data/leases")
        self.forwarders: dict[int, str] = {}

    def start(self) -> None:
        for name, port in (("warehouse", 5432), ("wiki", 8443), ("git", 8443)):
            self.server(name, port)
        self.hub.env["CELLAR_POLICY"] = "/data/policy.toml"
        self.hub.write("policy.toml", policy(ALL))
        self.hub.write("leases/README", "")
        self.hub.start()
        for number in (1, 2):
            self.start_forwarder(number)
        self.hub.call("POST", "/groups/analysts")
        for user in ("ann", "bob"):
            self.hub.call("POST", f"/users/{user}")
        self.hub.call("POST", "/groups/analysts/users", {"users": ["ann"]})
        for user in ("ann", "bob"):
            assert self.hub.start_server(user)["ready"], self.hub.log()

    def server(self, name: str, port: int) -> str:
        """A server of the building: what it is asked, it answers with its name."""
        command = ["python3", "-c", LISTENER, name, str(port)]
        return self.site.run(f"{self.site.name}-{name}", command, {}, self.site.net, name)

    def start_forwarder(self, number: int) -> None:
        site = self.site
        env = {
            **{name: self.hub.env[name] for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "CELLAR_WORKSPACE_POOL")},
            "CELLAR_POLICY": "/data/policy.toml",
            "CELLAR_LEASES": "/data/leases",
            "CELLAR_FORWARDER_NUMBER": str(number),
            "CELLAR_FORWARDER_TOKEN": TOKEN,
            "CELLAR_REPORT_URL": "http://gateway:8090/forwarded",
        }
        self.forwarders[number] = site.run(
            f"{site.name}-forwarder-{number}",
            ["python3", "-m", "cellar_hub.forwarder"],
            {names.SITE: site.name, names.SERVICE: "forwarder", names.FORWARDER: str(number)},
            site.net,
            environment=env,
            binds=[*self.hub._code, f"{self.hub.data}:/data:ro"],
            cap_drop=["ALL"],
            read_only=True,
            tmpfs={"/tmp": ""},
            sysctls=SYSCTLS | {"net.ipv4.ip_unprivileged_port_start": "0"},
        )

    def reports(self) -> list[dict[str, Any]]:
        """What the gateway's second port was told: its listener prints path, token and body of each post."""
        lines = self.site.client.logs(self.gateway).decode().splitlines()
        start = f"/forwarded token {TOKEN} "
        bodies = [json.loads(line.removeprefix(start)) for line in lines if line.startswith(start)]
        return [report for body in bodies for report in body["reports"]]

    def held(self, user: str, target: tuple[str, int]) -> Held:
        """A connection from a workspace that says nothing, as an idle database's."""
        return Held(self, self.workspace(user), target)

    def workspace(self, user: str) -> str:
        return names.Names(self.site.name, user).own

    def ask(self, user: str, *targets: tuple[str, int]) -> list[str]:
        """What the servers say, asked from inside of a user's workspace."""
        found: list[str] = self.site.inside(self.workspace(user), GET % json.dumps(targets))
        return found

    def wait_for(self, user: str, *expected: tuple[str, int, str]) -> None:
        targets = [(host, port) for host, port, _ in expected]
        wait_for(lambda: self.ask(user, *targets) == [said for *_, said in expected], 90, self.log)

    def log(self) -> str:
        said = [self.site.said_by(each) for each in self.forwarders.values()]
        return "\n--- forwarder\n".join([self.hub.log(), *said])

    def set_policy(self, text: str) -> None:
        self.site.inside(self.hub.id, REPLACE % (text,))


def policy(keys: tuple[str, ...]) -> str:
    return POLICY.replace("{analysts}", ", ".join(f'"{each}"' for each in keys))


@pytest.fixture(scope="module")
def building(client: docker.APIClient, base: str, workspace_image: str) -> Iterator[Building]:
    made = Building(client, base, workspace_image)
    try:
        made.start()
        yield made
    finally:
        made.site.close()


def test_a_destination_answers_under_its_name_and_its_port(building: Building) -> None:
    building.wait_for(
        "ann", ("warehouse.corp", 5432, "warehouse"), ("wiki.corp", 443, "wiki"), ("git.corp", 443, "git")
    )


def test_everything_else_stays_closed(building: Building) -> None:
    """A destination's other ports, the forwarder's, what stands beside the destination, the outside."""
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"))
    site = building.site
    outside = site.client.inspect_network(site.net)["IPAM"]["Config"][0]
    host = str(outside.get("Gateway"))
    targets = [
        (site.address(f"{site.name}-warehouse", site.net), 5432),
        (site.address(f"{site.name}-wiki", site.net), 8443),
        (site.address(building.forwarders[1], site.net), 5432),
        (host, 22),
        *(("1.1.1.1", 443), ("8.8.8.8", 53), ("169.254.169.254", 80), ("2606:4700:4700::1111", 443)),
    ]
    assert attempts(site, building.workspace("ann"), *targets) == ["silent"] * len(targets)
    shut = [("warehouse.corp", port) for port in (22, 80, 443 + 1, 8080, 8443)] + [("wiki.corp", 8443)]
    assert attempts(site, building.workspace("ann"), *shut) == ["refused"] * len(shut)
    unknown = [(name, 443) for name in ("warehouse", "wiki", "third.corp", "example.com", "forwarder", "gateway-2")]
    assert all(each.startswith("no name") for each in attempts(site, building.workspace("ann"), *unknown))


CHECK = """
import contextlib, io, json, os, sys
from cellar_hub.commands import checks
with contextlib.redirect_stdout(io.StringIO()) as said:
    checks.run(None, os.environ)
print(json.dumps(said.getvalue().splitlines()))
"""


def test_the_doctor_in_a_forwarder_tries_each_destination(building: Building) -> None:
    """Its gateway here listens and answers nothing but posts; rebound's name is nobody's yet."""
    said = building.site.inside(building.forwarders[1], CHECK)
    found = {line.split(": ")[0]: line.split(": ", 1)[1] for line in said[:-1]}
    assert found["ok    destination warehouse.corp:5432"].endswith(" port 5432 answers")
    assert found["ok    destination wiki.corp:443"].endswith(" port 8443 answers")
    assert found["FAIL  destination rebound.corp:8081"].startswith("rebound: ")


def test_the_doctor_in_the_hub_misses_a_forwarder_that_does_not_run(building: Building) -> None:
    def said() -> str:
        lines: list[str] = building.site.inside(building.hub.id, CHECK)
        (line,) = [each for each in lines if "forwarders: " in each]
        return line

    assert said() == "ok    forwarders: 2 run"
    building.site.client.stop(building.forwarders[2], timeout=1)
    try:
        assert said() == "FAIL  forwarders: number 2 does not run: its users' destinations are closed"
    finally:
        building.site.client.start(building.forwarders[2])
    building.wait_for("ann", ("git.corp", 443, "git"))


def test_the_hubs_services_are_still_there_under_their_names(building: Building) -> None:
    assert building.ask("ann", ("gateway", 8080), ("proxy", 8000)) == ["gateway", "proxy"]


def test_a_user_without_the_group_has_neither_name_nor_address(building: Building) -> None:
    site = building.site
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"))
    names_ = [("warehouse.corp", 5432), ("wiki.corp", 443)]
    assert all(each.startswith("no name") for each in attempts(site, building.workspace("bob"), *names_))
    of_ann = [(site.address(each, building.workspace("ann")), 5432) for each in building.forwarders.values()]
    assert attempts(site, building.workspace("bob"), *of_ann) == ["silent", "silent"]
    (config,) = site.client.inspect_network(building.workspace("bob"))["IPAM"]["Config"]
    here = [(str(each), port) for each in Network4(config["Subnet"]).hosts() for port in (443, 5432)]
    assert "open" not in attempts(site, building.workspace("bob"), *here)


def test_each_connection_is_reported_with_user_and_destination(building: Building) -> None:
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"))

    def reported() -> bool:
        return any(
            each["user"] == "ann" and each["destination"] == "warehouse.corp:5432" and each["outcome"] == "opened"
            for each in building.reports()
        )

    wait_for(reported, 30, building.log)


def test_a_name_that_leads_into_a_network_of_the_hubs_own_is_refused(building: Building) -> None:
    """Whatever the building's DNS says: here, to a network without a way out that the forwarder is on."""
    site = building.site
    inner = f"{site.name}-inner"
    site.client.create_network(inner, internal=True, labels={TEST: site.name}, check_duplicate=True)
    command = ["python3", "-c", LISTENER, "rebound", "8081"]
    site.run(f"{site.name}-rebound", command, {}, inner, "rebound")
    for forwarder in building.forwarders.values():
        site.client.connect_container_to_network(forwarder, inner)
    assert building.ask("ann", ("rebound.corp", 8081)) == [""]
    wait_for(lambda: "the site's own" in building.log(), 20, building.log)
    assert building.ask("ann", ("warehouse.corp", 5432)) == ["warehouse"]


def test_what_the_policy_takes_away_ends_at_once_with_its_connections_and_comes_back(building: Building) -> None:
    building.wait_for("ann", ("wiki.corp", 443, "wiki"), ("git.corp", 443, "git"))
    wiki, git = building.held("ann", ("wiki.corp", 443)), building.held("ann", ("git.corp", 443))
    building.set_policy(policy(("warehouse.corp:5432", "git.corp:443")))
    wiki.wait_for_end()
    wait_for(
        lambda: attempts(building.site, building.workspace("ann"), ("wiki.corp", 443))[0].startswith("no name"),
        90,
        building.log,
    )
    git.wait_for_end()  # it is the first of its port now: another forwarder has its name
    building.wait_for("ann", ("git.corp", 443, "git"), ("warehouse.corp", 5432, "warehouse"))
    building.set_policy(policy(ALL))
    building.wait_for("ann", ("wiki.corp", 443, "wiki"), ("git.corp", 443, "git"))


def test_a_broken_policy_changes_nothing(building: Building) -> None:
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"))
    building.set_policy("[groups.analysts\n")
    wait_for(lambda: "the policy stays as it was" in building.site.said_by(building.forwarders[1]), 20, building.log)
    assert building.ask("ann", ("warehouse.corp", 5432)) == ["warehouse"]
    building.set_policy(policy(ALL))


def test_a_forwarder_that_was_killed_or_made_again_serves_again(building: Building) -> None:
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"))
    client = building.site.client
    client.kill(building.forwarders[1], "SIGKILL")
    client.start(building.forwarders[1])
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"), ("git.corp", 443, "git"))
    client.remove_container(building.forwarders[1], force=True)
    building.start_forwarder(1)
    building.wait_for("ann", ("warehouse.corp", 5432, "warehouse"), ("git.corp", 443, "git"))


def test_who_leaves_the_group_loses_the_destinations_and_who_joins_gets_them(building: Building) -> None:
    building.hub.call("POST", "/groups/analysts/users", {"users": ["bob"]})
    building.wait_for("bob", ("warehouse.corp", 5432, "warehouse"))
    connection = building.held("bob", ("warehouse.corp", 5432))
    building.hub.call("DELETE", "/groups/analysts/users", {"users": ["bob"]})
    connection.wait_for_end()
    gone = ("warehouse.corp", 5432)
    wait_for(
        lambda: attempts(building.site, building.workspace("bob"), gone)[0].startswith("no name"), 90, building.log
    )


def test_a_hub_that_was_taken_over_opens_nothing_that_is_not_listed(building: Building) -> None:
    """It may write leases, and attach forwarders; and its keeper mends nothing any more."""
    site, hub, bob = building.site, building.hub, building.workspace("bob")
    (config,) = site.client.inspect_network(bob)["IPAM"]["Config"]
    file = f"leases/{file_name(Network4(config['Subnet']))}"
    lies = Lease(
        user="bob",
        groups=("writers", "no-such-group"),
        network=bob,
        shares={1: ("warehouse.corp:5432", "hub:8081", "third.corp:443", "1.1.1.1:443")},
    )
    site.client.pause(hub.id)
    try:
        site.client.connect_container_to_network(building.forwarders[1], bob, aliases=["anything.corp"])
        hub.write(file, msgspec.json.encode(lies).decode())
        wait_for(lambda: "third.corp:443 for bob" in site.said_by(building.forwarders[1]), 30, building.log)
        tried = [("anything.corp", port) for port in (443, 5432, 8081)]
        assert attempts(site, bob, *tried) == ["open", "refused", "refused"]
        hub.write(file, "{broken")
        wait_for(lambda: attempts(site, bob, tried[0]) == ["refused"], 30, building.log)
        assert building.ask("ann", ("warehouse.corp", 5432)) == ["warehouse"]
    finally:
        site.client.unpause(hub.id)


def test_a_user_with_too_many_destinations_for_a_port_is_told_at_the_start_and_has_the_others(
    building: Building,
) -> None:
    hub = building.hub
    hub.call("POST", "/users/carol")
    hub.call("POST", "/groups/writers")
    for group in ("analysts", "writers"):
        hub.call("POST", f"/groups/{group}/users", {"users": ["carol"]})
    hub.call("POST", "/users/carol/server", {})
    told = [each["message"] for each in hub.progress("carol")]
    assert any("third.corp:443" in each for each in told), told
    hub.wait_until_ready("carol")
    assert "carol cannot reach third.corp:443" in hub.log()
    building.wait_for("carol", ("wiki.corp", 443, "wiki"), ("git.corp", 443, "git"))
    hub.stop_server("carol")


def test_a_stopped_workspace_leaves_no_lease_and_no_attachment(building: Building) -> None:
    hub, site = building.hub, building.site
    hub.call("POST", "/users/dora")
    hub.call("POST", "/groups/analysts/users", {"users": ["dora"]})
    hub.start_server("dora")
    building.wait_for("dora", ("warehouse.corp", 5432, "warehouse"))
    network = building.workspace("dora")
    hub.stop_server("dora")
    wait_for(lambda: network not in site.networks(), 60, building.log)
    leases = site.inside(
        hub.id, "import glob, json; print(json.dumps([open(f).read() for f in glob.glob('/data/leases/*')]))"
    )
    assert not [each for each in leases if "dora" in each]
    wait_for(lambda: "shut: warehouse.corp:5432 for dora" in site.said_by(building.forwarders[1]), 20, building.log)
