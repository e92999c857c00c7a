"""One turn while the server owns it: its log, its journal, who reads it, and the loop that asks the model.

The loop runs in a task of its own, so nothing a browser does or fails to do ends it, except Stop. It writes events into
the log (memory) at once and into the journal (disk, in the disk thread) every `FLUSH` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal

from cellar import wire
from cellar.chat import Delta, Finish, Opened, Queued, Reasoning, UsageSeen
from cellar.conversation import TurnRecord, fold, turn_to_wire

from .log import EventLog

if TYPE_CHECKING:
    from cellar.client import ChatRequest, ModelClient, ModelEvent

    from .journal import Journal

StoppedBy = Literal["", "user", "orphan"]
FLUSH = 0.2
"""Seconds of text that a killed server may lose."""
GET_COUNTS_FOR = 60.0
"""Seconds for which one `GET turns/{id}` counts as somebody reading."""
MAX_ANSWER = 8_000_000
"""Characters of one answer, reasoning included; more than any model writes ends in `length`, not in all of memory."""

_REASONS: dict[str, wire.FinishReason] = {"length": "length", "stop": "complete", "eos": "complete"}


def _nothing() -> None:
    """Before the model is asked there is nothing to stop."""


class TurnRun:
    """A turn in the hands of the server, from POST until ten minutes after its end."""

    def __init__(
        self,
        record: TurnRecord,
        conversation_id: str,
        journal: Journal | None,
        in_disk_thread: Callable[..., object],
    ) -> None:
        self.record = record  # as it was before the log's events
        self.conversation_id = conversation_id
        self.journal = journal
        self.log = EventLog()
        self.task: asyncio.Task[None] | None = None
        self.stopped_by: StoppedBy = ""
        self.edited = False  # held by an edit, not by a Stop or an error
        self.discarded = False  # its conversation was deleted: keep nothing
        self.journaled: asyncio.Future[None] | None = None
        self.ended: TurnRecord | None = None
        self.stop_asking: Callable[[], object] = _nothing
        self._in_disk_thread = in_disk_thread
        self._written = 0
        self._flush_due: asyncio.TimerHandle | None = None
        self._readers = 0
        self._read_until = 0.0
        self._generating = False

    @property
    def id(self) -> str:
        return self.record.id

    # -- events -------------------------------------------------------------------------------------------------------

    def emit(self, event: wire.Event) -> None:
        """Into the log at once, into the journal soon."""
        self.log.append(event)
        if self.journal is not None and self._flush_due is None and not self.log.ended:
            self._flush_due = asyncio.get_running_loop().call_later(FLUSH, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        if self.journal is not None and self._written < self.log.length:
            events, self._written = self.log.read(self._written), self.log.length
            self._in_disk_thread(self.journal.append, events)

    def flush_blocking(self) -> None:
        """The process ends: write what is left from the thread that asks."""
        if self.journal is not None and self._written < self.log.length and not self.log.ended:
            events, self._written = self.log.read(self._written), self.log.length
            self.journal.append(events)

    def settled(self) -> TurnRecord:
        """The turn with everything that happened so far."""
        events = self.log.read(0)
        if self.task is not None:  # it waits no longer; its record says so
            events = [event for event in events if not isinstance(event, wire.PendingEvent)]
        return fold(self.record, events)

    def to_wire(self) -> wire.Turn:
        cursor = None if self.log.ended else self.log.cursor()
        return turn_to_wire(self.settled(), self.conversation_id, cursor)

    def finish(self, event: wire.FinishedEvent | wire.ErrorEvent) -> None:
        """The last event."""
        if self._flush_due is not None:
            self._flush_due.cancel()
        self.log.append(event)
        self._flush()  # with its end: from here on a crash costs nothing of it

    # -- readers ------------------------------------------------------------------------------------------------------

    def reader_came(self) -> None:
        self._readers += 1

    def reader_left(self) -> None:
        self._readers -= 1
        self._read_until = max(self._read_until, time.monotonic())

    def was_read(self, counts_for: float = GET_COUNTS_FOR) -> None:
        """Somebody asked for the turn's state."""
        self._read_until = max(self._read_until, time.monotonic() + counts_for)

    async def stop_when_orphaned(self, grace: float) -> None:
        """Stop when the model has generated for `grace` seconds with nobody reading."""
        while not self.log.ended:
            unread = not self._readers and self._generating
            left = self._read_until + grace - time.monotonic() if unread else grace
            if left <= 0:
                self.stop("orphan")
                return
            await asyncio.sleep(left)

    def stop(self, by: StoppedBy) -> None:
        """End the asking; the first to say so counts."""
        if not self.stopped_by and not self.log.ended:
            self.stopped_by = by
            self.stop_asking()

    # -- the answer ---------------------------------------------------------------------------------------------------

    async def ask(self, client: ModelClient, request: ChatRequest, headers: dict[str, str]) -> wire.FinishReason:
        """Open the request and write what comes into the log. Raises what the client raises."""
        reading = _Reading(self, request.model)
        async with aclosing(client.stream_chat(request, headers=headers)) as events:
            async for event in events:
                reason = reading.take(event)
                if reason is not None:
                    return reason
        return "interrupted"

    def generating(self, now: bool) -> None:
        """Whether the model works on it; waiting in a queue does not count against its readers."""
        self._generating = now
        self._read_until = max(self._read_until, time.monotonic())


class _Reading:
    """Model events -> events of the turn, with their times."""

    def __init__(self, run: TurnRun, model: str) -> None:
        self.run = run
        self.model = model
        self.asked = time.perf_counter()
        self.first: float | None = None
        self.started = False
        self.queued = False
        self.size = 0

    def take(self, event: ModelEvent) -> wire.FinishReason | None:
        match event:
            case Delta(text):
                self._text(wire.TextEvent(delta=text), len(text))
            case Reasoning(text):
                self._text(wire.ReasoningEvent(delta=text), len(text))
            case Opened():
                self._start()
            case Queued(position, ahead):
                self.started, self.queued = False, True
                self.run.generating(False)
                self.run.emit(wire.QueuedEvent(position=position, ahead=ahead))
            case UsageSeen(prompt, completion, cached):
                self._usage(prompt, completion, cached)
            case Finish(reason):
                return "interrupted" if reason is None else _REASONS.get(reason, "complete")
        return "length" if self.size > MAX_ANSWER else None

    def _start(self) -> None:
        """The model has it; after a wait in a queue the readers are told."""
        if not self.started:
            self.started = True
            self.run.generating(True)
            if self.queued:
                self.run.emit(wire.StartedEvent(model=self.model))

    def _text(self, event: wire.TextEvent | wire.ReasoningEvent, size: int) -> None:
        self._start()
        if self.first is None:
            self.first = time.perf_counter()
        self.size += size
        self.run.emit(event)

    def _usage(self, prompt: int, completion: int, cached: int | None) -> None:
        now = time.perf_counter()
        usage = wire.Usage(
            prompt=prompt,
            completion=completion,
            cached=cached,
            ttft_ms=round(((self.first or now) - self.asked) * 1000, 1),
            total_ms=round((now - self.asked) * 1000, 1),
        )
        self.run.emit(wire.UsageEvent(usage=usage))
