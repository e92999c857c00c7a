"""Destinations in the building, tried from inside of workspaces on a real engine, through real forwarders."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest
from cellar_hub.spawner import names

from tests.docker.engine import LISTENER, SYSCTLS, Hub, Site, wait_for

pytestmark = pytest.mark.timeout(300)
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
        labels = {"org.cellar.test": self.site.name}
        command = ["python3", "-c", LISTENER, name, str(port)]
        return self.site.run(f"{self.site.name}-{name}", command, labels, self.site.net, name)

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
