"""A turn: the parts of its answer, its receipt (exactly what left the workspace), its events.

Events are server-sent: `id:` is the cursor to go on from, `data:` one of these.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cellar.wire.terms import FinishReason, Sent


class TextPart(Sent, tag="text"):
    text: str


class ReasoningPart(Sent, tag="reasoning"):
    text: str


AnswerPart = TextPart | ReasoningPart


class Masked(Sent):
    """One secret that was replaced. `placeholder` is stable within the conversation."""

    placeholder: str
    kind: str  # "aws-key", "private-key", "url-password", "environment", ...
    count: int


class Reason(Sent):
    """Why a row is as it is: one of `cellar.context.reasons`, and its numbers. The panel words it."""

    code: str
    values: tuple[int, ...] = ()


class ReceiptPart(Sent):
    """One row. `tokens` were sent for it; `left_out_tokens` were not (cut, or it did not fit at all)."""

    kind: Literal[
        "system", "rules", "summary", "history", "notebook", "cells", "selection", "file", "folder", "error", "image",
        "question",
    ]  # fmt: skip
    label: str
    state: Literal["sent", "changes", "unchanged", "cut", "left_out", "unreadable"]
    tokens: int = 0
    left_out_tokens: int = 0
    path: str = ""
    reasons: tuple[Reason, ...] = ()
    detail: str = ""  # the reasons in English: "12 of 40 cells changed", "binary file"
    masked: int = 0


class Receipt(Sent):
    """`prompt_tokens` is the sum until `usage` corrects it; `exact` says that the server's tokenizer counted."""

    model: str
    parts: tuple[ReceiptPart, ...]
    prompt_tokens: int
    budget: int  # tokens the prompt may have
    context_length: int  # of the model
    max_tokens: int  # kept free for the answer
    exact: bool = False
    left_out_turns: int = 0
    masked: tuple[Masked, ...] = ()  # in what is new with this turn; the history's row counts those sent before


class Usage(Sent):
    prompt: int = 0
    completion: int = 0
    cached: int | None = None  # prompt tokens the server had in its prefix cache, when it tells
    ttft_ms: float | None = None
    total_ms: float | None = None


class ErrorInfo(Sent):
    """`code` is one of `cellar.errors`; the panel words it in the user's language. `message` is English, for logs."""

    code: str
    message: str
    hint: str = ""
    retry_after: float | None = None  # seconds
    request_id: str = ""
    detail: dict[str, int | float | str] = msgspec.field(default_factory=dict)  # for wording: n_prompt, unsent, ...


class SnapshotEvent(Sent, tag="snapshot"):
    """Everything the answer has so far, in place of all text before it."""

    parts: tuple[AnswerPart, ...] = ()


class PendingEvent(Sent, tag="pending"):
    """The turn waits on this server: `held` for a click, else for the turn before it."""

    held: bool = False


class QueuedEvent(Sent, tag="queued"):
    position: int
    ahead: int


class StartedEvent(Sent, tag="started"):
    model: str


class ReceiptEvent(Sent, tag="receipt"):
    receipt: Receipt


class TextEvent(Sent, tag="text"):
    delta: str


class ReasoningEvent(Sent, tag="reasoning"):
    delta: str


class UsageEvent(Sent, tag="usage"):
    usage: Usage


class FinishedEvent(Sent, tag="finished"):
    """The end. `stopped_by`: who stopped it (`user`, or `orphan`: nobody was reading)."""

    reason: FinishReason
    stopped_by: Literal["", "user", "orphan"] = ""


class ErrorEvent(Sent, tag="error"):
    """The end, too."""

    error: ErrorInfo


Event = (
    SnapshotEvent
    | PendingEvent
    | QueuedEvent
    | StartedEvent
    | ReceiptEvent
    | TextEvent
    | ReasoningEvent
    | UsageEvent
    | FinishedEvent
    | ErrorEvent
)
