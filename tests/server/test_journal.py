"""What is read out of a journal, whatever place its server stopped at."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from cellar import wire
from cellar.context import RedactionState, SentTurn
from cellar.conversation import TurnRecord
from cellar_jupyter.server.disk import QUIET
from cellar_jupyter.server.journal import Dispatched, Journal, Question, adopt, recover

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


def test_a_journal_that_is_taken_over_stays_as_it_is_and_locked(tmp_path: Path) -> None:
    path = tmp_path / "c-1.jsonl"
    begun = Journal(path)
    begun.put(WAITING)
    assert adopt(path) is None
    begun.release()
    content = path.read_bytes()
    path.write_bytes(content + b'{"type":"pend')  # the crash came in the middle of a line
    taken = adopt(path)
    assert taken is not None
    journal = Journal(path, taken[0])
    assert path.read_bytes().startswith(content)
    assert adopt(path) is None
    journal.put(STARTED)
    recovered = recover(path.read_bytes())
    assert recovered is not None
    assert recovered.turn.state == "running"
    journal.remove()
    assert not path.exists()


def test_without_locks_a_journal_is_taken_over_once_when_nothing_wrote_to_it_for_long(
    tmp_path: Path, a_disk_without_locks: None
) -> None:
    path = tmp_path / "c-1.jsonl"
    journal = Journal(path)
    journal.put(STARTED)
    assert adopt(path) is None  # who wrote it may still run
    os.utime(path, (time.time() - QUIET - 3600,) * 2)
    adopted = adopt(path)
    assert adopted is not None
    assert adopt(path) is None
    os.close(adopted[0])
    journal.release()


def test_a_journal_that_cannot_be_begun_leaves_no_file_and_swallows_what_follows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "away" / "c-1.jsonl")
    with pytest.raises(FileNotFoundError):
        journal.put(WAITING)
    journal.append([wire.TextEvent(delta="late")])
    journal.path.parent.mkdir()
    journal.put(STARTED)
    assert recover(journal.path.read_bytes()) is not None
    journal.remove()
