"""The life of a turn over HTTP."""

from __future__ import annotations

from cellar import wire

from tests.fakes.vllm import FakeVLLM
from tests.server.servers import Panel, text_of


async def test_a_question_is_answered_and_kept(panel: Panel, model: FakeVLLM) -> None:
    model.use("reasoning")
    created = await panel.ask("What is it?")
    events = await panel.all_events(created["turn_id"])
    kinds = [type(event) for event in events]
    assert kinds[-1] is wire.FinishedEvent
    assert wire.ReceiptEvent in kinds and wire.StartedEvent in kinds and wire.UsageEvent in kinds
    turn = await panel.turn(created["turn_id"])
    assert turn["state"] == "complete"
    assert text_of(turn) == "It is 42."
    conversation = await panel.conversation(created["conversation_id"])
    assert conversation["title"] == "What is it?"
    assert conversation["head_id"] == created["turn_id"]
