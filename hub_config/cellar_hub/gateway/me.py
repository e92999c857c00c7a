"""`GET /cellar/v1/me`: what one user may, has used and can ask."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from cellar.me import Me, ServedModel
from cellar.wire import Reachable

from cellar_hub.destinations import share_out
from cellar_hub.identity import Identity
from cellar_hub.policy import Allowed, Policy
from cellar_hub.usage.ledger import UsageNow

from .health import Health
from .models import ModelRow
from .queue import FairQueue


def me(
    identity: Identity,
    policy: Policy,
    usage: UsageNow,
    models: list[tuple[str, ModelRow]],
    health: Health,
    queue: Callable[[ModelRow], FairQueue],
    forwarders: int,
) -> Me:
    """`models`: those that this user may ask. `queue`: of a row's server. `forwarders`: how many run."""
    allowed = policy.for_(identity.user, identity.groups)
    _, without = share_out(allowed.destinations, forwarders)
    return Me(
        user=identity.user,
        groups=identity.groups,
        day=usage.day,
        month=usage.month,
        requests_per_minute=allowed.requests_per_minute,
        max_tokens=allowed.max_tokens,
        modes=modes(allowed),
        features=allowed.features,
        models=tuple(
            ServedModel(
                id=name,
                state=health.of(row.server).state,
                running=queue(row).running,
                waiting=queue(row).waiting,
                max_inflight=row.server.max_inflight,
            )
            for name, row in models
        ),
        announcements=tuple(each.told() for each in policy.announced(datetime.datetime.now(datetime.UTC))),
        destinations=tuple(
            Reachable(name=each.name, port=each.port, ready=each not in without) for each in allowed.destinations
        ),
    )


def modes(allowed: Allowed) -> tuple[str, ...]:
    return tuple(mode for mode in ("ask", "edit", "agent") if mode in allowed.modes)
