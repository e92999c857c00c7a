"""The idle culler, which stops workspaces that nobody uses; and nobody is idle only because the hub was away.

While the hub is down, workspaces cannot report what goes on in them. jupyterhub-idle-culler looks at once when it
starts, and that is when the hub starts: after an hour of maintenance it would stop every workspace, also those that
have computed all the time. Ours waits for `grace` seconds, in which each of them has reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from jupyterhub_idle_culler import IdleCuller
from traitlets import Int, default


class Culler(IdleCuller):  # type: ignore[misc]  # it ships no types
    name = "cellar-culler"
    grace = Int(0, help="Seconds after its start in which nothing counts as idle.").tag(config=True)
    aliases = {**IdleCuller.aliases, "grace": "Culler.grace"}  # noqa: RUF012 - traitlets' own form

    @default("cull_arbiter_hook")
    def _default_hook(self) -> Callable[..., bool]:
        return arbiter(self.grace, time.monotonic)


def arbiter(grace: float, clock: Callable[[], float]) -> Callable[..., bool]:
    """Decides of a server whether it is idle. `max_age` is the culler's own business, and knows no grace."""
    begun = clock()

    def is_idle(*, inactive: timedelta, inactive_limit: float, **_: Any) -> bool:
        return clock() - begun >= grace and inactive.total_seconds() >= inactive_limit

    return is_idle


if __name__ == "__main__":
    Culler.launch_instance()
