"""Conversations, pure: a tree of turns, how events change a turn, what of a branch goes into the next prompt.

Records are frozen and msgspec can write them; the server keeps them on disk, one conversation a file. A record holds
more than the API shows (`wire.Turn`): the blocks exactly as they were sent, so that later prompts repeat them byte for
byte, and the context as it was posted while the prompt is not built yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from cellar import wire
from cellar.context.records import SentTurn
from cellar.context.redaction import RedactionState
from cellar.context.scene import part_label
from cellar.context.title import title_from

SCHEMA = 1
WAITING: frozenset[str] = frozenset({"pending", "held"})


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A turn as it is kept. `context` is there until the prompt was built, then `sent` is."""

    id: str
    parent_id: str | None
    mode: wire.Mode
    state: wire.TurnState
    text: str
    created: float
    request_key: str = ""
    model: str = ""
    pills: tuple[wire.Pill, ...] = ()
    parts: tuple[wire.AnswerPart, ...] = ()
    finished: float | None = None
    receipt: wire.Receipt | None = None
    usage: wire.Usage | None = None
    error: wire.ErrorInfo | None = None
    stopped_by: Literal["", "user", "orphan"] = ""
    continue_of: str | None = None
    copy_of: str | None = None
    context: tuple[wire.ContextPart, ...] | None = None
    sent: SentTurn | None = None
    follows: bool = False  # stands behind whatever is last when it starts
    queue: wire.QueuedEvent | None = None

    @property
    def final(self) -> bool:
        return self.state in wire.FINAL_STATES

    @property
    def waiting(self) -> bool:
        return self.state in WAITING


class ConversationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation as it is kept; `turns` in order of creation."""

    id: str
    title: str
    created: float
    updated: float
    turns: tuple[TurnRecord, ...] = ()
    head_id: str | None = None
    redaction: RedactionState = msgspec.field(default_factory=RedactionState)

    def turn(self, turn_id: str | None) -> TurnRecord | None:
        return next((turn for turn in self.turns if turn.id == turn_id), None)


class History(msgspec.Struct, frozen=True):
    """What of a branch the next prompt starts from: a summary, if one was made, and the turns after it."""

    summary: str | None
    turns: tuple[SentTurn, ...]


# ---------------------------------------------------------------------------------------------------------------------
# The tree


def with_turn(conversation: ConversationRecord, turn: TurnRecord) -> ConversationRecord:
    """The conversation with `turn` added, or put in place of the one with its id."""
    turns = list(conversation.turns)
    for index in range(len(turns) - 1, -1, -1):
        if turns[index].id == turn.id:
            turns[index] = turn
            break
    else:
        turns.append(turn)
    updated = max(conversation.updated, turn.finished or turn.created)
    return msgspec.structs.replace(conversation, turns=tuple(turns), updated=updated)


def without_turn(conversation: ConversationRecord, turn_id: str) -> ConversationRecord:
    """The conversation without that turn; what hung on it hangs on its parent."""
    gone = conversation.turn(turn_id)
    if gone is None:
        return conversation
    turns = tuple(
        msgspec.structs.replace(turn, parent_id=gone.parent_id) if turn.parent_id == turn_id else turn
        for turn in conversation.turns
        if turn.id != turn_id
    )
    head = gone.parent_id if conversation.head_id == turn_id else conversation.head_id
    return msgspec.structs.replace(conversation, turns=turns, head_id=head)


def branch(conversation: ConversationRecord, leaf_id: str | None) -> list[TurnRecord]:
    """The turns from the root to `leaf_id`, inclusive. A loop (a damaged file) ends the walk."""
    by_id = {turn.id: turn for turn in conversation.turns}
    found: list[TurnRecord] = []
    seen: set[str] = set()
    while leaf_id is not None and leaf_id in by_id and leaf_id not in seen:
        seen.add(leaf_id)
        found.append(by_id[leaf_id])
        leaf_id = by_id[leaf_id].parent_id
    return found[::-1]


def leaf_below(conversation: ConversationRecord, turn_id: str) -> str:
    """The newest turn at the end of the branch through `turn_id`, the youngest child first at every fork."""
    children = {turn.parent_id: turn.id for turn in conversation.turns}  # later ones win
    seen = {turn_id}
    while (child := children.get(turn_id)) is not None and child not in seen:
        seen.add(child)
        turn_id = child
    return turn_id


def last_settled(conversation: ConversationRecord, leaf_id: str | None) -> str | None:
    """The nearest turn at or above `leaf_id` that is not waiting."""
    for turn in reversed(branch(conversation, leaf_id)):
        if not turn.waiting:
            return turn.id
    return None


def last_final(conversation: ConversationRecord, leaf_id: str | None) -> str | None:
    """The nearest turn at or above `leaf_id` that has ended."""
    for turn in reversed(branch(conversation, leaf_id)):
        if turn.final:
            return turn.id
    return None


def waiting(conversation: ConversationRecord) -> list[TurnRecord]:
    """Turns that wait for their start, in order."""
    return [turn for turn in conversation.turns if turn.waiting]


def rechain(conversation: ConversationRecord, after: str | None) -> ConversationRecord:
    """Put the waiting turns that follow "whatever is last" one behind the other, the first behind `after`."""
    turns = list(conversation.turns)
    for index, turn in enumerate(turns):
        if turn.waiting:
            if turn.follows and turn.parent_id != after:
                turns[index] = msgspec.structs.replace(turn, parent_id=after)
            after = turn.id
    return msgspec.structs.replace(conversation, turns=tuple(turns))


def history(conversation: ConversationRecord, leaf_id: str | None) -> History:
    """What the model has read and said up to and including `leaf_id`.

    Turns without an answer are left out (the chat's roles must alternate); a finished `compact` turn stands for
    everything before it.
    """
    summary: str | None = None
    turns: list[SentTurn] = []
    for turn in branch(conversation, leaf_id):
        answer = answer_text(turn.parts)
        if not answer:
            continue
        if turn.mode == "compact":
            if turn.state == "complete":
                summary, turns = answer, []
        elif turn.sent is not None:
            turns.append(msgspec.structs.replace(turn.sent, answer=answer))
    return History(summary, tuple(turns))


def question_of(conversation: ConversationRecord, turn: TurnRecord) -> TurnRecord:
    """The turn whose question is to be asked for `turn`: itself, but to continue an answer that has no text yet (only
    reasoning, or nothing) is to ask that question again. There is nothing to go on from, and the history would not have
    the question."""
    seen = {turn.id}
    while (continued := conversation.turn(turn.continue_of)) is not None and continued.id not in seen:
        if answer_text(continued.parts):
            break
        seen.add(continued.id)
        turn = continued
    return turn


# ---------------------------------------------------------------------------------------------------------------------
# Events


def answer_text(parts: Iterable[wire.AnswerPart]) -> str:
    """The answer without its reasoning."""
    return "".join(part.text for part in parts if isinstance(part, wire.TextPart))


def fold(turn: TurnRecord, events: Iterable[wire.Event]) -> TurnRecord:
    """The turn after `events`. Text is joined once, whatever the number of events."""
    pieces: list[tuple[type[wire.TextPart] | type[wire.ReasoningPart], list[str]]] = [
        (type(part), [part.text]) for part in turn.parts
    ]
    changes: dict[str, object] = {}
    for event in events:
        match event:
            case wire.TextEvent(delta=delta):
                _append(pieces, wire.TextPart, delta)
            case wire.ReasoningEvent(delta=delta):
                _append(pieces, wire.ReasoningPart, delta)
            case wire.SnapshotEvent(parts=parts):
                pieces = [(type(part), [part.text]) for part in parts]
            case _:
                changes |= _changes(event)
    made = tuple(kind(text="".join(texts)) for kind, texts in pieces)
    return msgspec.structs.replace(turn, parts=made, **changes)


def _append(
    pieces: list[tuple[type[wire.TextPart] | type[wire.ReasoningPart], list[str]]],
    kind: type[wire.TextPart] | type[wire.ReasoningPart],
    delta: str,
) -> None:
    if pieces and pieces[-1][0] is kind:
        pieces[-1][1].append(delta)
    else:
        pieces.append((kind, [delta]))


def _changes(event: wire.Event) -> dict[str, object]:
    """Which fields of a turn an event without text sets."""
    match event:
        case wire.PendingEvent(held=held):
            return {"state": "held" if held else "pending"}
        case wire.QueuedEvent():
            return {"state": "queued", "queue": event}
        case wire.StartedEvent(model=model):
            return {"state": "running", "queue": None, "model": model}
        case wire.ReceiptEvent(receipt=receipt):
            return {"receipt": receipt}
        case wire.UsageEvent(usage=usage):
            return {"usage": usage}
        case wire.FinishedEvent(reason=reason, stopped_by=stopped_by):
            return {"state": reason, "stopped_by": stopped_by, "queue": None}
        case wire.ErrorEvent(error=error):
            return {"state": "error", "error": error, "queue": None}
    return {}


# ---------------------------------------------------------------------------------------------------------------------
# What the API shows


def turn_to_wire(turn: TurnRecord, conversation_id: str, cursor: str | None = None) -> wire.Turn:
    return wire.Turn(
        id=turn.id,
        conversation_id=conversation_id,
        parent_id=turn.parent_id,
        state=turn.state,
        mode=turn.mode,
        text=turn.text,
        created=turn.created,
        model=turn.model,
        pills=turn.pills,
        parts=turn.parts,
        finished=turn.finished,
        receipt=turn.receipt,
        usage=turn.usage,
        error=turn.error,
        stopped_by=turn.stopped_by,
        continue_of=turn.continue_of,
        queue=turn.queue,
        cursor=cursor,
    )


def pills_of(parts: Iterable[wire.ContextPart]) -> tuple[wire.Pill, ...]:
    """What was attached, as its message shows it."""
    return tuple(_pill(part) for part in parts)


def _pill(part: wire.ContextPart) -> wire.Pill:
    kind = part.kind if isinstance(part, wire.GonePart) else str(part.__struct_config__.tag)
    path = "" if isinstance(part, wire.ImagePart) else part.path
    return wire.Pill(kind=kind, label=part_label(part), path=path, auto=part.auto, cell=_cell(part))


def _cell(part: wire.ContextPart) -> str:
    match part:
        case wire.CellsPart(cells=(cell,)) | wire.ErrorPart(cell=cell):
            return cell.id
        case wire.SelectionPart(cell_id=str(cell_id)) | wire.NotebookPart(active_cell=str(cell_id)):
            return cell_id
        case _:
            return ""


def title_of(text: str, created: float, automatic: bool = True) -> str:
    """A title from the first question; without one, or without the wish for one, the date, in no language."""
    title = title_from(text) if automatic else ""
    return title or datetime.fromtimestamp(created).strftime("%Y-%m-%d %H:%M")


def find(conversation: ConversationRecord, query: str, width: int = 120) -> str | None:
    """Where `query` (any case) stands in title, questions or answers: an excerpt of about `width` characters.

    "" when only the title has it, None when nothing has.
    """
    needle = query.casefold()
    for turn in reversed(conversation.turns):
        for text in (turn.text, answer_text(turn.parts)):
            at = text.casefold().find(needle)
            if at >= 0:
                start = max(0, at - width // 3)
                cut = re.sub(r"\s+", " ", text[start : start + width]).strip()
                return ("…" if start else "") + cut + ("…" if start + width < len(text) else "")
    return "" if needle in conversation.title.casefold() else None


def conversation_to_wire(
    conversation: ConversationRecord, turns: Sequence[TurnRecord], cursors: dict[str, str] | None = None
) -> wire.Conversation:
    """`cursors` by turn id, for the turns that are not final."""
    cursors = cursors or {}
    return wire.Conversation(
        id=conversation.id,
        title=conversation.title,
        created=conversation.created,
        updated=conversation.updated,
        turns=tuple(turn_to_wire(turn, conversation.id, cursors.get(turn.id)) for turn in turns),
        head_id=conversation.head_id,
    )
