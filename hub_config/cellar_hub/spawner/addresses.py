"""Which addresses the next workspace's network takes. Pure.

Docker's own pools end at about 31 networks, so each network is given its slice explicitly. Slices that are in use are
skipped; what somebody else made inside of the pool is skipped as well. Two hubs or two starts may choose the same slice
at once: Docker refuses the second, and its caller asks for the next one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

SLICE = 28
"""Bits: 16 addresses, for a workspace, up to ten services, and Docker's own three."""

Network4 = ipaddress.IPv4Network


def free_slices(pool: Network4, taken: Iterable[str], start: int = 0) -> Iterator[Network4]:
    """Slices of the pool that overlap nothing in `taken` (texts like 10.213.0.16/28), each once, beginning with the
    `start`-th: with a start of its own, each of many starters rarely meets another."""
    used = _indices(pool, taken)
    total = 2 ** (SLICE - pool.prefixlen)
    base = int(pool.network_address)
    for step in range(total):
        index = (start + step) % total
        if index not in used:
            yield Network4((base + index * 16, SLICE))


def _indices(pool: Network4, taken: Iterable[str]) -> set[int]:
    """Numbers of the pool's slices that `taken` touches. What is no IPv4 network (IPv6, nothing) touches none."""
    base = int(pool.network_address)
    used: set[int] = set()
    for text in taken:
        try:
            other = Network4(text, strict=False)
        except ValueError:
            continue
        if other.overlaps(pool):
            first = max(int(other.network_address), base)
            last = min(int(other.broadcast_address), int(pool.broadcast_address))
            used.update(range((first - base) // 16, (last - base) // 16 + 1))
    return used


def gateway_of(network: Network4) -> str:
    """The address that Docker calls the gateway; with `inhibit_ipv4` or `isolated` nobody has it."""
    return str(network.network_address + 1)
