"""What somebody may, as their page says it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from cellar_hub.gateway.state import GatewayState
from cellar_hub.policy import Allowed


def models_are_away(state: GatewayState | None) -> bool:
    """Whether no model server answers, as the gateway says."""
    return state is not None and all(server.state != "up" for server in state.servers)


def models_of(state: GatewayState | None, allowed: Allowed, groups: Iterable[str]) -> list[str] | None:
    """Those that the gateway would let them ask; while it has said nothing, those of the policy, and None for all."""
    if state is None:
        return None if allowed.models is None else sorted(allowed.models)
    of = set(groups)
    served = (model for server in state.servers for model in server.models)
    return sorted(
        {each.id for each in served if allowed.model(each.id) and not (each.groups and of.isdisjoint(each.groups))}
    )
