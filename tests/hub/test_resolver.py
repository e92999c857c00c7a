"""Whose address a name may have, for clients that carry tokens and prompts."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest
from cellar_hub.interfaces import Interface
from cellar_hub.resolver import StackResolver, near_url

POOL = IPv4Network("10.213.0.0/16")
HERE = [Interface("172.20.0.3/16"), Interface("172.30.0.2/16"), Interface("10.213.0.19/28")]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The system's resolver says these addresses, whatever it is asked."""

    def says(*addresses: str) -> None:
        def asked(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (a, port, 0, 0)) for a in addresses if ":" in a]
            four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses if ":" not in a]
            return [*four, *six]

        monkeypatch.setattr(socket, "getaddrinfo", asked)

    return says


async def resolved(name: str) -> list[str]:
    resolver = StackResolver(POOL, lambda: HERE)
    try:
        return [each["host"] for each in await resolver.resolve(name, 8081, socket.AF_UNSPEC)]
    finally:
        await resolver.close()


async def test_a_container_is_found_on_the_networks_that_this_one_is_on(dns: Callable[..., None]) -> None:
    dns("172.20.0.5", "172.30.0.4")
    assert await resolved("hub") == ["172.20.0.5", "172.30.0.4"]


@pytest.mark.parametrize("address", ["10.255.255.80", "93.184.216.34", "2001:db8::1", "10.213.0.18"])
async def test_who_answers_for_a_containers_name_from_elsewhere_is_not_believed(
    dns: Callable[..., None], address: str
) -> None:
    """The last one is on a workspace's network that this container is on, too: its user may listen there."""
    dns(address)
    for name in ("hub", "hub."):
        with pytest.raises(OSError, match=r"no container 'hub.?' runs .* its whole name"):
            await resolved(name)


async def test_of_several_addresses_only_those_nearby_are_left(dns: Callable[..., None]) -> None:
    dns("93.184.216.34", "172.20.0.5")
    assert await resolved("model") == ["172.20.0.5"]


async def test_a_whole_name_may_lead_anywhere_in_the_building(dns: Callable[..., None]) -> None:
    dns("10.8.1.5")
    assert await resolved("gpu1.corp.example") == ["10.8.1.5"]


async def test_this_machine_itself_is_near(dns: Callable[..., None]) -> None:
    dns("127.0.0.1", "::1")
    assert await resolved("localhost") == ["127.0.0.1", "::1"]


def test_an_address_with_a_containers_name_leads_to_the_container_or_nowhere(dns: Callable[..., None]) -> None:
    """For clients that take no resolver: the hub's revocations, the command line."""
    dns("93.184.216.34", "172.20.0.5")
    assert near_url("http://gateway-control:8090", POOL, lambda: HERE) == "http://172.20.0.5:8090"
    assert near_url("http://hub/hub/api", POOL, lambda: HERE) == "http://172.20.0.5:80/hub/api"
    dns("93.184.216.34")
    with pytest.raises(OSError, match="no container 'gateway-control' runs"):
        near_url("http://gateway-control:8090", POOL, lambda: HERE)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081/hub/api", "http://gateway.corp:8090", "http://[::1]:80", "https://gateway"]
)
def test_a_whole_name_an_address_and_what_a_certificate_vouches_for_stay(dns: Callable[..., None], url: str) -> None:
    dns("93.184.216.34")
    assert near_url(url, POOL, lambda: HERE) == url
