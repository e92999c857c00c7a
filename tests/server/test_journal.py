"""What is read out of a journal, whatever place its server stopped at."""

from __future__ import annotations

import msgspec
from cellar import wire
from cellar.context import RedactionState, SentTurn
from cellar.conversation import TurnRecord
from cellar_jupyter.server.journal import Dispatched, Question, recover

CONTEXT = (wire.SelectionPart(path="a.py", text="x = 1"),)
WAITING = Question(
    conversation_id="c",
    title="t",
    created=1.0,
    turn=TurnRecord(
        id="c-1", parent_id=None, mode="ask", state="pending", text="why?", created=1.0, context=CONTEXT, follows=True
    ),
)
STARTED = msgspec.structs.replace(WAITING, turn=msgspec.structs.replace(WAITING.turn, state="running", follows=False))
SENT = Dispatched(model="m", parent_id=None, sent=SentTurn(blocks=()), redaction=RedactionState())


def turn_in(*lines: object, torn: bytes = b"") -> TurnRecord:
    recovered = recover(b"".join(msgspec.json.encode(line) + b"\n" for line in lines) + torn)
    assert recovered is not None
    return recovered.turn


def test_a_turn_that_waited_waits() -> None:
    turn = turn_in(WAITING, wire.PendingEvent())
    assert turn.waiting
    assert turn.context == CONTEXT


def test_a_turn_that_had_just_been_sent_does_not_wait_again() -> None:
    turn = turn_in(WAITING, wire.PendingEvent(), STARTED, SENT)
    assert turn.state == "running"
    assert turn.sent == SENT.sent


def test_a_turn_that_had_just_started_does_not_wait_again() -> None:
    turn = turn_in(WAITING, wire.PendingEvent(), STARTED)
    assert turn.state == "running"
    assert turn.context == CONTEXT


def test_a_wait_that_was_told_after_the_start_is_none() -> None:
    assert turn_in(WAITING, STARTED, SENT, wire.PendingEvent()).state == "running"


def test_a_line_that_was_cut_is_left_out() -> None:
    turn = turn_in(STARTED, SENT, wire.TextEvent(delta="so"), torn=b'{"type":"text","delt')
    assert turn.parts == (wire.TextPart(text="so"),)


def test_a_snapshot_stands_for_all_text_before_it() -> None:
    events = (wire.TextEvent(delta="one "), wire.SnapshotEvent(parts=(wire.TextPart(text="one two"),)))
    turn = turn_in(STARTED, SENT, *events, wire.FinishedEvent(reason="complete"))
    assert (turn.state, turn.parts) == ("complete", (wire.TextPart(text="one two"),))
