"""`python -m cellar_hub.spawner`: keeps workspaces' networks, containers and volumes in order. A service of the hub.

Looks at once, whenever Docker tells of a service's or workspace's container, and every minute. Whatever fails is logged
and done again at the next look. Ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from cellar_hub.policyfile import PolicyFile
from cellar_hub.spawner import keeper, names
from cellar_hub.spawner.forwarding import Forwarding
from cellar_hub.spawner.networks import Networks

EVERY = 60.0  # seconds
EVERY_WITH_FORWARDERS = 15.0
"""Nothing tells of a change of groups, and whoever leaves one should not keep its destinations for long."""
RECONNECT = 5.0  # seconds
POLICY_EVERY = 2.0  # seconds
SETTLE = 0.3  # seconds: several events of one change make one look
log = logging.getLogger("cellar.keeper")


@dataclass
class Keeper:
    """One site's keeper. `look` blocks."""

    client: docker.APIClient
    site: str
    networks: Networks
    forwarding: Forwarding
    hub_api: str
    token: str
    data: Path
    grace_days: float
    young: float  # seconds in which something may be unknown to the hub, because it is being started
    ownerless: dict[str, float] = field(default_factory=dict)

    def look(self) -> bool:
        """Networks always; the proxy's routes, containers and volumes when the hub answers. Whether it did: Docker
        tells of a container before its program listens."""
        attached, removed = self.networks.reconcile(self.young)
        for each in attached:
            log.info("attached %s", each)
        for each in removed:
            log.info("removed the network %s, which had no workspace", each)
        try:
            self._check_proxy()
            users = self._users()
        except (httpx.HTTPError, ValueError, KeyError) as error:
            log.warning("the hub does not answer: %s", type(error).__name__)
            return False
        for each in self.forwarding.reconcile({user["name"]: tuple(user["groups"]) for user in users}):
            log.info("destinations: %s", each)
        servers = {(user["name"], server) for user in users for server in user["servers"]}
        self._containers(servers)
        self._volumes({user["name"] for user in users})
        return True

    def _check_proxy(self) -> None:
        """Have the hub compare the proxy's routes with its servers: a proxy that was made again knows none, and the
        hub would look by itself only if it counted activity by the proxy."""
        headers = {"Authorization": f"token {self.token}"}
        httpx.post(f"{self.hub_api}/proxy", headers=headers, timeout=40, trust_env=False).raise_for_status()

    def _users(self) -> list[dict[str, Any]]:
        """Every user, with active and pending servers, page by page."""
        found: list[dict[str, Any]] = []
        url: str | None = f"{self.hub_api}/users?limit=200&include_stopped_servers=0"
        headers = {"Authorization": f"token {self.token}", "Accept": "application/jupyterhub-pagination+json"}
        with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
            while url:
                answer = client.get(url).raise_for_status().json()
                found += answer["items"]
                following = answer["_pagination"]["next"]
                url = f"{self.hub_api}/users?limit=200&offset={following['offset']}" if following else None
        return found

    def _containers(self, servers: set[tuple[str, str]]) -> None:
        label = [f"{names.SITE}={self.site}", f"{names.KIND}={names.WORKSPACE}"]
        now = time.time()
        found = [
            keeper.Owned(
                each["Id"],
                each["Labels"].get(names.USER, ""),
                each["Labels"].get(names.SERVER, ""),
                now - each["Created"],
            )
            for each in self.client.containers(all=True, filters={"label": label})
        ]
        self.ownerless = keeper.ownerless(found, servers, self.ownerless, now, self.young)
        for container, first in self.ownerless.items():
            if now - first < keeper.CONFIRM:
                continue
            log.info("removing the container %s: no server of the hub belongs to it", container[:12])
            try:
                self.client.stop(container, timeout=10)
                self.client.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise

    def _volumes(self, users: set[str]) -> None:
        label = [f"{names.SITE}={self.site}", f"{names.KIND}={names.WORKSPACE}"]
        volumes = self.client.volumes(filters={"label": label})["Volumes"] or []
        found = [keeper.Owned(each["Name"], (each.get("Labels") or {}).get(names.USER, "")) for each in volumes]
        file = self.data / "volumes-without-user.json"
        now = time.time()
        since = keeper.missed(found, users, keeper.read_missed(file), now)
        for volume in keeper.expired(since, now, self.grace_days):
            try:
                self.client.remove_volume(volume)
            except APIError as error:
                if error.status_code == 409:  # in use: not ours to decide
                    continue
                if error.status_code != 404:
                    raise
            log.info("removed the volume %s: its user has been away for %g days", volume, self.grace_days)
            since.pop(volume)
        keeper.write_missed(file, since)


def listen(client: docker.APIClient, site: str, wake: threading.Event) -> None:
    """Wake the keeper whenever a container of the site starts or goes. For a thread of its own; never returns."""
    filters = {"label": f"{names.SITE}={site}", "type": "container", "event": ["start", "die", "destroy"]}
    while True:
        try:
            for _ in client.events(filters=filters):
                wake.set()
        except (DockerException, RequestException) as error:
            log.warning("Docker's events ended: %s", type(error).__name__)
        time.sleep(RECONNECT)
        wake.set()  # what happened meanwhile was not heard


def watch(policy: PolicyFile, wake: threading.Event) -> None:
    """Wake the keeper whenever the policy is another one. For a thread of its own; never returns."""
    known = policy.current()
    while True:
        time.sleep(POLICY_EVERY)
        if policy.current() is not known:
            known = policy.current()
            wake.set()


def keep(look: Keeper, wake: threading.Event, over: threading.Event, every: float) -> None:
    """Look, whenever woken and after `every` seconds, until `over`."""
    while not over.is_set():
        wake.clear()
        done = False
        try:
            done = look.look()
        except (DockerException, RequestException, OSError) as error:
            log.warning("next time: %s", str(error)[:300])
        wake.wait(every if done else RECONNECT)
        over.wait(SETTLE)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("cellar_hub.spawner")
    parser.add_argument("--site", required=True)
    parser.add_argument("--docker", required=True)
    parser.add_argument("--pool", type=ipaddress.IPv4Network, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--forwarders", type=int, default=0)
    parser.add_argument("--leases", type=Path, default=Path())
    parser.add_argument("--volume-grace-days", type=float, default=30)
    parser.add_argument("--start-timeout", type=float, default=120)
    return parser.parse_args(argv)


def connect(address: str) -> docker.APIClient:
    """A client, as soon as Docker answers."""
    while True:
        try:
            return docker.APIClient(address, version="auto", timeout=60)
        except (DockerException, RequestException) as error:
            log.warning("waiting for Docker: %s", str(error)[:200])
            time.sleep(1)


def run(options: argparse.Namespace, token: str, hub_api: str) -> None:
    wake, over = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        over.set()
        wake.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, end)
    client = connect(options.docker)
    networks = Networks(client, options.site, options.pool)
    policy = PolicyFile(options.policy)
    look = Keeper(
        client=client,
        site=options.site,
        networks=networks,
        forwarding=Forwarding(client, networks, policy, options.forwarders, options.leases),
        hub_api=hub_api,
        token=token,
        data=options.data,
        grace_days=options.volume_grace_days,
        young=options.start_timeout + 120,
    )
    events = docker.APIClient(options.docker, version="auto", timeout=None)
    threading.Thread(target=listen, args=(events, options.site, wake), daemon=True).start()
    threading.Thread(target=watch, args=(policy, wake), daemon=True).start()
    keep(look, wake, over, EVERY_WITH_FORWARDERS if options.forwarders else EVERY)


def main(argv: Sequence[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s keeper: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    options = arguments(argv)
    run(options, os.environ["JUPYTERHUB_API_TOKEN"], os.environ["JUPYTERHUB_API_URL"].rstrip("/"))


if __name__ == "__main__":
    main(sys.argv[1:])
