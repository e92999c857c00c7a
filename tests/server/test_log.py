"""The event log: text joined, cursors that only fit their own log, readers woken."""

from __future__ import annotations

import asyncio

import pytest
from cellar import wire
from cellar_jupyter.server.log import EventLog


def log_of(*events: wire.Event) -> EventLog:
    log = EventLog()
    for event in events:
        log.append(event)
    return log


def text(delta: str) -> wire.TextEvent:
    return wire.TextEvent(delta=delta)


def test_a_reader_that_is_behind_gets_the_text_in_one_event() -> None:
    log = log_of(wire.StartedEvent(model="m"), text("a"), text("b"), text("c"))
    assert log.read(0) == [wire.StartedEvent(model="m"), text("abc")]
    assert log.read(2) == [text("bc")]
    assert log.read(4) == []


def test_reasoning_and_text_stay_apart() -> None:
    log = log_of(wire.ReasoningEvent(delta="x"), text("a"), wire.ReasoningEvent(delta="y"), text("b"))
    assert [type(event) for event in log.read(0)] == [wire.ReasoningEvent, wire.TextEvent] * 2
    assert log.parts() == (
        wire.ReasoningPart(text="x"),
        wire.TextPart(text="a"),
        wire.ReasoningPart(text="y"),
        wire.TextPart(text="b"),
    )


def test_of_the_places_in_a_queue_only_the_last_is_kept() -> None:
    log = log_of(wire.QueuedEvent(position=3, ahead=5), wire.QueuedEvent(position=1, ahead=1))
    assert log.read(0) == [wire.QueuedEvent(position=1, ahead=1)]
    assert log.read(1) == [wire.QueuedEvent(position=1, ahead=1)]
    assert log.read(2) == []


def test_every_position_has_a_cursor_that_leads_back_to_it() -> None:
    log = log_of(wire.StartedEvent(model="m"), text("a"), text("b"), wire.FinishedEvent(reason="complete"))
    for position in range(log.length + 1):
        assert log.open(log.cursor(position)) == ([], position)


@pytest.mark.parametrize("cursor", ["x", "abcd1", "-1", "1", "\u0661", "abcd\u0661", "abcd" + "9" * 50])
def test_a_cursor_of_another_log_leads_to_a_snapshot(cursor: str) -> None:
    log = log_of(wire.StartedEvent(model="m"), text("a"))
    events, position = log.open(cursor)
    assert list(events) == [wire.SnapshotEvent(parts=(wire.TextPart(text="a"),)), wire.StartedEvent(model="m")]
    assert position == log.length


def test_a_position_beyond_the_end_is_another_logs() -> None:
    log = log_of(text("a"))
    assert isinstance(log.open(log.cursor(7))[0][0], wire.SnapshotEvent)


def test_a_snapshot_does_not_tell_of_waits_that_are_over() -> None:
    log = log_of(wire.PendingEvent(), wire.QueuedEvent(position=1, ahead=1), wire.StartedEvent(model="m"), text("a"))
    assert log.snapshot() == [wire.SnapshotEvent(parts=(wire.TextPart(text="a"),)), wire.StartedEvent(model="m")]
    assert log_of(wire.PendingEvent(held=True)).snapshot()[-1] == wire.PendingEvent(held=True)


def test_nothing_comes_after_the_end() -> None:
    log = log_of(wire.FinishedEvent(reason="complete"))
    with pytest.raises(RuntimeError):
        log.append(text("late"))


async def test_a_waiting_reader_is_woken() -> None:
    log, wake = EventLog(), asyncio.Event()
    log.subscribe(wake)
    log.append(text("a"))
    assert wake.is_set()
    wake.clear()
    log.unsubscribe(wake)
    log.append(text("b"))
    assert not wake.is_set()
