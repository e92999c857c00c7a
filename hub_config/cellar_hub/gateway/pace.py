"""`GET /cellar/v1/pace`: an answer in pieces, one after another, so that whoever reads it sees what the way makes of a
stream: each piece as it was written, or all of them at its end.

`cellar-hub check` asks for it through the hub's proxy, and through nginx. It needs no token, costs no model anything
and tells nothing; of those under way at once there are few.
"""

from __future__ import annotations

import asyncio

from .refused import Refused
from .reply import STREAM_HEADERS, Reply

PIECES = 8
PAUSE = 0.1
"""Seconds between two pieces."""
AT_ONCE = 4


class Pace:
    def __init__(self) -> None:
        self._under_way = 0

    async def answer(self, reply: Reply) -> None:
        """With the headers that a model's answer has: a proxy may go by them."""
        if self._under_way >= AT_ONCE:
            raise Refused(503, "busy", "Others measure just now", retry_after=1.0)
        self._under_way += 1
        try:
            await reply.begin(200, STREAM_HEADERS)
            for number in range(PIECES):
                await asyncio.sleep(PAUSE if number else 0)
                await reply.write(b": %d\n\n" % (number + 1))
            await reply.end()
        finally:
            self._under_way -= 1
