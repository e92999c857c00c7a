"""What of a turn is on the disk: its journal while it waits or runs, then its place in the conversation's file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cellar.conversation import ConversationRecord, TurnRecord

from .journal import Journal, Question
from .run import TurnRun
from .shelf import Shelf
from .store import DiskStore


class Keeping:
    """The way of turns to the disk; `runs` are those the server has, by their ids."""

    def __init__(self, shelf: Shelf, runs: Mapping[str, TurnRun]) -> None:
        self._shelf = shelf
        self._runs = runs
        self._left: dict[str, list[Journal]] = {}  # by conversation: they should be gone, and the disk refused

    def journal_for(self, turn: TurnRecord) -> Journal | None:
        """One that is not begun yet; None where nothing is written."""
        store = self._shelf.store
        return Journal(store.journals / f"{turn.id}.jsonl") if isinstance(store, DiskStore) else None

    def put_question(self, run: TurnRun, conversation: ConversationRecord) -> None:
        """Write the turn's question into its journal; `run.journaled` is done when it is on the disk."""
        if run.journal is not None:
            question = Question(
                conversation_id=conversation.id,
                title=conversation.title,
                created=conversation.created,
                turn=run.record,
            )
            written = self._shelf.in_disk_thread(run.journal.put, question)
            run.journaled = asyncio.ensure_future(self._written(run, written))

    async def _written(self, run: TurnRun, written: asyncio.Future[None]) -> None:
        """A disk that refuses does not refuse the question: the turn lives in memory, and the panel is told."""
        try:
            await written
        except OSError:
            self._shelf.unsaved.add(run.conversation_id)

    async def keep(self, run: TurnRun) -> None:
        """Save an ended turn, which its conversation has already."""
        if not await self.save(run.conversation_id) and run.journal is not None:
            # all that the disk has of it: whole, whatever was refused before
            self._shelf.in_disk_thread(run.journal.append, run.log.snapshot())

    async def save(self, conversation_id: str) -> bool:
        """Save the conversation; the journals of its ended turns go. False: the disk refused."""
        runs = [run for run in self._runs.values() if run.conversation_id == conversation_id and run.ended is not None]
        saved = await self._shelf.save(conversation_id)
        if saved:
            for journal in self._left.pop(conversation_id, []):
                await self._remove(journal, conversation_id)
            for run in runs:
                await self.drop_journal(run)
        return saved

    async def save_again(self) -> None:
        """Try once more what the disk refused."""
        for conversation_id in list(self._shelf.unsaved):
            if not await self.save(conversation_id):
                return

    async def drop_journal(self, run: TurnRun) -> None:
        if run.journal is not None:
            await self._remove(run.journal, run.conversation_id)

    async def _remove(self, journal: Journal, conversation_id: str) -> None:
        """Now, or behind the next save that the disk takes."""
        try:
            await self._shelf.in_disk_thread(journal.remove)
        except OSError:
            self._left.setdefault(conversation_id, []).append(journal)
            self._shelf.unsaved.add(conversation_id)
