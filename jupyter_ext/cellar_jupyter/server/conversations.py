"""What a browser does with whole conversations."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import msgspec
from cellar import wire
from cellar.conversation import (
    ConversationRecord,
    TurnRecord,
    answer_text,
    conversation_to_wire,
)
from cellar.errors import Conflict, NotFound
from cellar.export import export_json, export_markdown, export_notebook

from .asking import conversation_id_of

if TYPE_CHECKING:
    from .shelf import Shelf
    from .turns import Turns


class Conversations:
    def __init__(self, shelf: Shelf, turns: Turns) -> None:
        self._shelf = shelf
        self._turns = turns

    async def show(self, conversation_id: str) -> wire.Conversation:
        """With the text so far of what runs, and its cursor."""
        await self._turns.ready.wait()
        record = await self._shelf.open(conversation_id)
        shown = [self._turns.as_it_is(turn) for turn in record.turns]
        cursors = {turn.id: cursor for turn in record.turns if (cursor := self._turns.cursor(turn.id))}
        return conversation_to_wire(record, shown, cursors)

    async def whole(self, conversation_id: str) -> ConversationRecord:
        """The record with the text so far of what runs."""
        await self._turns.ready.wait()
        record = await self._shelf.open(conversation_id)
        turns = tuple(self._turns.as_it_is(turn) for turn in record.turns)
        return msgspec.structs.replace(record, turns=turns)

    async def change(self, conversation_id: str, patch: wire.ConversationPatch) -> wire.Conversation:
        record = await self._shelf.open(conversation_id)
        if patch.title is not None:
            record = msgspec.structs.replace(record, title=patch.title.strip() or record.title)
        if patch.head_id is not None:
            if record.turn(patch.head_id) is None:
                raise NotFound("No such turn in the conversation")
            record = msgspec.structs.replace(record, head_id=patch.head_id)
        self._shelf.put(record)
        await self._shelf.save(conversation_id)
        return await self.show(conversation_id)

    async def delete(self, conversation_id: str) -> None:
        """Nothing of it is kept, and what runs in it is stopped; unless the disk refuses: then nothing happens."""
        await self._turns.ready.wait()
        await self._shelf.delete(conversation_id)
        await self._turns.discard(conversation_id)

    def export(self, record: ConversationRecord, kind: str) -> bytes:
        """The branch that is shown, as "md" or "ipynb"; all branches as "json"."""
        if kind == "md":
            return export_markdown(record).encode()
        return export_notebook(record) if kind == "ipynb" else export_json(record)

    async def begin_from(self, turn_id: str) -> wire.Conversation:
        """A new conversation whose first turn is the summary that a `compact` turn made."""
        record = await self._shelf.open(conversation_id_of(turn_id))
        source = record.turn(turn_id)
        if source is None:
            raise NotFound("No such turn")
        summary = answer_text(source.parts)
        if source.mode != "compact" or source.state != "complete" or not summary:
            raise Conflict("The turn is no finished summary")
        now = time.time()
        new_id = secrets.token_hex(8)
        first = TurnRecord(
            id=f"{new_id}-{secrets.token_hex(5)}",
            parent_id=None,
            mode="compact",
            state="complete",
            text="",
            created=now,
            finished=now,
            model=source.model,
            parts=(wire.TextPart(text=summary),),
        )
        begun = ConversationRecord(
            id=new_id,
            title=record.title,
            created=now,
            updated=now,
            turns=(first,),
            head_id=first.id,
            redaction=record.redaction,
        )
        self._shelf.put(begun)
        await self._shelf.save(new_id)
        return await self.show(new_id)
