"""Requests per minute, by user: the `limits` library over memory, or over Redis when several gateways run.

Redis away: each gateway counts its own meanwhile. The limit then is a little generous; nobody is locked out by it, and
tokens are still counted in the database.
"""

from __future__ import annotations

import logging
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from .refused import rate_limited

TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
AGAIN = 5.0
"""Seconds for which a Redis that did not answer is not asked."""

log = logging.getLogger(__name__)


class RequestRate:
    """`redis_url`: redis://[:PASSWORD@]HOST:PORT/DB; empty: this process alone."""

    def __init__(self, redis_url: str = "") -> None:
        self._own: RateLimiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: RateLimiter | None = None
        self.redis_up = True
        self._again_at = 0.0
        if redis_url:
            storage = storage_from_string(
                f"async+{redis_url}", implementation="redispy", wrap_exceptions=True, **TIMEOUTS
            )
            assert isinstance(storage, Storage)
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
        storage = None if self._shared is None else self._shared.storage
        connection = getattr(storage.bridge, "storage", None) if isinstance(storage, RedisStorage) else None
        if connection is not None:
            await connection.aclose()

    def _see(self, limiter: RateLimiter, *, up: bool, error: Exception | None = None) -> None:
        if limiter is not self._shared:
            return
        if not up:
            self._again_at = time.monotonic() + AGAIN
        if up != self.redis_up:
            self.redis_up = up
            reason = "" if error is None else f": this gateway counts requests alone ({type(error).__name__})"
            log.warning("Redis is %s%s", "back" if up else "away", reason)
