"""What a browser posts."""

from __future__ import annotations

from typing import Annotated

import msgspec

from cellar.wire.context import ContextParts
from cellar.wire.terms import Id, Mode, Name, Posted, RequestKey, Text


class TurnRequest(Posted):
    """`POST turns`.

    `parent_id` left out: after the conversation's last turn (behind the pending ones); null: a new first turn, a branch
    of the root; an id: a branch after that turn. `copy_of` takes context (and text, when `text` is left out) from an
    earlier turn: regenerate and edit-and-resend. `continue_of` goes on where that turn's answer was cut.
    """

    request_key: RequestKey
    mode: Mode = "ask"
    conversation_id: Id | None = None
    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    model: Name | None = None
    text: Text | None = None
    context: ContextParts | None = None
    copy_of: Id | None = None
    continue_of: Id | None = None


class TurnPatch(Posted):
    """`PATCH turns/{id}`: edit a pending turn, or let a held one go.

    `held` true: somebody edits it, it does not start by itself; those behind it may go before it. `held` false: the
    edit is over, it waits as it would have without one; what a Stop or an error held stays held.
    """

    text: Text | None = None
    context: ContextParts | None = None
    held: bool | None = None
    release: bool = False


class PreviewRequest(Posted):
    """`POST context/preview`: what would this question cost? Answers a `Receipt`."""

    conversation_id: Id | None = None
    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    mode: Mode = "ask"
    model: Name | None = None
    text: Text = ""
    context: ContextParts = ()


class ConversationRequest(Posted):
    """`POST conversations`: a new conversation that begins with the summary a `compact` turn made."""

    from_turn: Id


class ConversationPatch(Posted):
    """`PATCH conversations/{id}`: rename; or show another branch (`head_id` is the last turn of it)."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    head_id: Id | None = None
