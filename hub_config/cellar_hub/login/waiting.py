"""How many may wait for approval, of whom. Pure.

A sign-up costs nothing, so places are shared out by where people come from: a network may have no more of them than
are still free. One alone gets half of all, two a third each, four a fifth each and leave a fifth: whoever comes from
elsewhere finds a place, however long a few go on asking. A fixed share would be too small for a site where everybody
comes through one address, or four of them would be everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from .refusals import FULL, NETWORK_FULL


def refusal(waiting: Sequence[str], client: str, most: int) -> str:
    """Why one more may not wait, or nothing. `waiting`: the addresses that the others asked from; `client`: this one's;
    `most` of all."""
    free = most - len(waiting)
    if free <= 0:
        return FULL
    own = network(client)
    return NETWORK_FULL if sum(network(each) == own for each in waiting) >= free else ""


def network(address: str) -> str:
    """What one subscriber or one department has: /24, or /48 of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))
