"""This container's own addresses, from /proc: there is no `ip` in the image."""

from __future__ import annotations

import ipaddress
import sys
from itertools import pairwise
from pathlib import Path

Interface = ipaddress.IPv4Interface


def addresses_here() -> list[Interface]:
    """IPv4 addresses with their networks."""
    text = Path("/proc/net/fib_trie").read_text()
    lines = [line.strip() for line in text.split("Local:")[-1].splitlines()]
    own = {before.split()[-1] for before, line in pairwise(lines) if "host LOCAL" in line}
    networks = [network for network, _ in _routes() if network.prefixlen]
    return [
        Interface((address, network.prefixlen))
        for address in sorted(own)
        for network in networks
        if ipaddress.IPv4Address(address) in network
    ]


def networks_with_a_way_out() -> list[ipaddress.IPv4Network]:
    """Networks of the interface that the default route goes through."""
    routes = _routes()
    out = {interface for network, interface in routes if not network.prefixlen}
    return [network for network, interface in routes if network.prefixlen and interface in out]


def _routes() -> list[tuple[ipaddress.IPv4Network, str]]:
    """(network, interface) of each route."""
    lines = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    return [
        (ipaddress.IPv4Network((_address(to), str(_address(mask)))), name)
        for name, to, _, _, _, _, _, mask, *_ in lines
    ]


def _address(text: str) -> ipaddress.IPv4Address:
    """/proc/net/route writes addresses as hexadecimal, in the machine's byte order."""
    return ipaddress.IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))
