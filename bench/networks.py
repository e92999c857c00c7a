"""What many workspaces cost in networks: none of them has a container, all of them have the gateway on them.

Real Docker. Measured: how long a network takes, the first ones and the last ones; how long the keeper's look takes with
all of them; how long a request from a workspace to the gateway's address takes with one and with all of them, and with
a gateway that was made again. On a site hub and proxy are attached as well: Docker 20.10 works on one network at a
time, so each of them takes as long again.
"""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Callable

from cellar_hub.spawner import names
from cellar_hub.spawner.networks import Networks

from bench.report import Row, Section, median, percentile, spread
from tests.docker import engine

POOL = ipaddress.IPv4Network("10.200.0.0/19")
EDGE = 20
AGAIN = 50
"""Networks that a gateway made again is attached to."""
PATIENCE = 480.0
"""Seconds in which networks are made; a machine that is too slow for all of them is measured with fewer."""
PACKAGES = ("docker",)
ASK = """
import http.client, json, time
taken = []
for _ in range(200):
    began = time.perf_counter()
    connection = http.client.HTTPConnection("gateway", 8080, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
    taken.append((time.perf_counter() - began) * 1000)
print(json.dumps(taken))
"""


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


class Watched:
    """Docker's API with the time of each call that attaches a service."""

    def __init__(self, client: object) -> None:
        self._client = client
        self.attached: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def connect_container_to_network(self, *args: object, **more: object) -> None:
        connect: Callable[..., object] = self._client.connect_container_to_network  # type: ignore[attr-defined]
        self.attached.append(timed(lambda: connect(*args, **more)))


def section(count: int = 300) -> Section:
    client, reason = engine.connect()
    if client is None:
        raise SystemExit(reason)
    site = engine.Site(client, engine.find_base(client))
    try:
        return _measure(site, count)
    finally:
        say("removing")
        site.close()


def _measure(site: engine.Site, count: int) -> Section:
    site.service("gateway", 8080)
    watched = Watched(site.client)
    networks = Networks(watched, site.name, POOL)  # type: ignore[arg-type]
    one, _ = site.neighbour(networks.make(names.Names(site.name, "one")), 8888)
    before: list[float] = site.inside(one, ASK)
    made: list[float] = []
    watched.attached.clear()
    began = time.perf_counter()
    for number in range(count):
        if time.perf_counter() - began > PATIENCE:
            count = number
            break
        name = names.Names(site.name, f"user{number}")
        made.append(timed(lambda name=name: networks.make(name)))  # type: ignore[misc]
        if number % 25 == 24:
            say(f"{number + 1} networks, {median(made[-25:]):.0f} ms for each of the last 25")
    attached = list(watched.attached)
    looks = [timed(lambda: networks.reconcile(young=86_400)) for _ in range(5)]
    after: list[float] = site.inside(one, ASK)
    again = min(AGAIN, count)
    (gateway,) = site.containers(**{names.SERVICE: "gateway"})
    removed = timed(lambda: site.client.remove_container(gateway["Id"], force=True))
    say(f"the gateway was removed in {removed / 1000:.0f} s, and is made again")
    site.service("gateway", 8080)
    first = networks.make(names.Names(site.name, "one-more"))
    wanted = [f"{site.name}-ws-one", *(f"{site.name}-ws-user{number}" for number in range(again - 1))]
    anew = timed(lambda: [networks.attach(each) for each in wanted])
    renewed: list[float] = site.inside(one, ASK)
    networks.remove(first)
    version = site.client.version()["Version"]
    edges = ((f"the first {EDGE}", slice(0, EDGE)), (f"the last {EDGE} of {count}", slice(-EDGE, None)))
    asked = (("1 network", before), (f"{count + 1} networks", after), (f"made again, on {again + 1}", renewed))
    return Section(
        f"{count} workspaces' networks",
        f"Docker {version}; the gateway's container (a small server in its place) on each network, no workspace's but "
        "one. On a site hub and proxy are attached too, and each takes as long again.",
        [
            *(
                Row(f"to attach the gateway, {w}", median(attached[s]), "ms", None, spread(attached[s]))
                for w, s in edges
            ),
            *(Row(f"a whole network, {w}", median(made[s]), "ms", None, spread(made[s])) for w, s in edges),
            Row("the keeper's look at all of them", median(looks), "ms", None, spread(looks)),
            Row("to remove the gateway's container from all of them", removed / 1000, "s"),
            Row(f"a gateway made again, until {again} of them have it", anew / 1000, "s"),
            *(
                Row(
                    f"a new connection and request to the gateway, {when}",
                    median(values),
                    "ms",
                    None,
                    f"p99 {percentile(values, 99):.1f} ms, n={len(values)}",
                )
                for when, values in asked
            ),
        ],
        PACKAGES,
    )
