"""Where a name leads, looked up once for each connection: no second look could lead elsewhere than what was judged."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from cellar_hub.destinations import Address, Network, address_of, is_own

LOOK_UP = 5.0  # seconds
MOST = 8  # addresses of one name that are tried


class NotAllowed(Exception):
    """The name leads to the site's own side."""


async def addresses_of(host: str, own: Iterable[Network]) -> list[str]:
    """Addresses to try, in the resolver's order. Raises `NotAllowed` when one of them is the site's own, `OSError` when
    the name leads nowhere."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LOOK_UP):
        answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(address[0]) for *_, address in answers))[:MOST]
    for text in texts:
        if not allowed(address_of(text.partition("%")[0]), own):
            raise NotAllowed(text)
    return texts


def allowed(address: Address | None, own: Iterable[Network]) -> bool:
    """Whether a connection may go there. Pure."""
    return address is not None and not is_own(address, own)
