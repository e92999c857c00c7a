"""Whose request it is: what a client says of its own address counts nothing."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from cellar_hub.address import client_address

POOL = IPv4Network("10.213.0.0/16")
PROXY, NGINX, PERSON, WORKSPACE = "172.20.0.2", "172.20.0.9", "192.0.2.7", "10.213.4.3"


@pytest.mark.parametrize(
    ("peer", "forwarded", "before", "found"),
    [
        (PROXY, PERSON, 0, PERSON),
        (PROXY, f"9.9.9.9,{PERSON}", 0, PERSON),
        (PROXY, f"9.9.9.9, 8.8.8.8 ,{PERSON}", 0, PERSON),
        (PROXY, f"{PERSON},{NGINX}", 1, PERSON),
        (PROXY, f"9.9.9.9,{PERSON},{NGINX}", 1, PERSON),
        (PROXY, f"::ffff:{PERSON}", 0, PERSON),
        (PROXY, "2001:db8::1", 0, "2001:db8::1"),
        (PROXY, f"{PERSON}:51234,{NGINX}:443", 1, PERSON),  # some write ports
        (PROXY, "[2001:db8::1]:51234", 0, "2001:db8::1"),
        (PROXY, "[2001:db8::1]", 0, "2001:db8::1"),
        (f"::ffff:{PROXY}", "", 0, PROXY),
        (PROXY, PERSON, 5, PERSON),
        (PROXY, "", 1, PROXY),
        (PROXY, "nonsense", 0, PROXY),
        (PROXY, f"{PERSON},nonsense", 1, PROXY),
        (PROXY, "," * 100_000 + PERSON, 0, PERSON),
        # a workspace may speak to hub, gateway and proxy itself
        (WORKSPACE, PERSON, 0, WORKSPACE),
        (WORKSPACE, f"9.9.9.9,{PERSON}", 1, WORKSPACE),
        (f"::ffff:{WORKSPACE}", PERSON, 0, WORKSPACE),
        (PROXY, f"{PERSON},{WORKSPACE}", 1, WORKSPACE),
        ("", PERSON, 0, ""),
    ],
)
def test_an_address_is_what_our_own_proxies_saw(peer: str, forwarded: str, before: int, found: str) -> None:
    assert client_address(peer, forwarded, POOL, before) == found
