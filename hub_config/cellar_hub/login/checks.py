"""Comparing passwords, which costs a quarter of a second each on purpose: in threads of its own, in turn by address.

A flood of log-ins then keeps neither the hub's other threads nor other people's log-ins waiting; too many are refused.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = max(2, min(8, os.cpu_count() or 2))
MOST = 200  # log-ins that wait: 25 s with two threads
MOST_OF_ONE = 50  # of one address: a class behind one router, that begins at one moment


class Crowded(Exception):
    """Too many wait already."""


class Checks:
    """`of_one` and `most` wait at a time."""

    def __init__(self, threads: int = THREADS, most: int = MOST, of_one: int = MOST_OF_ONE) -> None:
        self._threads = ThreadPoolExecutor(threads, "password")
        self._free = threads
        self._most = most
        self._of_one = of_one
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def run(self, client: str, check: Callable[[], bool]) -> bool:
        """What `check` says, when it is the address's turn. Raises Crowded at once."""
        mine = self._waiting.get(client, deque())
        if len(mine) >= self._of_one or sum(map(len, self._waiting.values())) >= self._most:
            raise Crowded
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine.append(turn)
        self._waiting[client] = mine
        self._go_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came, and nobody was there
                self._leave()
            raise
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, check)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._free += 1
        self._go_on()

    def _go_on(self) -> None:
        while self._free and self._waiting:
            client, mine = self._waiting.popitem(last=False)
            turn = mine.popleft()
            if mine:
                self._waiting[client] = mine  # behind all others
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
