"""Names for the clients that carry this stack's tokens and users' prompts.

Docker's resolver knows a container's name only while the container runs, and asks the building's DNS otherwise. Whoever
answers there for `hub` or `model`, a wildcard is enough, would be sent what is meant for the real one, and a connection
that is kept alive would go on being used when the real one is back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .interfaces import Interface, addresses_here


class StackResolver(AbstractResolver):
    """The system's resolver (/etc/hosts, nsswitch, Docker's names), but a name without a dot is believed only where it
    leads to this machine itself or to a network that this container is on, and that is no workspace's (`pool`): a user
    may listen there. Raises OSError as `getaddrinfo` does."""

    def __init__(self, pool: IPv4Network, here: Callable[[], Sequence[Interface]] = addresses_here) -> None:
        self._system = aiohttp.ThreadedResolver()
        self._pool = pool
        self._here = here

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if "." in host.rstrip("."):
            return found
        near = [each for each in found if self._is_near(each["host"])]
        if not near:
            raise OSError(f"no container {host!r} runs on a network of this one (a server elsewhere: its whole name)")
        return near

    def _is_near(self, address: str) -> bool:
        wanted = ip_address(address.partition("%")[0])
        return wanted.is_loopback or (wanted not in self._pool and any(wanted in each.network for each in self._here()))

    async def close(self) -> None:
        await self._system.close()
