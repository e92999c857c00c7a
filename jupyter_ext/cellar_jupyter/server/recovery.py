"""What earlier servers left behind: journals become `interrupted` turns with their text, waiting turns wait again.

A journal whose lock is held belongs to a server that runs beside this one and is left alone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from cellar.conversation import ConversationRecord, TurnRecord, with_turn

from .journal import Journal, Recovered, adopt, recover
from .store import DiskStore, Unsaved

if TYPE_CHECKING:
    from .shelf import Shelf
    from .turns import Turns


async def adopt_journals(shelf: Shelf, turns: Turns) -> None:
    """Take over every journal nobody holds, and learn the request keys of stored turns."""
    store = shelf.store
    if not isinstance(store, DiskStore):
        return
    for conversation, held in await shelf.in_disk_thread(_adopt_all, store):
        turns.adopt_waiting(conversation, held)
    turns.keys.learn(await shelf.in_disk_thread(store.keys))


_Held = list[tuple[TurnRecord, Journal]]
"""Turns that waited; each keeps its journal as it is, and its lock."""


def _adopt_all(store: DiskStore) -> list[tuple[ConversationRecord, _Held]]:
    """Fold the journals of turns that ran into their conversations; answer those with turns that waited."""
    found: dict[str, list[tuple[Path, int, Recovered]]] = {}
    for path in sorted(store.journals.glob("*.jsonl")):
        adopted = adopt(path)
        if adopted is None:
            continue
        fd, content = adopted
        recovered = recover(content)
        if recovered is None:
            store.set_aside(path, "the journal's first line is damaged")
            os.close(fd)
            continue
        found.setdefault(recovered.question.conversation_id, []).append((path, fd, recovered))
    left = []
    for conversation_id, journals in found.items():
        try:
            conversation, held = _fold(store, conversation_id, journals)
        except Unsaved as error:  # the next server tries again
            store.problem(f"A conversation that was left unfinished stays in its journal: {conversation_id} ({error})")
            for _, fd, _ in journals:
                os.close(fd)
            continue
        if held:
            left.append((conversation, held))
        waits = {journal.path for _, journal in held}
        for path, fd, _ in journals:
            if path not in waits:
                Journal(path, fd).remove()
    return left


def _fold(
    store: DiskStore, conversation_id: str, journals: list[tuple[Path, int, Recovered]]
) -> tuple[ConversationRecord, _Held]:
    conversation = store.load(conversation_id)
    if conversation is None and store.size(conversation_id):
        raise Unsaved("its file cannot be read")
    held: _Held = []
    ran = False
    for path, fd, recovered in sorted(journals, key=lambda journal: journal[2].turn.created):
        question, turn = recovered.question, recovered.turn
        if conversation is None:
            conversation = ConversationRecord(
                id=conversation_id, title=question.title, created=question.created, updated=question.created
            )
        known = conversation.turn(turn.id)
        if known is not None and known.final:
            continue  # it was folded; only the journal had not gone yet
        if turn.waiting:
            held.append((msgspec.structs.replace(turn, state="held"), Journal(path, fd)))
            continue
        ended = path.stat().st_mtime if path.exists() else time.time()
        state = turn.state if turn.final else "interrupted"
        turn = msgspec.structs.replace(turn, state=state, finished=ended, queue=None)
        conversation = with_turn(conversation, turn)
        redaction = recovered.redaction or conversation.redaction
        conversation = msgspec.structs.replace(conversation, redaction=redaction, head_id=turn.id)
        ran = True
    assert conversation is not None
    if ran:
        conversation = store.save(conversation)
    for turn, _ in held:
        conversation = msgspec.structs.replace(with_turn(conversation, turn), head_id=turn.id)
    return conversation, held
