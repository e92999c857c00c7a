"""Which doors a forwarder opens, by leases and policy."""

from __future__ import annotations

import ipaddress

from cellar_hub.forwarder.doors import doors
from cellar_hub.leases import Lease, Network4
from cellar_hub.policy import parse_policy

POLICY = parse_policy(
    """
[[destinations]]
name = "warehouse.corp"
port = 5432
[[destinations]]
name = "wiki.corp"
port = 443
[groups.analysts]
destinations = ["warehouse.corp:5432", "wiki.corp:443"]
[groups.readers]
destinations = ["wiki.corp:443"]
""",
    "policy.toml",
)
KIM, LEE = Network4("10.213.0.16/28"), Network4("10.213.0.32/28")
HERE = [ipaddress.IPv4Interface(each) for each in ("10.213.0.18/28", "10.213.0.34/28", "172.20.0.2/16")]
EVERYTHING = ("warehouse.corp:5432", "wiki.corp:443")


def opened(*leases: tuple[Network4, Lease], number: int = 1) -> dict[tuple[str, int], tuple[str, str]]:
    found = doors(dict(leases), POLICY, number, HERE)
    return {place: (door.user, door.destination.key) for place, door in found.items()}


def test_a_door_is_on_the_users_network_and_on_the_destinations_port() -> None:
    kim = Lease(user="kim", groups=("analysts",), shares={1: EVERYTHING})
    lee = Lease(user="lee", groups=("readers",), shares={1: ("wiki.corp:443",)})
    assert opened((KIM, kim), (LEE, lee)) == {
        ("10.213.0.18", 5432): ("kim", "warehouse.corp:5432"),
        ("10.213.0.18", 443): ("kim", "wiki.corp:443"),
        ("10.213.0.34", 443): ("lee", "wiki.corp:443"),
    }


def test_a_forwarder_serves_only_its_own_share() -> None:
    kim = Lease(user="kim", groups=("analysts",), shares={1: EVERYTHING[:1], 2: EVERYTHING[1:]})
    assert opened((KIM, kim), number=2) == {("10.213.0.18", 443): ("kim", "wiki.corp:443")}
    assert opened((KIM, kim), number=3) == {}


def test_a_lease_opens_nothing_that_the_policy_does_not_give_to_its_groups() -> None:
    lee = Lease(user="lee", groups=("readers", "unknown"), shares={1: (*EVERYTHING, "other.corp:22", "hub:8081")})
    assert opened((LEE, lee)) == {("10.213.0.34", 443): ("lee", "wiki.corp:443")}


def test_a_network_that_this_forwarder_is_not_on_has_no_door() -> None:
    kim = Lease(user="kim", groups=("analysts",), shares={1: EVERYTHING})
    assert opened((Network4("10.213.0.48/28"), kim), (Network4("10.213.0.0/24"), kim)) == {}
