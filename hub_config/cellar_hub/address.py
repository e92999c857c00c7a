"""Whose request it is, behind proxies. Pure.

Each proxy writes the address that it saw at the end of X-Forwarded-For; what stands before that came with the request,
and may be made up. So the list is read from its end, and no further than there are proxies of ours. A workspace reaches
hub, gateway and proxy by itself: nothing that it forwards is believed. X-Real-IP is not looked at at all: the proxy
passes a client's own.
"""

from __future__ import annotations

import ipaddress
import re

_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+")
"""As some reverse proxies write it: 203.0.113.7:51234, [2001:db8::7]:51234."""
LONGEST = 2000  # characters of the header that are looked at, from its end


def client_address(peer: str, forwarded_for: str, pool: ipaddress.IPv4Network, before: int = 0) -> str:
    """`peer`: who is at the other end of the connection. `pool`: the workspaces' addresses. `before`: how many reverse
    proxies stand before the site's own proxy, each of which writes the header."""
    address = _parse(peer)
    for entry in forwarded_for[-LONGEST:].split(",")[: -(before + 2) : -1]:
        found = _parse(entry.strip())
        if found is None or address is None or address in pool:
            break
        address = found
    return peer if address is None else str(address)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if port := _WITH_PORT.fullmatch(text):
        text = port[1] or port[2]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)  # how a socket for both families writes an IPv4 address
    return found if mapped is None else mapped
