"""What many workspaces cost in networks: none of them has a container, all of them have hub, proxy and gateway on them.

    python -m bench.networks [--count 300]

Real Docker. Measured: how long a network takes, the first ones and the last ones; how long the keeper's look takes with
all of them; how long a request from a workspace to the gateway takes with few and with all of them, and with a gateway
that was made again, until every network has it.
"""

from __future__ import annotations

import argparse
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


def section(count: int) -> Section:
    client, reason = engine.connect()
    if client is None:
        raise SystemExit(reason)
    site = engine.Site(client, engine.find_base(client))
    try:
        return _measure(site, count)
    finally:
        site.close()


def _measure(site: engine.Site, count: int) -> Section:
    for service, port in (("hub", 8081), ("proxy", 8000), ("gateway", 8080)):
        site.service(service, port)
    networks = Networks(site.client, site.name, POOL)
    one, _ = site.neighbour(networks.make(names.Names(site.name, "one")), 8888)
    before: list[float] = site.inside(one, ASK)
    made = []
    for number in range(count):
        made.append(timed(lambda number=number: networks.make(names.Names(site.name, f"user{number}"))))  # type: ignore[misc]
        if number % 50 == 49:
            print(f"  {number + 1} networks", file=sys.stderr, flush=True)
    looks = [timed(lambda: networks.reconcile(young=86_400)) for _ in range(5)]
    after: list[float] = site.inside(one, ASK)
    (gateway,) = site.containers(**{names.SERVICE: "gateway"})
    site.client.remove_container(gateway["Id"], force=True)
    site.service("gateway", 8080)
    attached = timed(lambda: [networks.attach(each.name) for each in networks.found()])
    again: list[float] = site.inside(one, ASK)
    removed = [timed(lambda number=number: networks.remove(f"{site.name}-ws-user{number}")) for number in range(EDGE)]  # type: ignore[misc]
    first, last = made[:EDGE], made[-EDGE:]
    version = site.client.version()["Version"]
    return Section(
        f"{count} workspaces' networks",
        f"Docker {version}; hub, proxy and gateway attached to each network. `python -m bench.networks`.",
        [
            Row(f"a network with three services, the first {EDGE}", median(first), "ms", None, spread(first)),
            Row(f"a network with three services, the last {EDGE} of {count}", median(last), "ms", None, spread(last)),
            Row("the keeper's look at all of them", median(looks), "ms", None, spread(looks)),
            Row("a gateway made again, until all networks have it", attached / 1000, "s"),
            Row("a removed network", median(removed), "ms", None, spread(removed)),
            *(
                Row(
                    f"a new connection and request to the gateway, {when}",
                    median(values),
                    "ms",
                    None,
                    f"p99 {percentile(values, 99):.1f} ms",
                )
                for when, values in (("1 network", before), (f"{count + 1} networks", after), ("made again", again))
            ),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure many workspaces' networks.")
    parser.add_argument("--count", type=int, default=300)
    print(section(parser.parse_args().count).text())


if __name__ == "__main__":
    main()
