"""Workspaces' networks on a real engine: what is reachable from inside, and how they are kept."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from cellar_hub.spawner import inside, names
from cellar_hub.spawner.names import Names
from cellar_hub.spawner.networks import Networks, PoolExhausted
from docker.errors import NotFound

from tests.docker.engine import Site

pytestmark = pytest.mark.timeout(180)
POOL = ipaddress.IPv4Network("10.199.0.0/22")

TRY = """
import json, socket, sys, time
def attempt(host, port):
    began = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=3).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except socket.gaierror:
        return f"no name {time.monotonic() - began:.1f}"
    except OSError:
        return "silent"
print(json.dumps([attempt(host, port) for host, port in %s]))
"""


def attempts(site: Site, container: str, *targets: tuple[str, int]) -> list[str]:
    found: list[str] = site.inside(container, TRY % json.dumps(targets))
    return found


def gateway(site: Site, network: str) -> str:
    """The host's address in a network that has one."""
    (config,) = site.client.inspect_network(network)["IPAM"]["Config"]
    return str(config.get("Gateway") or next(ipaddress.IPv4Network(config["Subnet"]).hosts()))


@pytest.fixture
def networks(site: Site) -> Networks:
    return Networks(site.client, site.name, POOL)


@pytest.fixture
def box(site: Site, networks: Networks) -> str:
    """A workspace's container; hub, proxy and gateway are attached."""
    site.service("hub", 8081)
    site.service("proxy", 8000)
    site.service("gateway", 8080)
    return site.neighbour(networks.make(Names(site.name, "alice")), 8888)[0]


def test_a_workspace_reaches_hub_proxy_and_gateway_by_name(site: Site, box: str) -> None:
    assert attempts(site, box, ("hub", 8081), ("proxy", 8000), ("gateway", 8080)) == ["open"] * 3


@pytest.fixture
def on_every_address() -> Iterator[int]:
    """A server of the host that listens on all its addresses; its port."""
    with socket.create_server(("0.0.0.0", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


def test_a_workspace_reaches_no_internet_no_host_and_no_other_network(
    site: Site, networks: Networks, box: str, on_every_address: int
) -> None:
    _, other = site.neighbour(networks.make(Names(site.name, "bob")), 8888)
    (subnet,) = site.client.inspect_network(f"{site.name}-ws-alice")["IPAM"]["Config"]
    bridge, inside = gateway(site, "bridge"), gateway(site, site.net)
    hub = site.address(site.containers(**{names.SERVICE: "hub"})[0]["Id"], site.net)
    host = [(address, on_every_address) for address in (subnet["Gateway"], bridge, inside)]
    targets = [*host, ("1.1.1.1", 443), ("8.8.8.8", 53), ("169.254.169.254", 80), (other, 8888), (hub, 8081)]
    assert attempts(site, box, *targets) == ["silent"] * len(targets)


def test_a_program_that_asks_for_no_route_finds_no_address_of_a_service_on_another_network(
    site: Site, networks: Networks
) -> None:
    """Bound to the interface it may send anywhere, and Linux answers for all its addresses on every network, unless it
    is told not to. Whether such a packet then passes is up to rules of the host that come and go with Docker's
    version."""
    told, untold = site.service("gateway", 8080), site.service("bastion", 22, sysctls={})
    box, _ = site.neighbour(networks.make(Names(site.name, "alice")), 8888)
    addresses = [site.address(service, site.net) for service in (told, untold)]
    asked = json.dumps({"reach": [(address, 8080) for address in addresses], "names": [], "home": "/tmp"})
    code = f"import sys\nsys.argv[1:] = [{asked!r}]\n{Path(inside.__file__).read_text()}"
    found = site.inside(box, code)
    assert set(addresses) & set(found["answered"]) == {addresses[1]}
    assert found["reach"][0] == "silent"


def test_a_workspaces_only_way_out_is_an_address_that_nobody_has_and_there_is_no_ipv6(site: Site, box: str) -> None:
    code = """
import json, socket, struct
routes = [line.split()[1:3] for line in open("/proc/net/route").read().splitlines()[1:]]
ways = [socket.inet_ntoa(struct.pack("<I", int(way, 16))) for target, way in routes if target == "00000000"]
six = [line.split()[-1] for line in open("/proc/net/if_inet6").read().splitlines()]
print(json.dumps([ways, [each for each in six if each != "lo"]]))
"""
    found = site.client.inspect_network(f"{site.name}-ws-alice")
    ways, six = site.inside(box, code)
    assert six == []
    assert ways in ([], [found["IPAM"]["Config"][0]["Gateway"]])  # Docker 28's isolated networks have no way out at all
    assert not {each["IPv4Address"].split("/")[0] for each in found["Containers"].values()} & set(ways)


def test_names_of_the_outside_fail_within_seconds_and_no_question_leaves(site: Site, box: str) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        try:
            resolver.bind(("127.0.0.1", 53))  # where a question would go if the host's own loopback were asked
        except OSError:
            pytest.skip("port 53 of this machine is in use")
        resolver.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    heard.append(resolver.recv(2048))
                except TimeoutError:
                    pass

        listening = threading.Thread(target=listen)
        listening.start()
        answers = attempts(site, box, ("secret.example.com", 443), ("www.example.org", 80), ("database", 5432))
        over.set()
        listening.join()
    assert all(each.startswith("no name ") and float(each.split()[-1]) < 4 for each in answers), answers
    assert heard == []


def test_a_service_that_was_made_again_is_attached_again(site: Site, networks: Networks, box: str) -> None:
    (old,) = site.containers(**{names.SERVICE: "gateway"})
    site.client.remove_container(old["Id"], force=True)
    new = site.service("gateway", 8080)
    assert attempts(site, box, ("gateway", 8080)) != ["open"]
    attached, removed = networks.reconcile(young=0)
    assert (attached, removed) == ([f"gateway to {site.name}-ws-alice"], [])
    assert networks.reconcile(young=0) == ([], [])
    assert attempts(site, box, ("gateway", 8080), ("hub", 8081)) == ["open", "open"]
    assert site.address(new, f"{site.name}-ws-alice")


def test_a_restarted_service_stays_attached(site: Site, networks: Networks, box: str) -> None:
    (gateway,) = site.containers(**{names.SERVICE: "gateway"})
    site.client.restart(gateway["Id"], timeout=1)
    assert networks.reconcile(young=0) == ([], [])
    assert attempts(site, box, ("hub", 8081)) == ["open"]
    assert f"{site.name}-ws-alice" in site.client.inspect_container(gateway["Id"])["NetworkSettings"]["Networks"]


def test_orphaned_networks_go_and_young_ones_stay(site: Site, networks: Networks, box: str) -> None:
    orphan = networks.make(Names(site.name, "carol"))
    assert networks.reconcile(young=3600) == ([], [])
    assert networks.reconcile(young=0) == ([], [orphan])
    assert site.networks() == [f"{site.name}-ws-alice"]


def test_a_service_that_stood_still_while_a_network_went_starts_again(site: Site, networks: Networks, box: str) -> None:
    orphan = networks.make(Names(site.name, "carol"))
    (gateway,) = site.containers(**{names.SERVICE: "gateway"})
    site.client.stop(gateway["Id"], timeout=1)
    assert networks.remove(orphan)
    site.client.start(gateway["Id"])
    assert site.client.inspect_container(gateway["Id"])["State"]["Running"]


def test_another_sites_networks_and_foreign_ones_are_never_touched(
    client: docker.APIClient, base: str, site: Site, networks: Networks
) -> None:
    other = Site(client, base)
    try:
        theirs = Networks(client, other.name, POOL).make(Names(other.name, "alice"))
        foreign = f"{site.name}-ws-foreign"
        client.create_network(foreign, labels={"org.cellar.test": site.name})
        networks.reconcile(young=0)
        assert networks.remove(theirs) is False and networks.remove(foreign) is False
        assert client.inspect_network(theirs) and client.inspect_network(foreign)
    finally:
        other.close()


def test_many_starts_at_once_each_get_a_network_of_their_own(site: Site, networks: Networks) -> None:
    users = [f"user{number}" for number in range(8)]
    pool = ipaddress.IPv4Network("10.199.4.0/25")  # eight slices
    tight = Networks(site.client, site.name, pool)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda user: tight.make(Names(site.name, user)), users))
    subnets = {site.client.inspect_network(name)["IPAM"]["Config"][0]["Subnet"] for name in made}
    assert len(subnets) == 8 and all(ipaddress.IPv4Network(each).subnet_of(pool) for each in subnets)
    with pytest.raises(PoolExhausted, match=r"10\.199\.4\.0/25"):
        tight.make(Names(site.name, "one-too-many"))


def test_addresses_that_somebody_else_took_are_kept_clear_of(site: Site) -> None:
    pool = ipaddress.IPv4Network("10.199.5.0/27")  # two slices, one of them foreign
    ipam = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="10.199.5.0/28")])
    site.client.create_network(f"{site.name}-foreign", ipam=ipam, labels={"org.cellar.test": site.name})
    name = Networks(site.client, site.name, pool).make(Names(site.name, "alice"))
    assert site.client.inspect_network(name)["IPAM"]["Config"][0]["Subnet"] == "10.199.5.16/28"


def test_a_start_makes_the_network_anew(site: Site, networks: Networks) -> None:
    name = networks.make(Names(site.name, "alice"))
    before = site.client.inspect_network(name)["Id"]
    assert networks.make(Names(site.name, "alice")) == name
    with pytest.raises(NotFound):
        site.client.inspect_network(before)


def test_an_age_is_read_from_the_engines_clock(site: Site, networks: Networks) -> None:
    began = time.time()
    networks.make(Names(site.name, "alice"))
    (found,) = networks.found()
    assert -1 <= found.age <= time.time() - began + 2
