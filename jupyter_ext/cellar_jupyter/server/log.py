"""The log of one turn: what happened so far, read by position, never by copying it per reader.

Consecutive text is one entry that holds the pieces as they came, so a reader that is behind gets all it missed as one
event, however long it slept, and nothing is kept per reader. A *cursor* is a position with four letters of this log's
own in front: a cursor of another log (another server run, or one rebuilt from disk) does not parse here, and its reader
gets a snapshot.

Not thread-safe: everything happens on the server's event loop.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from bisect import bisect_right
from collections.abc import Sequence

from cellar.wire import (
    AnswerPart,
    ErrorEvent,
    Event,
    FinishedEvent,
    PendingEvent,
    QueuedEvent,
    ReasoningEvent,
    ReasoningPart,
    SnapshotEvent,
    TextEvent,
    TextPart,
)


class _Entry:
    """One event, or a run of text (`pieces`); `start` is its first position, `length` how many it covers."""

    __slots__ = ("event", "length", "pieces", "start")

    def __init__(self, start: int, event: Event) -> None:
        self.start = start
        self.length = 1
        self.event: Event = event
        self.pieces: list[str] | None = None
        if isinstance(event, TextEvent | ReasoningEvent):
            self.pieces = [event.delta]

    def absorb(self, event: Event) -> bool:
        """Take `event` into this entry: text of the same kind, or a newer place in the queue."""
        if type(event) is not type(self.event):
            return False
        if self.pieces is not None and isinstance(event, TextEvent | ReasoningEvent):
            self.pieces.append(event.delta)
        elif isinstance(event, QueuedEvent | PendingEvent):
            self.event = event
        else:
            return False
        self.length += 1
        return True

    def since(self, position: int) -> Event:
        """What a reader at `position` has not seen of this entry."""
        if self.pieces is None:
            return self.event
        text = "".join(self.pieces[max(0, position - self.start) :])
        return TextEvent(delta=text) if isinstance(self.event, TextEvent) else ReasoningEvent(delta=text)


class EventLog:
    """Append-only; ends with `finished` or `error`."""

    def __init__(self) -> None:
        self._run = "".join(secrets.choice(string.ascii_letters) for _ in range(4))
        self._entries: list[_Entry] = []
        self._starts: list[int] = []
        self._wakes: set[asyncio.Event] = set()
        self._ends: set[asyncio.Event] = set()
        self.length = 0
        self.ended = False

    def append(self, event: Event) -> None:
        if self.ended:
            raise RuntimeError("the log has ended")
        if not (self._entries and self._entries[-1].absorb(event)):
            self._entries.append(_Entry(self.length, event))
            self._starts.append(self.length)
        self.length += 1
        if isinstance(event, FinishedEvent | ErrorEvent):
            self.ended = True
            for end in self._ends:
                end.set()
        for wake in self._wakes:
            wake.set()

    def read(self, position: int) -> list[Event]:
        """The events from `position` to the end, text joined."""
        if position >= self.length:
            return []
        first = max(0, bisect_right(self._starts, position) - 1)
        return [entry.since(position) for entry in self._entries[first:]]

    def parts(self) -> tuple[AnswerPart, ...]:
        """The answer so far."""
        parts: list[AnswerPart] = []
        for entry in self._entries:
            if entry.pieces is not None:
                text = "".join(entry.pieces)
                kind = TextPart if isinstance(entry.event, TextEvent) else ReasoningPart
                if parts and isinstance(parts[-1], kind):
                    text = parts.pop().text + text
                parts.append(kind(text=text))
        return tuple(parts)

    def snapshot(self) -> list[Event]:
        """Everything for a reader that holds nothing, or something else: one snapshot, then what stands beside it."""
        beside = [entry.event for entry in self._entries if entry.pieces is None]
        if len(beside) > 1:
            beside = [e for e in beside[:-1] if not isinstance(e, QueuedEvent | PendingEvent)] + beside[-1:]
        return [SnapshotEvent(parts=self.parts()), *beside]

    def open(self, cursor: str) -> tuple[Sequence[Event], int]:
        """Where a reader with `cursor` begins: (what it gets at once, its position after that).

        "" and "0" mean "I have nothing": the events themselves where nothing would come token by token, i.e. always,
        since text is joined; a running answer begins with its snapshot, so that a page may draw it in one go.
        """
        if cursor in ("", "0"):
            if self.ended or not any(entry.pieces for entry in self._entries):
                return [], 0
            return self.snapshot(), self.length
        position = self._position(cursor)
        if position is None:
            return self.snapshot(), self.length
        return [], position

    def cursor(self, position: int | None = None) -> str:
        return f"{self._run}{self.length if position is None else position}"

    def _position(self, cursor: str) -> int | None:
        run, digits = cursor[:4], cursor[4:]
        if run != self._run or not digits.isascii() or not digits.isdigit() or len(digits) > 12:
            return None
        position = int(digits)
        return position if position <= self.length else None

    def subscribe(self, wake: asyncio.Event, end: asyncio.Event | None = None) -> None:
        """Set `wake` at every event from now on, and `end` at the last one."""
        self._wakes.add(wake)
        if end is not None:
            self._ends.add(end)

    def unsubscribe(self, wake: asyncio.Event, end: asyncio.Event | None = None) -> None:
        self._wakes.discard(wake)
        if end is not None:
            self._ends.discard(end)
