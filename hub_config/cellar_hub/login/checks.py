"""Whose password is compared next. That costs a quarter of a second each on purpose, or a question to a directory: so
many at once, in turn by address, those first who are known there.

A flood of log-ins then keeps neither the hub's other threads nor other people's log-ins waiting. Too many are refused:
of those who wait the last of the address that has the most, so that a newcomer always finds a place.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

THREADS = max(2, min(8, os.cpu_count() or 2))
MOST = 200  # log-ins that wait: 25 s with two threads
MOST_OF_ONE = 50  # of one address: a class behind one router, that begins at one moment

T = TypeVar("T")
Lane = OrderedDict[str, deque[asyncio.Future[None]]]  # of each address; whose turn is next stands first


class Crowded(Exception):
    """Too many wait already."""


class Checks:
    """`at_once` run; `of_one` address and `most` of all wait at a time."""

    def __init__(self, at_once: int = THREADS, most: int = MOST, of_one: int = MOST_OF_ONE) -> None:
        self.threads = ThreadPoolExecutor(at_once, "password")
        self._free = at_once
        self._most = most
        self._of_one = of_one
        self._known: Lane = OrderedDict()
        self._others: Lane = OrderedDict()

    async def run(self, client: str, check: Callable[[], T], known: bool = False) -> T:
        """What `check` says, in a thread, when it is the address's turn. Raises Crowded."""
        async with self.turn(client, known):
            return await asyncio.get_running_loop().run_in_executor(self.threads, check)

    @asynccontextmanager
    async def turn(self, client: str, known: bool = False) -> AsyncIterator[None]:
        """`known`: this name has logged in from there. Raises Crowded, at once or while it waits."""
        lane = self._known if known else self._others
        if len(lane.get(client, ())) >= self._of_one:
            raise Crowded
        if self._waiting() >= self._most:
            self._make_room(client, known)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.setdefault(client, deque()).append(turn)
        self._go_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # it came, and nobody was there
                self._leave()
            self._forget(lane, client, turn)
            raise
        try:
            yield
        finally:
            self._leave()

    def _forget(self, lane: Lane, client: str, turn: asyncio.Future[None]) -> None:
        mine = lane.get(client)
        if mine and turn in mine:
            mine.remove(turn)
            if not mine:
                del lane[client]

    def _waiting(self) -> int:
        return sum(len(mine) for lane in (self._known, self._others) for mine in lane.values())

    def _make_room(self, client: str, known: bool) -> None:
        """Raises Crowded where nobody has more than whoever comes."""
        crowd = max(self._others, key=lambda each: len(self._others[each]), default=None)
        if crowd is None or (not known and len(self._others[crowd]) <= len(self._others.get(client, ())) + 1):
            raise Crowded
        last = self._others[crowd].pop()
        if not self._others[crowd]:
            del self._others[crowd]
        if not last.done():
            last.set_exception(Crowded())

    def _leave(self) -> None:
        self._free += 1
        self._go_on()

    def _go_on(self) -> None:
        while self._free and (lane := self._known or self._others):
            client, mine = lane.popitem(last=False)
            turn = mine.popleft()
            if mine:
                lane[client] = mine  # behind all others
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
