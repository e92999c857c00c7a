"""Turns: taken from the browser, kept in order, run one at a time in each conversation, and kept when they end.

The rules of order stand in `cellar.conversation` (pure); this module applies them and owns what runs.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

import msgspec
from cellar import wire
from cellar.conversation import (
    ConversationRecord,
    TurnRecord,
    last_settled,
    pills_of,
    rechain,
    title_of,
    turn_to_wire,
    waiting,
    with_turn,
    without_turn,
)
from cellar.errors import Conflict, NotFound, TooLarge

from .answer import Answering
from .asking import conversation_id_of, named_conversation, new_turn, refuse_empty
from .driving import drive
from .journal import Journal
from .keeping import Keeping
from .keys import RequestKeys
from .log import EventLog
from .prompting import without_secrets
from .replay import rebuilt_log
from .run import TurnRun
from .shelf import Shelf

READABLE_FOR = 600.0
"""Seconds a finished turn's events stay readable from their beginning."""


class Turns:
    """All turns of this server."""

    def __init__(self, shelf: Shelf, answering: Answering, log: logging.Logger, touch: Callable[[], None]) -> None:
        self._shelf = shelf
        self._answering = answering
        self._log = log
        self._touch = touch
        self._runs: dict[str, TurnRun] = {}
        self._running: dict[str, TurnRun] = {}  # by conversation
        self.keys = RequestKeys()
        self.keeping = Keeping(shelf, self._runs)
        self._ending: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()  # journals and keys of earlier servers are read

    # -- POST ---------------------------------------------------------------------------------------------------------

    async def post(self, request: wire.TurnRequest) -> wire.TurnCreated:
        """Take a question; the same `request_key` answers the same turn."""
        await self.ready.wait()
        known = await self.keys.known(request.request_key)
        if known is not None:
            return msgspec.structs.replace(known, state=await self._state_of(known))
        with self.keys.taking(request.request_key) as took:
            return await self._take(request, took)

    async def _state_of(self, created: wire.TurnCreated) -> wire.TurnState:
        try:
            return (await self.get(created.turn_id)).state
        except NotFound:  # deleted since
            return created.state

    async def _take(self, request: wire.TurnRequest, took: Callable[[wire.TurnCreated], None]) -> wire.TurnCreated:
        self._answering.check(request)
        now = time.time()
        named = named_conversation(request)
        if named is not None:
            await self._check_size(named)
            conversation = await self._shelf.open(named)  # last, so that nothing happens to it in between
        else:
            conversation = ConversationRecord(id=secrets.token_hex(8), title="", created=now, updated=now)
        turn = new_turn(conversation, request, now)
        if not conversation.title:
            title = title_of(without_secrets(turn.text), now, self._answering.config.auto_title)
            conversation = msgspec.structs.replace(conversation, title=title)
        conversation = with_turn(conversation, turn)
        conversation = msgspec.structs.replace(conversation, head_id=turn.id)
        self._shelf.put(conversation)
        run = self._own(turn, conversation.id, self.keeping.journal_for(turn))
        blocked = conversation.id in self._running or any(
            other.state == "pending" for other in waiting(conversation) if other.id != turn.id
        )
        if blocked:
            run.emit(wire.PendingEvent())
            self.keeping.put_question(run, conversation)
        else:
            self._start(conversation, run)
        created = wire.TurnCreated(turn_id=turn.id, conversation_id=conversation.id, state=run.settled().state)
        took(created)
        if run.journaled is not None:
            await asyncio.shield(run.journaled)
        return msgspec.structs.replace(created, state=run.settled().state)

    async def _check_size(self, conversation_id: str) -> None:
        limit = self._answering.config.max_conversation_bytes
        size = await asyncio.to_thread(self._shelf.store.size, conversation_id)
        if size > limit:
            raise TooLarge(
                f"The conversation has {size:,} bytes; at most {limit:,} are kept",
                hint="Start a new chat, or a new one from a summary of this one.",
                detail={"why": "conversation"},
            )

    def _own(self, turn: TurnRecord, conversation_id: str, journal: Journal | None) -> TurnRun:
        run = TurnRun(turn, conversation_id, journal, self._shelf.in_disk_thread)
        self._runs[turn.id] = run
        return run

    # -- running ------------------------------------------------------------------------------------------------------

    def _start(self, conversation: ConversationRecord, run: TurnRun) -> None:
        """Let a waiting turn go: it gets its place in the tree and a task. Puts the changed conversation."""
        turn = conversation.turn(run.id) or run.record
        parent = last_settled(conversation, turn.parent_id)  # what waits may yet be removed; nothing hangs on it
        turn = msgspec.structs.replace(turn, state="running", parent_id=parent, follows=False)
        run.record = turn
        self.keeping.put_question(run, conversation)  # in the same tick as its start: the answer waits for it
        conversation = rechain(with_turn(conversation, turn), turn.id)
        self._shelf.put(conversation)
        self._running[conversation.id] = run
        run.task = asyncio.create_task(self._drive(run))

    async def _drive(self, run: TurnRun) -> None:
        """Run the answer to its end, then keep it and start the next."""
        await drive(run, self._answering, self._log, self._touch)
        await self._end(run)

    async def _end(self, run: TurnRun) -> None:
        """Keep the turn, free its conversation, start what waits."""
        self._touch()
        self._running.pop(run.conversation_id, None)
        asyncio.get_running_loop().call_later(READABLE_FOR, self._runs.pop, run.id, None)
        ended = msgspec.structs.replace(run.settled(), finished=time.time())
        run.ended = ended
        conversation = self._shelf.current(run.conversation_id)
        if run.discarded or conversation is None:
            await self.keeping.drop_journal(run)
            return
        conversation = with_turn(conversation, ended)
        self._shelf.put(conversation)
        if ended.state in ("complete", "length"):
            self._start_next(conversation)
        else:
            self._hold(conversation)
        await self._keep(run, ended)

    def _start_next(self, conversation: ConversationRecord) -> None:
        for turn in waiting(conversation):
            if turn.state == "pending" and turn.id in self._runs:
                self._start(conversation, self._runs[turn.id])
                return

    def _hold(self, conversation: ConversationRecord) -> None:
        """What waited does not follow a Stop or an error by itself."""
        for turn in waiting(conversation):
            if turn.id in self._runs:
                self._runs[turn.id].edited = False
            if turn.state == "pending":
                self._change_waiting(conversation.id, turn.id, state="held")

    def _change_waiting(self, conversation_id: str, turn_id: str, **changes: object) -> None:
        conversation = self._shelf.current(conversation_id)
        run = self._runs.get(turn_id)
        if conversation is None or run is None:
            return
        turn = conversation.turn(turn_id) or run.record
        run.record = msgspec.structs.replace(turn, **changes)
        self._shelf.put(with_turn(conversation, run.record))
        if "state" in changes:
            run.emit(wire.PendingEvent(held=changes["state"] == "held"))

    async def _keep(self, run: TurnRun, ended: TurnRecord) -> None:
        await self.keeping.keep(run)
        await self._answering.count_use(ended)

    # -- what a browser does with a turn ------------------------------------------------------------------------------

    async def get(self, turn_id: str) -> wire.Turn:
        run = await self._run(turn_id)
        if run is not None:
            run.was_read(self._answering.config.get_counts_for)
            return self._shown(run)
        return (await self._stored(turn_id))[1]

    def _shown(self, run: TurnRun) -> wire.Turn:
        """A turn as it is; the place in the tree is the conversation's to say."""
        if run.ended is not None:
            return turn_to_wire(run.ended, run.conversation_id)
        shown = run.to_wire()
        conversation = self._shelf.current(run.conversation_id)
        turn = conversation.turn(run.id) if conversation else None
        return msgspec.structs.replace(shown, parent_id=turn.parent_id) if turn else shown

    def as_it_is(self, turn: TurnRecord) -> TurnRecord:
        """A turn of a record with the text its run has so far."""
        run = self._runs.get(turn.id)
        if run is None or turn.final:
            return turn
        return msgspec.structs.replace(run.settled(), parent_id=turn.parent_id)

    def cursor(self, turn_id: str) -> str | None:
        run = self._runs.get(turn_id)
        return run.log.cursor() if run is not None and not run.log.ended else None

    async def _run(self, turn_id: str) -> TurnRun | None:
        """The run of a turn that this server has; right after its start it may yet have to take it over."""
        await self.ready.wait()
        return self._runs.get(turn_id)

    async def _stored(self, turn_id: str) -> tuple[TurnRecord, wire.Turn]:
        conversation = await self._shelf.open(conversation_id_of(turn_id))
        turn = conversation.turn(turn_id)
        if turn is None:
            raise NotFound("No such turn")
        return turn, turn_to_wire(turn, conversation.id)

    async def reading(self, turn_id: str) -> tuple[EventLog, TurnRun | None]:
        """The log to read: the turn's own, or one rebuilt from what is kept."""
        run = await self._run(turn_id)
        if run is not None:
            return run.log, run
        turn, _ = await self._stored(turn_id)
        return rebuilt_log(turn), None

    async def patch(self, turn_id: str, change: wire.TurnPatch) -> wire.Turn:
        """Edit a waiting turn, or let a held one go."""
        run = await self._waiting_run(turn_id)
        changes: dict[str, object] = {}
        if change.text is not None:
            changes["text"] = change.text
        if change.context is not None:
            changes |= {"context": change.context, "pills": pills_of(change.context), "copy_of": None}
        if changes:
            refuse_empty(msgspec.structs.replace(run.record, **changes))
            self._change_waiting(run.conversation_id, turn_id, **changes)
            conversation = self._shelf.current(run.conversation_id)
            if conversation is not None:
                self.keeping.put_question(run, conversation)
            if run.journaled is not None:
                await asyncio.shield(run.journaled)
        if turn_id in self._runs and run.task is None:
            if change.held:
                self._hold_for_edit(run)
            elif change.release or (change.held is False and run.edited):
                self._release(run)
        return self._shown(run)

    def _hold_for_edit(self, run: TurnRun) -> None:
        conversation = self._shelf.current(run.conversation_id)
        turn = conversation.turn(run.id) if conversation else None
        if turn is not None and turn.state == "pending":
            run.edited = True
            self._change_waiting(run.conversation_id, run.id, state="held")

    def _release(self, run: TurnRun) -> None:
        run.edited = False
        conversation = self._shelf.current(run.conversation_id)
        turn = conversation.turn(run.id) if conversation else None
        if conversation is None or turn is None or turn.state != "held":
            return
        if conversation.id in self._running:
            self._change_waiting(conversation.id, run.id, state="pending")
        else:
            run.record = turn
            self._start(conversation, run)

    async def _waiting_run(self, turn_id: str) -> TurnRun:
        run = await self._run(turn_id)
        if run is None:
            raise NotFound("No such waiting turn")
        if run.task is not None or run.log.ended:
            raise Conflict("The turn has been sent already")
        return run

    async def delete(self, turn_id: str) -> None:
        """Remove a waiting turn."""
        run = await self._waiting_run(turn_id)
        self._withdraw(run)
        await self.keeping.drop_journal(run)
        conversation = self._shelf.current(run.conversation_id)
        if conversation is not None and conversation.turns:
            await self.keeping.save(run.conversation_id)

    def _withdraw(self, run: TurnRun) -> None:
        run.finish(wire.FinishedEvent(reason="stopped", stopped_by="user"))
        self._runs.pop(run.id, None)
        conversation = self._shelf.current(run.conversation_id)
        if conversation is not None:
            self._shelf.put(without_turn(conversation, run.id))

    async def stop(self, turn_id: str) -> wire.Turn:
        """Idempotent. The partial answer is kept; a waiting turn ends without one."""
        run = await self._run(turn_id)
        if run is None:
            return (await self._stored(turn_id))[1]
        if not run.log.ended:
            if run.task is None:
                run.stopped_by = "user"
                run.finish(wire.FinishedEvent(reason="stopped", stopped_by="user"))
                run.task = asyncio.create_task(self._end_waiting(run))
                await asyncio.shield(run.task)
            else:
                run.stop("user")
                await asyncio.wait([run.task], timeout=1.0)
        return self._shown(run)

    async def _end_waiting(self, run: TurnRun) -> None:
        """A waiting turn was stopped: it is kept, with its question, and nothing else changes."""
        asyncio.get_running_loop().call_later(READABLE_FOR, self._runs.pop, run.id, None)
        await self._answering.mask_unsent(run)
        conversation = self._shelf.current(run.conversation_id)
        place = (conversation.turn(run.id) if conversation else None) or run.record
        ended = msgspec.structs.replace(run.settled(), finished=time.time(), follows=False, parent_id=place.parent_id)
        run.ended = ended
        if conversation is not None:
            self._shelf.put(with_turn(conversation, ended))
            await self._keep(run, ended)

    async def discard(self, conversation_id: str) -> None:
        """A conversation goes: end what runs in it and keep nothing."""
        tasks = []
        for run in [run for run in self._runs.values() if run.conversation_id == conversation_id]:
            run.discarded = True
            if run.log.ended:
                self._runs.pop(run.id, None)
                await self.keeping.drop_journal(run)
            elif run.task is None:
                self._withdraw(run)
                await self.keeping.drop_journal(run)
            else:
                run.stop("user")
                tasks.append(run.task)
        if tasks:
            await asyncio.wait(tasks, timeout=2.0)

    # -- the process --------------------------------------------------------------------------------------------------

    def adopt_waiting(self, conversation: ConversationRecord, held: list[tuple[TurnRecord, Journal]]) -> None:
        """A server before this one left these waiting turns: they wait for a click now."""
        here = self._shelf.current(conversation.id)
        if here is not None:  # used meanwhile
            for turn in conversation.turns:
                here = with_turn(here, turn) if here.turn(turn.id) is None else here
        self._shelf.put(here or conversation)
        self.keys.learn([(turn.request_key, turn.id, conversation.id) for turn, _ in held])
        for turn, journal in held:
            self._own(turn, conversation.id, journal).emit(wire.PendingEvent(held=True))

    @property
    def active(self) -> bool:
        return bool(self._running)

    def flush_blocking(self) -> None:
        for run in list(self._running.values()):
            run.flush_blocking()
