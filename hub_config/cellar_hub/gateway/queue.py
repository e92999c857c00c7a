"""The fair queue before one model server: who is next, and how long it may take. No I/O, one event loop.

Design note. At most `max_inflight` requests are at the server; so the waiting happens here, where it can be fair and
seen, and not in vLLM's first-come queue. Who is next is told by the Virtual Token Counter (Sheng et al., "Fairness in
Serving Large Language Models", arXiv 2401.00588): each user has a counter of the tokens served to them, prompt tokens
once and answer tokens twice (the paper's weights); the waiting user with the lowest counter is admitted. Output is
charged while it streams. A user who comes back from idleness is *lifted* to the lowest counter among those who wait
(or, with nobody waiting, to that of the last one admitted), so that nobody saves up credit while away, and nobody who
worked alone pays for it later. With equal counters, who has less under way goes first, then who was served longest ago.

Classes are strict: chat before agent before batch, and batch never takes more than half of the places. Completions
(ghost text) have a small share of the places for themselves: they wait behind no chat, and no chat behind them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

Class = Literal["completion", "chat", "agent", "batch"]
CLASSES: tuple[Class, ...] = ("completion", "chat", "agent", "batch")
"""In order of priority: the index is vLLM's."""

PROMPT_WEIGHT = 1
ANSWER_WEIGHT = 2
COMPLETIONS_PER_USER = 2
SMALLEST_SHARED = 4
"""With fewer places than that, completions have none for themselves: they wait with the chats, before these."""
MAX_COUNTERS = 10_000
_SMOOTHING = 0.2


class QueueFull(Exception):
    """No place. `whose`: "user" or "all"; `wait`: seconds after which it may be worth to come again."""

    def __init__(self, whose: Literal["user", "all", "wait"], wait: float) -> None:
        super().__init__(whose)
        self.whose = whose
        self.wait = wait


class Ticket:
    """One request's place: waiting, then running, then left."""

    __slots__ = ("_admitted", "_queue", "arrived", "cost", "klass", "max_running", "number", "started", "state", "user")

    def __init__(
        self, queue: FairQueue, user: str, klass: Class, cost: int, max_running: int, number: int, now: float
    ) -> None:
        self._queue = queue
        self.user = user
        self.klass = klass
        self.cost = cost
        self.max_running = max_running
        self.number = number
        self.arrived = now
        self.started: float | None = None
        self.state: Literal["waiting", "running", "left"] = "waiting"
        self._admitted = asyncio.get_running_loop().create_future()

    async def admitted(self) -> None:
        """Wait for the place. Cancelling the wait does not give it up: `leave` does."""
        await asyncio.shield(self._admitted)

    def place(self) -> tuple[int, int]:
        """(position from 1, requests that will probably go before)."""
        ahead = self._queue.ahead(self)
        return ahead + 1, ahead

    def charge(self, tokens: int) -> None:
        """So many answer tokens were served."""
        self._queue.charge(self.user, tokens * ANSWER_WEIGHT)

    def leave(self) -> None:
        """Give the place up, waiting or running; may be called again."""
        self._queue.leave(self)

    def _admit(self, now: float) -> None:
        self.state, self.started = "running", now
        if not self._admitted.done():
            self._admitted.set_result(None)


class FairQueue:
    """`max_waiting` and `max_wait` (seconds) bound the queue as a whole; a user's own bounds come with each request."""

    def __init__(
        self,
        max_inflight: int,
        *,
        max_waiting: int = 1000,
        max_wait: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own = max(1, max_inflight // 8) if max_inflight >= SMALLEST_SHARED else 0
        self._places = {"main": max_inflight - own, "completion": own}
        self._batch = max(1, self._places["main"] // 2)
        self.max_inflight = max_inflight
        self._max_waiting = max_waiting
        self.max_wait = max_wait
        self._clock = clock
        self._counters: dict[str, int] = {}
        self._floor = 0  # the counter of whoever was admitted last
        self._served: dict[str, int] = {}  # user -> the number of the last admission
        self._lines: dict[Class, dict[str, deque[Ticket]]] = {klass: {} for klass in CLASSES}
        self._running: dict[tuple[str, str], int] = {}  # (user, lane)
        self._in: dict[str, int] = {"main": 0, "completion": 0}
        self._batches = 0
        self._waiting = 0
        self._number = 0
        self._admissions = 0
        self._held: dict[str, float] = {}  # lane -> smoothed seconds that a place was held
        self._order: dict[str, dict[int, int]] = {}  # lane -> ticket number -> how many before it; empty: not computed

    @property
    def running(self) -> int:
        return sum(self._in.values())

    @property
    def waiting(self) -> int:
        return self._waiting

    def enter(self, user: str, klass: Class, *, cost: int, max_waiting: int, max_running: int) -> Ticket:
        """A place for a request of `cost` prompt tokens; admitted at once when there is room. Raises `QueueFull`."""
        now = self._clock()
        ticket = Ticket(self, user, klass, cost * PROMPT_WEIGHT, max_running, self._number, now)
        lane = self._lane(klass)
        if lane == "completion":
            ticket.max_running = min(max_running, COMPLETIONS_PER_USER)
        self._lift(user)
        self._number += 1
        self._line(ticket).append(ticket)
        self._waiting += 1
        self._changed(lane)
        self._fill(lane)
        if ticket.state == "waiting":
            problem = self._refuse(ticket, max_waiting, lane)
            if problem is not None:
                self.leave(ticket)
                raise problem
        return ticket

    def leave(self, ticket: Ticket) -> None:
        if ticket.state == "left":
            return
        lane = self._lane(ticket.klass)
        was, ticket.state = ticket.state, "left"
        self._changed(lane)
        if was == "waiting":
            self._waiting -= 1
            line = self._lines[ticket.klass][ticket.user]
            line.remove(ticket)
            if not line:
                del self._lines[ticket.klass][ticket.user]
            return
        self._in[lane] -= 1
        self._batches -= ticket.klass == "batch"
        key = (ticket.user, lane)
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        held = self._clock() - (ticket.started or 0.0)
        before = self._held.get(lane)
        self._held[lane] = held if before is None else before + _SMOOTHING * (held - before)
        self._fill(lane)

    def charge(self, user: str, tokens: int) -> None:
        self._counters[user] = self._counters.get(user, self._floor) + tokens

    def ahead(self, ticket: Ticket) -> int:
        """Requests that will go before a waiting one, if nobody else comes: the order is played through."""
        if ticket.state != "waiting":
            return 0
        lane = self._lane(ticket.klass)
        if not self._order.get(lane):
            self._order[lane] = {each.number: place for place, each in enumerate(self._played(lane))}
        return self._order[lane].get(ticket.number, 0)

    def wait_of(self, ticket: Ticket) -> float:
        """Seconds that a waiting request will probably wait; 0.0 when nothing was served yet."""
        lane = self._lane(ticket.klass)
        return (self.ahead(ticket) + 1) * self._held.get(lane, 0.0) / max(1, self._places[lane])

    # -- inside --------------------------------------------------------------------------------------------------------

    def _lane(self, klass: Class) -> str:
        return "completion" if klass == "completion" and self._places["completion"] else "main"

    def _classes(self, lane: str) -> Iterator[Class]:
        return (klass for klass in CLASSES if self._lane(klass) == lane)

    def _line(self, ticket: Ticket) -> deque[Ticket]:
        return self._lines[ticket.klass].setdefault(ticket.user, deque())

    def _changed(self, lane: str) -> None:
        self._order.pop(lane, None)

    def _lift(self, user: str) -> None:
        """A user who has nothing waiting starts at the lowest counter of those who have."""
        if any(user in line for line in self._lines.values()):
            return
        waiting = {other for line in self._lines.values() for other in line}
        floor = min((self._counters.get(other, 0) for other in waiting), default=self._floor)
        self._counters[user] = max(self._counters.get(user, 0), floor)
        if len(self._counters) > MAX_COUNTERS:
            self._forget(waiting | {name for name, _ in self._running} | {user})

    def _forget(self, busy: set[str]) -> None:
        """Those who have nothing under way and were served longest ago; should they return, they are lifted."""
        idle = sorted(self._counters.keys() - busy, key=lambda name: self._served.get(name, 0))
        for name in idle[: MAX_COUNTERS // 2]:
            self._counters.pop(name)
            self._served.pop(name, None)

    def _refuse(self, ticket: Ticket, max_waiting: int, lane: str) -> QueueFull | None:
        own = sum(len(line[ticket.user]) for line in self._lines.values() if ticket.user in line)
        wait = self.wait_of(ticket)
        if lane == "completion":
            max_waiting = min(max_waiting, COMPLETIONS_PER_USER)
        if own > max_waiting:
            return QueueFull("user", max(1.0, self._held.get(lane, 1.0)))
        if self._waiting > self._max_waiting:
            return QueueFull("all", max(1.0, wait))
        if wait > self.max_wait:
            return QueueFull("wait", wait)
        return None

    def _fill(self, lane: str) -> None:
        while self._in[lane] < self._places[lane]:
            ticket = self._next(lane)
            if ticket is None:
                return
            line = self._lines[ticket.klass][ticket.user]
            line.popleft()
            if not line:
                del self._lines[ticket.klass][ticket.user]
            self._waiting -= 1
            self._in[lane] += 1
            self._batches += ticket.klass == "batch"
            key = (ticket.user, lane)
            self._running[key] = self._running.get(key, 0) + 1
            self._admissions += 1
            self._served[ticket.user] = self._admissions
            self._floor = self._counters.get(ticket.user, 0)
            self.charge(ticket.user, ticket.cost)
            self._changed(lane)
            ticket._admit(self._clock())

    def _next(self, lane: str) -> Ticket | None:
        for klass in self._classes(lane):
            if klass == "batch" and self._batches >= self._batch:
                continue
            heads = [
                line[0]
                for user, line in self._lines[klass].items()
                if self._running.get((user, lane), 0) < line[0].max_running
            ]
            if heads:
                return min(heads, key=lambda head: self._rank(head, lane))
        return None

    def _rank(self, head: Ticket, lane: str) -> tuple[int, int, int, int]:
        user = head.user
        running = self._running.get((user, lane), 0)
        return self._counters.get(user, 0), running, self._served.get(user, 0), head.number

    def _played(self, lane: str) -> Iterator[Ticket]:
        for klass in self._classes(lane):
            lines = self._lines[klass]
            users = {
                user: (self._counters.get(user, 0), self._running.get((user, lane), 0), self._served.get(user, 0))
                for user in lines
            }
            yield from _played({user: iter(line) for user, line in lines.items()}, users, self._admissions)


def _played(
    lines: dict[str, Iterator[Ticket]], users: dict[str, tuple[int, int, int]], admissions: int
) -> Iterator[Ticket]:
    """The waiting ones in the order in which they will be admitted, each charged with its prompt.
    `users`: their counters, running requests and last admissions."""
    heap: list[tuple[int, int, int, int, Ticket]] = []

    def push(user: str) -> None:
        ticket = next(lines[user], None)
        if ticket is not None:
            heapq.heappush(heap, (*users[user], ticket.number, ticket))

    for user in lines:
        push(user)
    while heap:
        counter, running, _, _, ticket = heapq.heappop(heap)
        admissions += 1
        users[ticket.user] = counter + ticket.cost, running + 1, admissions
        push(ticket.user)
        yield ticket
