"""Events of turns as server-sent events.

The first byte goes out at once (a comment), so a proxy in between opens the response. The first text of a turn goes out
as it comes; after that, what comes within a frame of a screen travels together. A reader that is slow blocks only this
handler at its `flush`: while it waits nothing is collected for it, and then it gets what it missed as one event.

A page (`page=`, a name it makes for itself) is answered with 204 when enough pages of its user read already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from cellar import wire
from cellar.errors import BadRequest
from cellar.sse import encode_comment, encode_event
from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from ..log import EventLog
from .base import Route

if TYPE_CHECKING:
    from ..run import TurnRun

FRAME = 0.016
PING = 10.0
MAX_TURNS = 32

_encode = msgspec.json.Encoder().encode


class _Followed:
    """One turn of a response: its log and how far this reader has come."""

    def __init__(self, prefix: str, log: EventLog, run: TurnRun | None) -> None:
        self.prefix = prefix
        self.log = log
        self.run = run
        self.position = 0

    @property
    def done(self) -> bool:
        return self.log.ended and self.position >= self.log.length

    def encode(self, events: Sequence[wire.Event]) -> bytes:
        """The events of one batch; the last carries the cursor, so that no reader goes on in the middle of a batch."""
        if not events:
            return b""
        cursor = self.prefix + self.log.cursor(self.position)
        return b"".join(encode_event(_encode(event)) for event in events[:-1]) + encode_event(
            _encode(events[-1]), cursor
        )

    def take(self) -> tuple[bytes, bool]:
        """What is new, encoded, and whether text is in it."""
        events, self.position = self.log.read(self.position), self.log.length
        return self.encode(events), any(isinstance(event, wire.TextEvent | wire.ReasoningEvent) for event in events)

    def begin(self, cursor: str) -> bytes:
        first, self.position = self.log.open(cursor)
        return self.encode(first)


class _Stream(Route):
    """A response that follows turns until all of them have ended."""

    def initialize(self) -> None:
        self._gone = self._succeeded = False
        self._wake, self._end = asyncio.Event(), asyncio.Event()

    def on_connection_close(self) -> None:
        self._gone = True
        self._wake.set()
        self._end.set()

    def succeed(self) -> None:
        """The page reads by another response now."""
        self._succeeded = True
        self._wake.set()
        self._end.set()

    async def follow(self, followed: list[_Followed], cursors: list[str]) -> None:
        user, page = getattr(self.current_user, "username", ""), self.get_query_argument("page", "")
        if page and not self.cellar.readers.enter(user, page, self.succeed):
            self.set_status(204)
            self.finish()
            return
        try:
            await self._respond(followed, cursors)
        finally:
            self.cellar.readers.leave(user, page, self.succeed)

    async def _respond(self, followed: list[_Followed], cursors: list[str]) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")
        self.set_header("Content-Encoding", "identity")  # Jupyter's own compression would hold events back
        self.update_api_activity()
        for turn in followed:
            turn.log.subscribe(self._wake, self._end)
            if turn.run is not None:
                turn.run.reader_came()
        try:
            self.write(encode_comment("cellar"))
            for turn, cursor in zip(followed, cursors, strict=True):
                self.write(turn.begin(cursor))
            await self.flush()
            await self._pump(followed)
        except StreamClosedError:
            pass
        finally:
            for turn in followed:
                turn.log.unsubscribe(self._wake, self._end)
                if turn.run is not None:
                    turn.run.reader_left()
        if not self._gone:
            self.finish(set_content_type="text/event-stream; charset=utf-8")

    async def _pump(self, followed: list[_Followed]) -> None:
        while not (self._gone or self._succeeded):
            self._wake.clear()
            self._end.clear()
            taken = [turn.take() for turn in followed]
            data = b"".join(encoded for encoded, _ in taken)
            if data:
                self.write(data)
                await self.flush()
            if all(turn.done for turn in followed):
                return
            if any(has_text for _, has_text in taken):
                await _within(self._end, FRAME)  # what comes within this frame goes together; an end does not wait
            elif not await _within(self._wake, PING):
                self.write(encode_comment("ping"))
                await self.flush()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for it; False: it did not come."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class TurnEventsRoute(_Stream):
    @web.authenticated
    @authorized
    async def get(self, identity: str) -> None:
        log, run = await self.cellar.turns.reading(identity)
        cursor = self.get_query_argument("after", self.request.headers.get("Last-Event-ID", ""))
        await self.follow([_Followed("", log, run)], [cursor])


class EventsRoute(_Stream):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        wanted = self.get_query_arguments("turn")
        if not 1 <= len(wanted) <= MAX_TURNS:
            raise BadRequest(f"turn=ID:CURSOR, once to {MAX_TURNS} times")
        followed, cursors = [], []
        for index, item in enumerate(wanted):
            turn_id, _, cursor = item.partition(":")
            log, run = await self.cellar.turns.reading(turn_id)
            followed.append(_Followed(f"{index}.", log, run))
            cursors.append(cursor)
        await self.follow(followed, cursors)
