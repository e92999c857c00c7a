"""Names for the clients that carry this stack's tokens and users' prompts.

Docker's resolver knows a container's name only while the container runs, and asks the building's DNS otherwise. Whoever
answers there for `hub` or `model`, a wildcard is enough, would be sent what is meant for the real one, and a connection
that is kept alive would go on being used when the real one is back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, ip_address
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .interfaces import Interface, addresses_here

Here = Callable[[], Sequence[Interface]]


class StackResolver(AbstractResolver):
    """The system's resolver (/etc/hosts, nsswitch, Docker's names), but a name without a dot is believed only where it
    leads to this machine itself or to a network that this container is on, and that is no workspace's (`pool`): a user
    may listen there. Raises OSError as `getaddrinfo` does."""

    def __init__(self, pool: IPv4Network, here: Here = addresses_here) -> None:
        self._system = aiohttp.ThreadedResolver()
        self._pool = pool
        self._here = here

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if is_whole(host):
            return found
        believed = _believed(host, (each["host"] for each in found), self._pool, self._here)
        return [each for each in found if each["host"] in believed]

    async def close(self) -> None:
        await self._system.close()


def is_whole(host: str) -> bool:
    """Whether it is an address or a name that means one machine wherever it is asked for."""
    return "." in host.rstrip(".") or ":" in host


def address_of(host: str, port: int, pool: IPv4Network, here: Here = addresses_here) -> str:
    """The same for a client that takes an address, no resolver. A whole name stays as it is. Blocks. Raises OSError."""
    if is_whole(host):
        return host
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return _believed(host, (str(address[0]) for *_, address in found), pool, here)[0]


def near_url(url: str, pool: IPv4Network, here: Here = addresses_here) -> str:
    """An address whose host is believed, for a client that takes no resolver. With https the certificate says who it
    is, and the name stays. Blocks. Raises OSError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or is_whole(parts.hostname):
        return url
    port = parts.port or 80
    address = address_of(parts.hostname, port, pool, here)
    return parts._replace(netloc=f"{f'[{address}]' if ':' in address else address}:{port}").geturl()


def _believed(host: str, addresses: Iterable[str], pool: IPv4Network, here: Here) -> list[str]:
    """Those of a container of this stack; at least one. Raises OSError."""
    near = [each for each in addresses if _is_near(each, pool, here)]
    if not near:
        raise OSError(f"no container {host!r} runs on a network of this one (a server elsewhere: its whole name)")
    return near


def _is_near(address: str, pool: IPv4Network, here: Here) -> bool:
    wanted = ip_address(address.partition("%")[0])
    return wanted.is_loopback or (wanted not in pool and any(wanted in each.network for each in here()))
