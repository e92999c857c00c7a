"""Whether the Redis that gateways share answers."""

from __future__ import annotations

import time
from ipaddress import IPv4Network

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..gateway.shared import connections
from . import clocks
from .findings import Failed


async def answers(url: str, pool: IPv4Network) -> str:
    """That it answers the gateways, and with the time that we have: minutes of requests are counted there."""
    made = connections(url, pool)
    try:
        seconds, millionths = await Redis(connection_pool=made).time()
    except (RedisError, OSError) as error:
        raise Failed(f"does not answer: {type(error).__name__}; until it does, each gateway counts alone") from None
    finally:
        await made.aclose()
    return f"answers; the clock here {clocks.compared(seconds + millionths / 1e6, time.time(), 'Redis')}"
