"""`GET /state` on the second port: how the gateway is just now, for the console. Nothing of it names a user.

Counters only grow, from this process's start; whoever asks twice knows the rates between.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import Counter, Histogram
from prometheus_client.samples import Sample

from .health import State
from .house import House
from .models import Role


class Bucket(msgspec.Struct, frozen=True):
    """`count` requests took at most `seconds` (None: however long), those of smaller buckets included."""

    seconds: float | None
    count: int


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """`context`: tokens; None: the server has not told. `groups`: whose it is; empty: everybody's."""

    id: str
    roles: tuple[Role, ...]
    context: int | None = None
    groups: tuple[str, ...] = ()


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """`values` are vLLM's own, as `health` reads them; `workers`: of those behind a router, whether they answer."""

    url: str
    state: State
    why: str
    models: tuple[ModelState, ...]
    running: int
    waiting: int
    max_inflight: int
    workers: dict[str, bool]
    values: dict[str, float]


class GatewayState(msgspec.Struct, frozen=True, kw_only=True):
    """`requests` by outcome, `tokens` by kind (prompt, completion), `first_token` and `queued` in seconds."""

    name: str
    version: str
    gateways: int
    draining: bool
    hub_up: bool
    database_up: bool
    policy_ok: bool
    users: int  # who have a request under way
    requests: dict[str, int]
    refusals: dict[str, int]
    tokens: dict[str, int]
    first_token: tuple[Bucket, ...]
    queued: tuple[Bucket, ...]
    servers: tuple[ServerState, ...]


def state_of(house: House, version: str) -> GatewayState:
    metrics = house.metrics
    return GatewayState(
        name=house.settings.name,
        version=version,
        gateways=house.settings.gateways,
        draining=house.draining,
        hub_up=house.identities.hub_up,
        database_up=house.books.up,
        policy_ok=house.policy_file.ok,
        users=len({each.identity.user for each in house.running.values()}),
        requests=_summed(metrics.requests, "outcome"),
        refusals=_summed(metrics.refusals, "code"),
        tokens=_summed(metrics.tokens, "type"),
        first_token=_buckets(metrics.first_seconds),
        queued=_buckets(metrics.queue_seconds),
        servers=tuple(_servers(house)),
    )


def _servers(house: House) -> list[ServerState]:
    served = house.table.served(house.health.listed)
    found = []
    for url, known in house.health.servers.items():
        queue = house.queue_at(url)
        models = [
            ModelState(
                id=name, roles=row.roles, context=house.health.context_length(row.server, name), groups=row.groups
            )
            for name, row in served
            if row.server.base_url == url
        ]
        found.append(
            ServerState(
                url=url,
                state=known.state,
                why=known.why,
                models=tuple(models),
                running=queue.running,
                waiting=queue.waiting,
                max_inflight=queue.max_inflight,
                workers=known.workers,
                values=known.values,
            )
        )
    return found


def _summed(counter: Counter, label: str) -> dict[str, int]:
    """Of a Prometheus counter, over its other labels."""
    found: dict[str, int] = {}
    for sample in _samples(counter):
        if sample.name.endswith("_total"):
            key = sample.labels[label]
            found[key] = found.get(key, 0) + int(sample.value)
    return found


def _buckets(histogram: Histogram) -> tuple[Bucket, ...]:
    """Of all models together."""
    found: dict[float, int] = {}
    for sample in _samples(histogram):
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            found[bound] = found.get(bound, 0) + int(sample.value)
    return tuple(Bucket(None if bound == float("inf") else bound, found[bound]) for bound in sorted(found))


def _samples(metric: Counter | Histogram) -> Iterator[Sample]:
    for family in metric.collect():
        yield from family.samples
