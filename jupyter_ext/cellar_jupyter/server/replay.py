"""The events of a turn that was read from the disk."""

from __future__ import annotations

from cellar import wire
from cellar.conversation import TurnRecord

from .log import EventLog


def rebuilt_log(turn: TurnRecord) -> EventLog:
    """A log of a turn that was read from disk: its cursors are its own, so old ones lead to a snapshot."""
    log = EventLog()
    if turn.model:
        log.append(wire.StartedEvent(model=turn.model))
    if turn.receipt is not None:
        log.append(wire.ReceiptEvent(receipt=turn.receipt))
    for part in turn.parts:
        text = part.text
        log.append(wire.TextEvent(delta=text) if isinstance(part, wire.TextPart) else wire.ReasoningEvent(delta=text))
    if turn.usage is not None:
        log.append(wire.UsageEvent(usage=turn.usage))
    if turn.state == "error":
        log.append(wire.ErrorEvent(error=turn.error or wire.ErrorInfo(code="internal", message="")))
    else:
        reason = turn.state if turn.state in wire.FINAL_STATES else "interrupted"
        log.append(wire.FinishedEvent(reason=reason, stopped_by=turn.stopped_by))  # type: ignore[arg-type]
    return log
