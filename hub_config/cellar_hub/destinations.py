"""Named destinations in the building that some groups' workspaces may reach, and which forwarder serves which. Pure.

In the policy file:

    [[destinations]]
    name = "warehouse.corp"            # what workspaces call it
    port = 5432
    to = "10.1.2.3:5432"               # where it leads; absent: the same name and port

    [groups.analysts]
    destinations = ["warehouse.corp:5432"]

Design note. A forwarder has one address on a workspace's network, so two destinations with one port need two of them.
A *name* goes as a whole to one forwarder: were its ports shared out, the name would mean two addresses, and a client
that took the wrong one would speak to somebody else's server. What finds no forwarder is left out and named.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from cellar.settings import SettingsError

FIXED_NAMES = frozenset(
    {
        *("hub", "proxy", "gateway", "bastion", "forwarder", "localhost"),
        *("model", "vllm", "vllm-2", "router", "postgres", "redis", "hub-control", "gateway-control"),
        *("console", "console-control"),
    }
)
"""What workspaces call the services of the hub, and themselves, and what these call each other. The socket filter has
the same list."""

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_NUMBER = re.compile(r"(?:\d+|0x[0-9a-f]*)\Z", re.ASCII)
MOST = 256  # destinations of a site

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table, read. `key` is what groups, files and the audit call it."""

    name: str
    port: int
    to: tuple[str, int]

    @property
    def key(self) -> str:
        return f"{self.name}:{self.port}"


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row, as it is written."""

    name: str
    port: int
    to: str = ""


def destination_of(row: Row, source: str) -> Destination:
    """Raises `SettingsError` that names the row."""
    where = f"{row.name[:80]}:{row.port}"

    def wrong(why: str) -> SettingsError:
        return SettingsError(source, f"has the destination {where!r}: {why}")

    if not is_name(row.name):
        raise wrong("its name is no DNS name in lower case")
    if shadows(row.name):
        raise wrong("its name is one that every workspace uses already")
    if not 1 <= row.port <= 65_535:
        raise wrong("its port is none")
    host, port = _target(row.to) if row.to else (row.name, row.port)
    address = address_of(host)
    if not 1 <= port <= 65_535 or not (address or is_name(host)):
        raise wrong(f"to = {row.to[:80]!r} is not HOST:PORT")
    if shadows(host) or (address is not None and is_own(address)):
        raise wrong("it leads to the hub's own side")
    return Destination(name=row.name, port=row.port, to=(host, port))


def is_name(text: str) -> bool:
    """A DNS name in lower case that nobody could read as an address."""
    return _NAME.fullmatch(text) is not None and not _NUMBER.match(text.rpartition(".")[2])


def shadows(name: str) -> bool:
    """Whether a name is one that means something else inside of workspaces and services."""
    last = name.rpartition(".")[2]
    return name in FIXED_NAMES or last in ("localhost", "localdomain") or name == "host.docker.internal"


def _target(text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 address in brackets; port 0 when it is none of that."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return "", 0
    return host, int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0


def address_of(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_own(address: Address, networks: Iterable[Network] = ()) -> bool:
    """Whether an address is none of the building's: this machine, its link (and the metadata service of clouds), no
    single host; or in one of `networks`."""
    own = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return own or any(address in each for each in networks if each.version == address.version)


def parse_destinations(rows: Sequence[Row], source: str) -> tuple[Destination, ...]:
    """The table. Raises `SettingsError`."""
    if len(rows) > MOST:
        raise SettingsError(source, f"has more than {MOST} destinations")
    found: dict[str, Destination] = {}
    for row in rows:
        each = destination_of(row, source)
        if found.setdefault(each.key, each) is not each:
            raise SettingsError(source, f"has the destination {each.key!r} twice")
    return tuple(found.values())


def check_targets(destinations: Iterable[Destination], pool: Network, source: str) -> None:
    """Raises `SettingsError` when one leads into the workspaces' own addresses."""
    for each in destinations:
        address = address_of(each.to[0])
        if address is not None and is_own(address, (pool,)):
            raise SettingsError(source, f"has the destination {each.key!r}: it leads into the workspaces' networks")


Shares = tuple[tuple[Destination, ...], ...]
"""For each forwarder, in their order: what it serves of one user's destinations."""


def share_out(destinations: Iterable[Destination], forwarders: int) -> tuple[Shares, tuple[Destination, ...]]:
    """One user's destinations shared out among so many forwarders, and those for which there are too few.

    In the order of the table, each name to the first forwarder none of whose ports it needs.
    """
    shares: list[list[Destination]] = [[] for _ in range(forwarders)]
    left: list[Destination] = []
    for group in _by_name(destinations).values():
        ports = {each.port for each in group}
        free = (share for share in shares if ports.isdisjoint(each.port for each in share))
        next(free, left).extend(group)
    return tuple(tuple(share) for share in shares), tuple(left)


def _by_name(destinations: Iterable[Destination]) -> Mapping[str, list[Destination]]:
    found: dict[str, list[Destination]] = {}
    for each in destinations:
        found.setdefault(each.name, []).append(each)
    return found


def chosen(table: Iterable[Destination], keys: Collection[str]) -> tuple[Destination, ...]:
    """Those of the table that `keys` name, in the table's order."""
    return tuple(each for each in table if each.key in keys)
