"""Forwarders on workspaces' networks: attached under the names of the user's destinations, and told whose each is.

The hub does this at each start of a workspace, and the keeper whenever something has changed: the policy, a user's
groups, a forwarder that was made again. What blocks on Docker's API belongs on a thread.

Design note. What a forwarder was attached under cannot be read from Docker's list of containers, so it stands in the
lease (`cellar_hub.leases`) beside the container's id. A lease that is lost costs one attachment more. While names move
from one forwarder to another, the lease holds only what does not move: a name never leads to somebody else's server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import APIError

from cellar_hub.destinations import Destination, Shares, share_out
from cellar_hub.leases import Lease, Network4, drop_lease, read_lease, read_leases, write_lease
from cellar_hub.policyfile import PolicyFile
from cellar_hub.spawner import names
from cellar_hub.spawner.networks import Networks, networks_of

SHUT = 2.5
"""Seconds in which a forwarder reads a lease and shuts its doors. Taken off the network before, it could not tell a
workspace any more that a connection has ended."""

log = logging.getLogger("cellar.forwarding")


@dataclass(frozen=True)
class Owned:
    """A workspace's network, and whose it is."""

    name: str
    subnet: Network4
    user: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Running:
    """A forwarder that runs. `on`: the names of its networks."""

    id: str
    on: frozenset[str]


@dataclass(frozen=True)
class Change:
    """What must be done at one network, in this order: write `first`, take off, attach under these names, write `last`.
    A lease without shares is none."""

    first: Lease
    detach: tuple[str, ...]
    attach: Mapping[str, tuple[str, ...]]
    last: Lease


def change_of(network: Owned, shares: Shares, before: Lease | None, running: Mapping[int, Running]) -> Change:
    """From what stands in the lease and what runs, to what must be. Pure."""
    wanted = {number: tuple(each.key for each in share) for number, share in enumerate(shares, 1) if share}
    known = before if before is not None and before.network == network.name else Lease(user=network.user)
    here = {number: each for number, each in running.items() if network.name in each.on}
    stays = {
        number
        for number, each in here.items()
        if number in wanted and known.shares.get(number) == wanted[number] and known.attached.get(number) == each.id
    }

    def lease(numbers: Iterable[int]) -> Lease:
        chosen = sorted(numbers)
        return Lease(
            user=network.user,
            groups=network.groups,
            network=network.name,
            shares={number: wanted[number] for number in chosen},
            attached={number: running[number].id for number in chosen},
        )

    new = [number for number in running if number in wanted and number not in stays]
    return Change(
        first=lease(stays),
        detach=tuple(each.id for number, each in here.items() if number not in stays),
        attach={running[number].id: names_in(wanted[number]) for number in new},
        last=lease([*stays, *new]),
    )


def names_in(keys: Iterable[str]) -> tuple[str, ...]:
    """The names in NAME:PORT."""
    return tuple(sorted({key.rpartition(":")[0] for key in keys}))


class Forwarding:
    """Of one site. Without forwarders (`number` 0) nothing is done, and nobody has a destination."""

    def __init__(self, client: APIClient, networks: Networks, policy: PolicyFile, number: int, folder: Path) -> None:
        self._client = client
        self._networks = networks
        self._policy = policy
        self._number = number
        self._folder = folder

    def shares(self, user: str, groups: Iterable[str]) -> tuple[Shares, tuple[Destination, ...]]:
        """What each forwarder serves of this user's destinations, and those for which there are too few."""
        return share_out(self._policy.current().for_(user, tuple(groups)).destinations, self._number)

    def prepare(self, name: str, user: str, groups: Iterable[str]) -> None:
        """A new network. Raises docker.errors.APIError, OSError."""
        if self._number:
            (config,) = self._client.inspect_network(name)["IPAM"]["Config"]
            network = Owned(name, Network4(config["Subnet"]), user, tuple(groups))
            self._do(network, self._begin(network, self._running()))

    def reconcile(self, groups: Mapping[str, tuple[str, ...]]) -> list[str]:
        """All networks with a workspace; `groups`: of each user of the hub. What was done. Leases of networks that are
        gone go. A failure at one network does not keep the others waiting."""
        if not self._number:
            return []
        leases = read_leases(self._folder, self._networks.pool)  # first: a network may be made meanwhile
        found = {Network4(each.subnet): each for each in self._networks.found()}
        running = self._running()
        todo: list[tuple[Owned, Change]] = []
        for subnet, each in found.items():
            if each.used:
                network = Owned(each.name, subnet, each.user, groups.get(each.user, ()))
                todo.append((network, self._begin(network, running)))
        if any(change.detach for _, change in todo):
            time.sleep(SHUT)
        done: list[str] = []
        for network, change in todo:
            try:
                done += self._do(network, change)
            except APIError as error:
                log.warning("destinations of %s: %s", network.name, str(error.explanation)[:300])
        for subnet in leases.keys() - found.keys():
            drop_lease(self._folder, subnet)
        return done

    def forget(self, name: str) -> None:
        """A network that is about to go."""
        if self._number:
            for subnet, lease in read_leases(self._folder, self._networks.pool).items():
                if lease.network == name:
                    drop_lease(self._folder, subnet)

    def _running(self) -> dict[int, Running]:
        found = {
            number_of(each): Running(each["Id"], frozenset(networks_of(each))) for each in self._networks.forwarders()
        }
        return {number: each for number, each in found.items() if 1 <= number <= self._number}

    def _begin(self, network: Owned, running: Mapping[int, Running]) -> Change:
        """What must be done at a network; the first of it, the lease of what stays, is."""
        before = read_lease(self._folder, network.subnet)
        found = change_of(network, self.shares(network.user, network.groups)[0], before, running)
        if found.first != before:
            self._write(network.subnet, found.first)
        return found

    def _do(self, network: Owned, change: Change) -> list[str]:
        for container in change.detach:
            self._networks.disconnect(container, network.name)
        for container, aliases in change.attach.items():
            self._client.connect_container_to_network(container, network.name, aliases=list(aliases))
        if change.last != change.first:
            self._write(network.subnet, change.last)
        taken = [f"took a forwarder off {network.name}" for each in change.detach if each not in change.attach]
        return [*taken, *(f"attached {', '.join(each)} to {network.name}" for each in change.attach.values())]

    def _write(self, subnet: Network4, lease: Lease) -> None:
        if lease.shares:
            write_lease(self._folder, subnet, lease)
        else:
            drop_lease(self._folder, subnet)


def number_of(container: Mapping[str, Any]) -> int:
    """A forwarder's number; 0 when its label is none."""
    text = str(container["Labels"].get(names.FORWARDER, ""))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 3 else 0
