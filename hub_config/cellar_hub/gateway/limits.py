"""Requests per minute, by user: the `limits` library over memory, or over Redis when several gateways run.

Redis away: each gateway counts its own meanwhile. The limit then is a little generous; nobody is locked out by it, and
tokens are still counted in the database.
"""

from __future__ import annotations

import logging
import time
from ipaddress import IPv4Network
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from .refused import rate_limited
from .shared import connections

AGAIN = 5.0
"""Seconds for which a Redis that did not answer is not asked."""

log = logging.getLogger(__name__)


class RequestRate:
    """`redis_url`: redis://[:PASSWORD@]HOST:PORT/DB; empty: this process alone. `pool`: workspaces' networks."""

    def __init__(self, redis_url: str, pool: IPv4Network) -> None:
        self._own: RateLimiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: RateLimiter | None = None
        self.redis_up = True
        self._again_at = 0.0
        if redis_url:
            self._connections = connections(redis_url, pool)
            more: dict[str, Any] = {"connection_pool": self._connections}
            storage = RedisStorage(redis_url, implementation="redispy", wrap_exceptions=True, **more)
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, user: str, per_minute: int | None) -> None:
        """Count one request. Raises `Refused` (429) with the seconds until there is room again."""
        if per_minute is None:
            return
        item = RateLimitItemPerMinute(per_minute)
        for limiter in (self._shared, self._own):
            if limiter is None or (limiter is self._shared and time.monotonic() < self._again_at):
                continue
            try:
                if await limiter.hit(item, "cellar", user):
                    self._see(limiter, up=True)
                    return
                reset = (await limiter.get_window_stats(item, "cellar", user)).reset_time
            except Exception as error:  # noqa: BLE001 - whatever the library or Redis says, its own count goes on
                self._see(limiter, up=False, error=error)
                continue
            self._see(limiter, up=True)
            raise rate_limited(per_minute, max(1.0, reset - time.time()))

    async def close(self) -> None:
        """Let go of Redis."""
        if self._shared is not None:
            await self._connections.aclose()

    def _see(self, limiter: RateLimiter, *, up: bool, error: Exception | None = None) -> None:
        if limiter is not self._shared:
            return
        if not up:
            self._again_at = time.monotonic() + AGAIN
        if up != self.redis_up:
            self.redis_up = up
            reason = "" if error is None else f": this gateway counts requests alone ({type(error).__name__})"
            log.warning("Redis is %s%s", "back" if up else "away", reason)
