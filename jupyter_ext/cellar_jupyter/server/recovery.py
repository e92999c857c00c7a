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
from .prompting import mask
from .store import DiskStore, Unsaved

if TYPE_CHECKING:
    from .shelf import Shelf
    from .turns import Turns


async def adopt_journals(shelf: Shelf, turns: Turns) -> bool:
    """Take over every journal nobody holds, and learn the request keys of stored turns. True: the disk refused some of
    them; they are as before, and may be tried again at any time."""
    store = shelf.store
    if not isinstance(store, DiskStore):
        return False
    waited, refused = await shelf.in_disk_thread(_adopt_all, store)
    for conversation, held in waited:
        turns.adopt_waiting(conversation, held)
    turns.keys.learn(await shelf.in_disk_thread(store.keys))
    return refused


_Held = list[tuple[TurnRecord, Journal]]
"""Turns that waited; each keeps its journal as it is, and its lock."""


def _adopt_all(store: DiskStore) -> tuple[list[tuple[ConversationRecord, _Held]], bool]:
    """Fold the journals of turns that ran into their conversations; answer those with turns that waited, and whether
    the disk refused others."""
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
    waited = []
    refused = False
    for conversation_id, journals in found.items():
        problem = f"A conversation that was left unfinished stays in its journal: {conversation_id}"
        try:
            conversation, held = _fold(store, conversation_id, journals)
        except Unsaved as error:
            store.problem(problem, str(error))
            refused = True
            for _, fd, _ in journals:
                os.close(fd)
            continue
        store.solved(problem)
        if held:
            waited.append((conversation, held))
        waits = {journal.path for _, journal in held}
        for path, fd, _ in journals:
            if path not in waits:
                refused = not _removed(Journal(path, fd)) or refused
    return waited, refused


def _removed(journal: Journal) -> bool:
    """It is folded. One that cannot go now does no harm: its turn is known."""
    try:
        journal.remove()
    except OSError:
        journal.release()
        return False
    return True


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
        redaction = recovered.redaction or conversation.redaction
        context = turn.context
        if context:
            context, redaction = mask(context, redaction)
        turn = msgspec.structs.replace(turn, state=state, finished=ended, queue=None, context=context)
        conversation = with_turn(conversation, turn)
        conversation = msgspec.structs.replace(conversation, redaction=redaction, head_id=turn.id)
        ran = True
    assert conversation is not None
    if ran:
        conversation = store.save(conversation)
        store.forget(conversation_id)  # who has it in memory without these turns takes them up with the next save
    for turn, _ in held:
        conversation = msgspec.structs.replace(with_turn(conversation, turn), head_id=turn.id)
    return conversation, held
