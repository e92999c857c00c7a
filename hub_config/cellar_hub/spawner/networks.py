"""One sealed network for each workspace, with the services of the hub on it under fixed names.

A network is `internal`, has no address of the host (`isolated` on Docker >= 28, `inhibit_ipv4` before), and a /28 given
from the site's pool. A workspace there reaches what is attached, and nothing else. Every function blocks on Docker's
API: call it on a thread.

Design note. A network is made anew for each start, never used again, so that its options are always today's, and so
that its age tells the keeper whether somebody is just about to use it. What Docker says decides, not what we remember:
two processes (hub and keeper) work on the same networks, and either may be killed between two calls.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from docker import APIClient
from docker.errors import APIError
from docker.types import IPAMConfig, IPAMPool

from cellar_hub.spawner import addresses, names

ATTACHED = ("hub", "proxy", "gateway", "bastion")
"""Services that a workspace may speak with, and its names for them. Forwarders come by `cellar_hub.spawner.forwarding`,
under names of their own."""

FORWARDER = "forwarder"

YOUNG = 60.0
"""Seconds in which a network without a workspace is somebody's who is just starting one."""

ISOLATED_SINCE = 28  # Docker's major version with gateway_mode_ipv4=isolated (moby#49262)
_BRIDGE = "com.docker.network.bridge."
_TRIES = 32

log = logging.getLogger("cellar.networks")
T = TypeVar("T")
R = TypeVar("R")


class PoolExhausted(Exception):
    """No slice of the pool is free."""


def options_for(version: str) -> dict[str, str]:
    """What keeps the host out of a network on this version of Docker ("20.10.24+dfsg1"). Pure."""
    if engine_version(version)[0] >= ISOLATED_SINCE:
        return {_BRIDGE + "gateway_mode_ipv4": "isolated", _BRIDGE + "gateway_mode_ipv6": "isolated"}
    return {_BRIDGE + "inhibit_ipv4": "true"}


def engine_version(text: str) -> tuple[int, int, int]:
    """The numbers of a version, (0, 0, 0) when it has none: the careful reading. Pure."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


@dataclass(frozen=True)
class Found:
    """One of our networks as it is now. `used`: the container of a workspace is on it."""

    id: str
    name: str
    kind: str
    age: float  # seconds
    used: bool
    user: str
    subnet: str


class Networks:
    """The networks of one site."""

    def __init__(self, client: APIClient, site: str, pool: ipaddress.IPv4Network) -> None:
        self._client = client
        self._site = site
        self.pool = pool

    def make(self, of: names.Names, kind: str = names.WORKSPACE) -> str:
        """A new network under this workspace's name, services attached; its name. What was left there goes first.

        Raises PoolExhausted, docker.errors.APIError.
        """
        self.remove(of.own)
        taken = [subnet for each in self._client.networks() for subnet in _subnets(each)]
        total = 2 ** (addresses.SLICE - self.pool.prefixlen)
        start = hash((of.own, time.monotonic_ns())) % total
        options = options_for(self._client.version()["Version"])
        for number, slice_ in enumerate(addresses.free_slices(self.pool, taken, start)):
            if self._create(of, kind, slice_, options):
                self.attach(of.own)
                return of.own
            if number >= _TRIES and total > _TRIES:
                break
        raise PoolExhausted(f"No free network is left in {self.pool}")

    def _create(self, of: names.Names, kind: str, slice_: addresses.Network4, options: dict[str, str]) -> bool:
        """False when somebody else has these addresses."""
        pool = IPAMPool(subnet=str(slice_), gateway=addresses.gateway_of(slice_))
        try:
            self._client.create_network(
                of.own,
                driver="bridge",
                internal=True,
                options=options,
                ipam=IPAMConfig(pool_configs=[pool]),
                labels=of.labels(kind),
                check_duplicate=True,
            )
        except APIError as error:
            if "overlap" in str(error.explanation).lower():
                return False
            raise
        return True

    def attach(self, network: str) -> list[str]:
        """Attach every running service that is not yet on it; which were attached now."""
        return self._attach(network, self._services())

    def _attach(self, network: str, services: Iterable[dict[str, Any]]) -> list[str]:
        missing = [each for each in services if _has_fixed_name(each) and network not in networks_of(each)]
        return [alias for alias in _at_once(lambda service: self._connect(service, network), missing) if alias]

    def _connect(self, service: dict[str, Any], network: str) -> str:
        """The alias it has now; empty when it went away, or when somebody else was faster."""
        alias = str(service["Labels"][names.SERVICE])
        try:
            self._client.connect_container_to_network(service["Id"], network, aliases=[alias])
        except APIError as error:
            if _is_gone(error) or "already exists" in str(error.explanation):
                return ""
            raise
        return alias

    def _services(self) -> list[dict[str, Any]]:
        return [each for each in self._containers() if _is_service(each) and each.get("State") == "running"]

    def forwarders(self) -> list[dict[str, Any]]:
        """Those that run."""
        return [each for each in self._services() if each["Labels"][names.SERVICE] == FORWARDER]

    def _containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.containers(all=True, filters={"label": f"{names.SITE}={self._site}"})
        return found

    def remove(self, network: str) -> bool:
        """Take everything off a network of ours and remove it; False when there is none."""
        try:
            found = self._client.inspect_network(network)
        except APIError as error:
            if _is_gone(error):
                return False
            raise
        if found["Name"] != network or not names.is_ours(found.get("Labels"), self._site):
            return False
        # a service that stands still is not in the network's list, and could not be started again without the network
        standing = {each["Id"] for each in self._containers() if _is_service(each) and network in networks_of(each)}
        _at_once(
            lambda container: self.disconnect(container, found["Id"]), {*(found.get("Containers") or {}), *standing}
        )
        try:
            self._client.remove_network(found["Id"])
        except APIError as error:
            if not _is_gone(error):
                raise
        return True

    def disconnect(self, container: str, network: str) -> None:
        """Take it off; one that is gone or not there is no failure."""
        try:
            self._client.disconnect_container_from_network(container, network, force=True)
        except APIError as error:
            if not _is_gone(error) and "is not connected" not in str(error.explanation):
                raise

    def found(self) -> list[Found]:
        """Our networks, with what is on them: two calls, however many there are."""
        workspaces = [each for each in self._containers() if names.is_ours(each["Labels"], self._site)]
        used = {name for each in workspaces for name in networks_of(each)}
        now = time.time()
        return [
            Found(
                id=each["Id"],
                name=each["Name"],
                kind=each["Labels"][names.KIND],
                age=now - epoch(each["Created"]),
                used=each["Name"] in used,
                user=each["Labels"].get(names.USER, ""),
                subnet=next(iter(_subnets(each)), ""),
            )
            for each in self._client.networks(filters={"label": f"{names.SITE}={self._site}"})
            if names.is_ours(each.get("Labels"), self._site)
        ]

    def reconcile(self, young: float = YOUNG) -> tuple[list[str], list[str]]:
        """Attach services that were made again; remove networks without a workspace that are not `young` (seconds).
        (what was attached where, what was removed). A failure at one network does not keep the others waiting."""
        services = self._services()
        attached: list[str] = []
        removed: list[str] = []
        for network in self.found():
            try:
                if network.used:
                    attached += [f"{alias} to {network.name}" for alias in self._attach(network.name, services)]
                elif network.age > young:
                    removed += [network.name] if self.remove(network.name) else []
            except APIError as error:
                log.warning("network %s: %s", network.name, str(error.explanation)[:300])
        return attached, removed


def _at_once(work: Callable[[T], R], on: Collection[T]) -> list[R]:
    """The results, in order. Connecting takes Docker the longer the more networks a service has: with 200 of them, the
    three one after the other take three times as long as together."""
    if len(on) < 2:
        return [work(each) for each in on]
    with ThreadPoolExecutor(len(on)) as threads:
        return list(threads.map(work, on))


def _is_service(container: dict[str, Any]) -> bool:
    labels = container.get("Labels") or {}
    return labels.get(names.SERVICE) in (*ATTACHED, FORWARDER) and names.KIND not in labels


def _has_fixed_name(container: dict[str, Any]) -> bool:
    return container["Labels"][names.SERVICE] in ATTACHED


def networks_of(container: dict[str, Any]) -> list[str]:
    return list((container.get("NetworkSettings") or {}).get("Networks") or {})


def _subnets(network: dict[str, Any]) -> list[str]:
    return [each.get("Subnet") or "" for each in (network.get("IPAM") or {}).get("Config") or []]


def epoch(text: str) -> float:
    """Docker's RFC 3339 with nanoseconds -> seconds since 1970; the present when it cannot be read: the careful age."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if not found:
        return time.time()
    return datetime.fromisoformat(found[1] + found[2].replace("Z", "+00:00")).timestamp()


def _is_gone(error: APIError) -> bool:
    return bool(error.status_code == 404 or "is not running" in str(error.explanation))
