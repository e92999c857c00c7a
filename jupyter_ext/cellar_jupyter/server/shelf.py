"""Conversations in memory while something happens to them, and their way to the store.

All changes are made on the event loop, on a record taken from `open`, and put back without an await in between; so two
requests cannot overwrite each other. The store, which blocks, is only ever called in a thread; writes go through one
disk thread and keep their order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from cellar import wire
from cellar.conversation import ConversationRecord, last_final, with_turn
from cellar.errors import DiskRefused, NotFound

from .store import MemoryStore, Store, Unsaved

_T = TypeVar("_T")

SOON = 2.0
"""Seconds that a look at the server waits for the disk."""


class Shelf:
    """The conversations of this server."""

    def __init__(self, store: Store, log: logging.Logger) -> None:
        self.store = store
        self._log = log
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="cellar-disk")
        self._open: dict[str, ConversationRecord] = {}
        self._deleted: set[str] = set()
        self._deleting: dict[str, asyncio.Event] = {}  # set when it is done, or refused
        self.unsaved: set[str] = set()
        self._saving: set[asyncio.Future[ConversationRecord]] = set()

    # -- threads ------------------------------------------------------------------------------------------------------

    def in_disk_thread(self, call: Callable[..., _T], *args: object) -> asyncio.Future[_T]:
        """Run `call` after every write asked for before it. An error nobody awaits is logged by its type."""
        future = asyncio.get_running_loop().run_in_executor(self._disk, call, *args)
        future.add_done_callback(self._seen)
        return future

    def _seen(self, future: asyncio.Future[_T]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._log.warning("Cellar could not write to disk: %s", type(error).__name__)

    # -- one conversation ---------------------------------------------------------------------------------------------

    async def open(self, conversation_id: str) -> ConversationRecord:
        """Raises `NotFound`."""
        here = self._open.get(conversation_id)
        if here is not None:
            return here
        loaded = await asyncio.to_thread(self.store.load, conversation_id)
        here = self._open.get(conversation_id)  # somebody was faster
        if here is None:
            if loaded is None or conversation_id in self._deleted:
                raise self._missing(conversation_id)
            here = loaded
        return here

    def _missing(self, conversation_id: str) -> NotFound:
        """A page asks for what was there once: where nothing outlives the server, it was another server's."""
        lost = isinstance(self.store, MemoryStore) and conversation_id not in self._deleted
        return NotFound("No such conversation", detail={"why": "restarted"} if lost else None)

    def current(self, conversation_id: str) -> ConversationRecord | None:
        """The record if it is in memory because something happens to it."""
        return self._open.get(conversation_id)

    def put(self, conversation: ConversationRecord) -> None:
        """Hold this record until it is saved."""
        if conversation.id not in self._deleted:
            self._open[conversation.id] = conversation

    def _saved(self, record: ConversationRecord) -> asyncio.Future[ConversationRecord]:
        saving = self.in_disk_thread(self.store.save, record)
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)
        return saving

    async def settled(self) -> None:
        """What is being saved is saved or refused, unless that takes long."""
        if self._saving:
            await asyncio.wait(self._saving, timeout=SOON)

    async def save(self, conversation_id: str) -> bool:
        """Write the finished turns.

        False: the disk refused; the record stays in memory, the panel is told, and the next save tries again.
        """
        if conversation_id in self._deleting:
            await self._deleting[conversation_id].wait()
        record = self._open.get(conversation_id)
        if record is None:
            self.unsaved.discard(conversation_id)
            return True
        kept = _finished(record)
        try:
            written = await self._saved(kept)
        except Unsaved as error:
            self._log.warning("Cellar could not save a conversation: %s", error)
            self.unsaved.add(conversation_id)
            return False
        self.unsaved.discard(conversation_id)
        current = self._open.get(conversation_id)
        if current is None:
            return True
        known = {turn.id for turn in current.turns}
        for turn in written.turns:
            if turn.id not in known:  # another server on this directory wrote it
                current = with_turn(current, turn)
        self._open[conversation_id] = current
        saved = {turn.id for turn in written.turns}
        if _same_head(record, current) and all(turn.id in saved for turn in current.turns):
            del self._open[conversation_id]
        return True

    async def delete(self, conversation_id: str) -> None:
        """Raises `NotFound`, or `DiskRefused` when it is there as before. What would save it meanwhile waits."""
        if conversation_id in self._deleting:
            await self._deleting[conversation_id].wait()
        settled = self._deleting[conversation_id] = asyncio.Event()
        try:
            on_disk = await self.in_disk_thread(self.store.delete, conversation_id)
            was_open = self._open.pop(conversation_id, None) is not None
        except Unsaved as error:
            raise DiskRefused(
                f"The conversation could not be deleted: {error}",
                hint="Is there room on the disk, and may the server write into its data directory?",
            ) from None
        finally:
            del self._deleting[conversation_id]
            settled.set()
        self.unsaved.discard(conversation_id)
        if not was_open and not on_disk:
            raise NotFound("No such conversation")
        self._deleted.add(conversation_id)

    # -- all of them --------------------------------------------------------------------------------------------------

    async def summaries(self, query: str = "") -> list[wire.ConversationSummary]:
        """Newest first; with `query`, those that have it."""
        from cellar.conversation import find

        stored = (
            await asyncio.to_thread(self.store.search, query)
            if query
            else await asyncio.to_thread(self.store.summaries)
        )
        by_id = {summary.id: summary for summary in stored if summary.id not in self._deleted}
        for record in self._open.values():
            known = by_id.pop(record.id, None)
            excerpt = find(record, query) if query else ""
            if excerpt is None:
                continue
            by_id[record.id] = wire.ConversationSummary(
                id=record.id,
                title=record.title,
                created=record.created,
                updated=record.updated,
                turns=len(record.turns),
                size=known.size if known else 0,
                running=next((turn.id for turn in record.turns if not turn.final and not turn.waiting), None),
                excerpt=excerpt,
            )
        return sorted(by_id.values(), key=lambda summary: summary.updated, reverse=True)

    def close(self) -> None:
        self._disk.shutdown(wait=True)


def _finished(record: ConversationRecord) -> ConversationRecord:
    """What the store keeps: turns that have ended (running ones are in their journals)."""
    turns = tuple(turn for turn in record.turns if turn.final)
    return msgspec.structs.replace(record, turns=turns, head_id=last_final(record, record.head_id))


def _same_head(ours: ConversationRecord, theirs: ConversationRecord) -> bool:
    return ours.title == theirs.title and ours.head_id == theirs.head_id
