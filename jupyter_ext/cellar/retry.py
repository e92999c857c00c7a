"""When and how long to wait before a request is sent again. Pure; `cellar.client` decides *whether*.

Full jitter over a capped exponential (Brooker, "Exponential Backoff and Jitter"): many workspaces that lost the same
server do not come back in step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """`retries` more attempts after the first. Times in seconds. A server that asks for more than `max_wait` is not
    waited for: the person gets the answer "busy, again in N seconds" instead of a silent panel."""

    retries: int = 2
    base: float = 0.2
    cap: float = 2.0
    max_wait: float = 5.0

    def delay(self, attempt: int, retry_after: float | None = None) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (0-based); None: give up."""
        if attempt >= self.retries:
            return None
        if retry_after is not None and retry_after > self.max_wait:
            return None
        backoff = random.uniform(0, min(self.cap, self.base * 2**attempt))
        return max(backoff, retry_after or 0.0)


NO_RETRIES = RetryPolicy(retries=0)
