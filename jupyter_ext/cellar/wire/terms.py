"""What the messages have in common: limits, ids, states, and the two kinds of message."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

# Limits of what a browser may post (characters unless said otherwise). A longer value is refused with 413 or 400.

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_TEXT = 1_000_000
MAX_PARTS = 64
MAX_CELLS = 5_000

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
RequestKey = Annotated[str, msgspec.Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Name = Annotated[str, msgspec.Meta(max_length=256)]

Mode = Literal["ask", "edit", "agent", "compact"]
TurnState = Literal[
    "pending",  # waits on this server for the conversation's running turn
    "held",  # waits for a click: the turn before it ended in Stop or an error, or it is edited
    "queued",  # admitted nowhere yet: the gateway says "n ahead"
    "running",  # sent; prefilling or streaming
    "complete",
    "length",
    "stopped",
    "interrupted",
    "tool_limit",
    "error",
]
FINAL_STATES: frozenset[str] = frozenset({"complete", "length", "stopped", "interrupted", "tool_limit", "error"})
FinishReason = Literal["complete", "length", "stopped", "interrupted", "tool_limit"]


class Posted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a client sends: strict."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a server sends: may grow."""
