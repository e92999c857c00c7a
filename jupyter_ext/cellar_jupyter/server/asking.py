"""From what a browser posts to the turn it means: text, context and place in the tree. Pure."""

from __future__ import annotations

import secrets

import msgspec
from cellar import wire
from cellar.conversation import ConversationRecord, TurnRecord, leaf_below, pills_of, waiting
from cellar.errors import BadRequest, Conflict, NotFound


def conversation_id_of(turn_id: str) -> str:
    """A turn's id begins with its conversation's."""
    return turn_id.partition("-")[0]


def named_conversation(request: wire.TurnRequest) -> str | None:
    """The conversation that the request names, itself or by a turn; None: a new one."""
    if request.conversation_id is not None:
        return request.conversation_id
    parent = request.parent_id if request.parent_id is not msgspec.UNSET else None
    turn_id = request.copy_of or request.continue_of or parent
    return conversation_id_of(turn_id) if turn_id else None


def new_turn(conversation: ConversationRecord, request: wire.TurnRequest, now: float) -> TurnRecord:
    """The turn that `request` asks for, not yet in the conversation. Raises `BadRequest`, `NotFound` or `Conflict`.

    Asking a turn again (`copy_of` without a text) repeats what it was: a summary, or the continuation of another.
    """
    copied = _named(conversation, request.copy_of)
    again = copied if copied is not None and request.text is None else None
    mode = again.mode if again else request.mode
    continue_of = request.continue_of or (again.continue_of if again else None)
    continued = _named(conversation, continue_of)
    if continued is not None and not continued.final:
        raise Conflict("The turn to continue has not ended")
    text = request.text if request.text is not None else copied.text if copied else ""
    context: tuple[wire.ContextPart, ...] | None = request.context
    if context is None:
        context = (copied.context or ()) if copied else ()
    if mode == "compact" and not conversation.turns:
        raise BadRequest("There is nothing to summarise yet", detail={"why": "nothing_to_summarise"})
    follows, parent = _place(conversation, request, copied, continued)
    turn = TurnRecord(
        id=f"{conversation.id}-{secrets.token_hex(5)}",
        parent_id=parent,
        mode=mode,
        state="pending",
        text=text,
        created=now,
        request_key=request.request_key,
        model=request.model or "",
        pills=pills_of(context) if request.context is not None or not copied else copied.pills,
        continue_of=continue_of,
        copy_of=request.copy_of if request.context is None else None,
        context=context,
        follows=follows,
    )
    refuse_empty(turn)
    return turn


def refuse_empty(turn: TurnRecord) -> None:
    """Raises `BadRequest` for a turn that asks nothing and attaches nothing."""
    if turn.mode != "compact" and turn.continue_of is None and not turn.text.strip() and not turn.pills:
        raise BadRequest("The question is empty", detail={"why": "empty"})


def _named(conversation: ConversationRecord, turn_id: str | None) -> TurnRecord | None:
    if turn_id is None:
        return None
    turn = conversation.turn(turn_id)
    if turn is None:
        raise NotFound("No such turn in the conversation")
    return turn


def _place(
    conversation: ConversationRecord,
    request: wire.TurnRequest,
    copied: TurnRecord | None,
    continued: TurnRecord | None,
) -> tuple[bool, str | None]:
    """(stands behind whatever is last when it starts, its parent as of now)."""
    if request.parent_id is not msgspec.UNSET:
        parent = _named(conversation, request.parent_id)
        place = parent.id if parent else None
        if copied is not None and request.context is None and place != copied.parent_id:
            raise Conflict("The context of that turn was written for its own place", hint="Send the context anew.")
        return False, place
    if copied is not None:
        return False, copied.parent_id
    if continued is not None:
        return False, continued.id
    line = waiting(conversation)
    if line:
        return True, line[-1].id
    head = conversation.head_id if conversation.turn(conversation.head_id) else None
    if head is None and conversation.turns:
        head = leaf_below(conversation, conversation.turns[-1].id)
    return True, head
