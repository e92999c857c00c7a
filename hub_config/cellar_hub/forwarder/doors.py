"""Where a forwarder listens, for whom, and where each of these doors leads. Pure.

A door is one of the forwarder's own addresses, on one workspace's network, with one port. So who comes in is known from
where they come in, and a port that a user does not have is closed on their network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cellar_hub.destinations import Destination
from cellar_hub.leases import Lease, Network4
from cellar_hub.policy import Policy

Place = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True)
class Door:
    """`subnet`: only who comes from there is on the user's network; others have found another way."""

    user: str
    subnet: Network4
    destination: Destination


def doors(
    leases: Mapping[Network4, Lease], policy: Policy, number: int, here: Iterable[ipaddress.IPv4Interface]
) -> dict[Place, Door]:
    """Of the forwarder `number`, which has the addresses `here`."""
    addresses = {each.network: str(each.ip) for each in here}
    found: dict[Place, Door] = {}
    for subnet, lease in leases.items():
        address = addresses.get(subnet)
        keys = lease.shares.get(number, ())
        if address is None or not keys:
            continue
        for each in policy.for_(lease.user, lease.groups).destinations:
            if each.key in keys:
                found[address, each.port] = Door(lease.user, subnet, each)
    return found
