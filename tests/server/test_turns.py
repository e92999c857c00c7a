"""The life of a turn over HTTP: taken once, one at a time, stopped in every state, repeated, continued."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from cellar import wire

from tests.fakes.scenarios import Scenario
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
    assert turn["parts"][0]["type"] == "reasoning"
    conversation = await panel.conversation(created["conversation_id"])
    assert conversation["title"] == "What is it?"
    assert conversation["head_id"] == created["turn_id"]


async def test_the_receipt_is_corrected_by_what_the_model_server_counted(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="yes", prompt_tokens=777))
    turn = await panel.finished("How many?")
    assert turn["usage"]["prompt"] == 777
    assert turn["receipt"]["prompt_tokens"] == 777
    assert turn["receipt"]["exact"] is True


async def test_the_same_request_key_answers_the_same_turn(panel: Panel, model: FakeVLLM) -> None:
    body = {"request_key": secrets.token_hex(8), "text": "only once"}
    first, second = await asyncio.gather(panel.http.post("turns", json=body), panel.http.post("turns", json=body))
    assert first.json()["turn_id"] == second.json()["turn_id"]
    await panel.all_events(first.json()["turn_id"])
    third = await panel.http.post("turns", json=body)
    assert third.json()["turn_id"] == first.json()["turn_id"]
    assert third.json()["state"] == "complete"
    assert len(model.requests) == 1


async def test_a_refused_question_may_be_sent_again_with_its_key(panel: Panel) -> None:
    body = {"request_key": secrets.token_hex(8), "text": " "}
    assert (await panel.http.post("turns", json=body)).status_code == 400
    assert (await panel.http.post("turns", json={**body, "text": "now with words"})).status_code == 201


async def test_later_questions_carry_the_history(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="Paris"))
    first = await panel.finished("Capital of France?")
    await panel.finished("And its river?", conversation_id=first["conversation_id"])
    messages = model.requests[-1].body["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert "Capital of France?" in messages[1]["content"]
    assert messages[2]["content"] == "Paris"


async def test_a_question_asked_meanwhile_waits_and_then_runs(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    await gated_model.until(lambda fake: fake.waiting == 1)
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    assert second["state"] == "pending"
    assert len(gated_model.requests) == 1
    gated_model.release_all()
    await panel.all_events(second["turn_id"])
    turn = await panel.turn(second["turn_id"])
    assert turn["state"] == "complete"
    assert turn["parent_id"] == first["turn_id"]


async def test_a_waiting_question_can_be_edited(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    second = await panel.ask("secnd", conversation_id=first["conversation_id"])
    edited = await panel.http.patch(f"turns/{second['turn_id']}", json={"text": "second"})
    assert edited.json()["text"] == "second"
    gated_model.release_all()
    await panel.all_events(second["turn_id"])
    assert gated_model.requests[-1].body["messages"][-1]["content"].endswith("second")


async def test_a_waiting_question_can_be_removed(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    third = await panel.ask("third", conversation_id=first["conversation_id"])
    assert (await panel.http.delete(f"turns/{second['turn_id']}")).status_code == 204
    assert (await panel.http.get(f"turns/{second['turn_id']}")).status_code == 404
    gated_model.release_all()
    await panel.all_events(third["turn_id"])
    conversation = await panel.conversation(first["conversation_id"])
    assert [turn["text"] for turn in conversation["turns"]] == ["first", "third"]
    assert conversation["turns"][1]["parent_id"] == first["turn_id"]


async def test_a_question_that_was_sent_can_no_longer_be_edited_or_removed(panel: Panel, slow_model: FakeVLLM) -> None:
    created = await panel.ask("on its way")
    await slow_model.until(lambda fake: fake.waiting == 1)
    assert (await panel.http.patch(f"turns/{created['turn_id']}", json={"text": "too late"})).status_code == 409
    assert (await panel.http.delete(f"turns/{created['turn_id']}")).status_code == 409
    slow_model.release_all()


async def test_after_a_stop_what_waited_is_held_until_it_is_released(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    third = await panel.ask("third", conversation_id=first["conversation_id"])
    await gated_model.until(lambda fake: fake.waiting == 1)
    await panel.http.post(f"turns/{first['turn_id']}/stop")
    assert (await panel.turn(second["turn_id"]))["state"] == "held"
    gated_model.release_all()
    released = await panel.http.patch(f"turns/{third['turn_id']}", json={"release": True})
    assert released.json()["state"] == "running"
    await panel.all_events(third["turn_id"])
    assert (await panel.turn(third["turn_id"]))["parent_id"] == first["turn_id"]
    still = await panel.turn(second["turn_id"])
    assert still["state"] == "held"
    assert still["parent_id"] == third["turn_id"]


async def test_a_new_question_does_not_wait_behind_held_ones(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(status=500, body={"error": {"message": "no"}}, times=1), Scenario(text="fine", gated=True))
    first = await panel.finished("fails")
    assert first["state"] == "error"
    second = await panel.ask("runs", conversation_id=first["conversation_id"])
    await model.until(lambda fake: fake.waiting == 1)
    held = await panel.ask("waits", conversation_id=first["conversation_id"])
    await panel.http.post(f"turns/{second['turn_id']}/stop")
    model.release_all()
    third = await panel.finished("goes at once", conversation_id=first["conversation_id"])
    assert third["state"] == "complete"
    assert (await panel.turn(held["turn_id"]))["state"] == "held"


# -- Stop -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["slow_headers", "slow_prefill", "silent", "gated"])
async def test_stop_closes_the_upstream_request_at_once(panel: Panel, model: FakeVLLM, scenario: str) -> None:
    model.use(scenario)
    created = await panel.ask("stop me")
    await model.until(lambda fake: fake.running == 1)
    stopped = await panel.http.post(f"turns/{created['turn_id']}/stop")
    assert stopped.json()["state"] == "stopped"
    assert stopped.json()["stopped_by"] == "user"
    await model.until(lambda fake: fake.aborted == 1)


async def test_stop_keeps_the_partial_answer(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("count")
    async with panel.events(created["turn_id"]) as events:
        gated_model.release(2)
        await events.text("one two")
        await panel.http.post(f"turns/{created['turn_id']}/stop")
        finished = await events.until(wire.FinishedEvent)
    assert finished.reason == "stopped"
    await gated_model.until(lambda fake: fake.aborted == 1)
    assert text_of(await panel.turn(created["turn_id"])) == "one two"


async def test_stop_while_the_gateway_queues(panel: Panel, model: FakeVLLM) -> None:
    model.use("queued")
    created = await panel.ask("wait")
    async with panel.events(created["turn_id"]) as events:
        model.release()
        queued = await events.until(wire.QueuedEvent)
        assert (queued.position, queued.ahead) == (3, 5)
        assert (await panel.turn(created["turn_id"]))["state"] == "queued"
        await panel.http.post(f"turns/{created['turn_id']}/stop")
    await model.until(lambda fake: fake.aborted == 1)


async def test_stop_of_a_waiting_question_keeps_it_unanswered(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    third = await panel.ask("third", conversation_id=first["conversation_id"])
    stopped = await panel.http.post(f"turns/{second['turn_id']}/stop")
    assert stopped.json()["state"] == "stopped"
    gated_model.release_all()
    await panel.all_events(third["turn_id"])
    assert len(gated_model.requests) == 2
    conversation = await panel.conversation(first["conversation_id"])
    assert [turn["state"] for turn in conversation["turns"]] == ["complete", "stopped", "complete"]


async def test_stop_is_idempotent(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("stop twice")
    await gated_model.until(lambda fake: fake.running == 1)
    address = f"turns/{created['turn_id']}/stop"
    answers = await asyncio.gather(*(panel.http.post(address) for _ in range(3)))
    assert {answer.json()["state"] for answer in answers} == {"stopped"}
    assert (await panel.http.post(address)).json()["state"] == "stopped"


async def test_stop_does_not_change_a_finished_turn(panel: Panel, model: FakeVLLM) -> None:
    turn = await panel.finished("done already")
    assert (await panel.http.post(f"turns/{turn['id']}/stop")).json()["state"] == "complete"


# -- how an answer may end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "state"),
    [("length", "length"), ("cut", "interrupted"), ("no_done", "interrupted"), ("echo", "complete")],
)
async def test_the_end_of_an_answer_is_named(panel: Panel, model: FakeVLLM, scenario: str, state: str) -> None:
    model.use(scenario)
    turn = await panel.finished("how does it end?")
    assert turn["state"] == state
    assert text_of(turn)


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("rate_limited", "rate_limited"),
        ("quota", "quota_exceeded"),
        ("unauthorized", "unauthorized"),
        ("forbidden", "forbidden"),
        ("loading", "model_loading"),
        ("queue_full", "queue_full"),
        ("too_long", "context_too_long"),
        ("broken", "model_failed"),
        ("not_a_stream", "model_failed"),
        ("error_in_stream", "model_failed"),
    ],
)
async def test_a_failure_ends_the_turn_with_its_code(panel: Panel, model: FakeVLLM, scenario: str, code: str) -> None:
    model.use(scenario)
    turn = await panel.finished("will fail")
    assert turn["state"] == "error"
    assert turn["error"]["code"] == code
    assert turn["text"] == "will fail"


async def test_a_busy_server_is_asked_again(panel: Panel, model: FakeVLLM) -> None:
    model.use("busy_then_ok")
    turn = await panel.finished("please")
    assert text_of(turn) == "second time lucky"


# -- branches ---------------------------------------------------------------------------------------------------------


async def test_regenerate_makes_a_branch_beside_the_answer(panel: Panel, model: FakeVLLM) -> None:
    first = await panel.finished("a poem")
    created = await panel.http.post(
        "turns",
        json={
            "request_key": secrets.token_hex(8),
            "conversation_id": first["conversation_id"],
            "copy_of": first["id"],
        },
    )
    await panel.all_events(created.json()["turn_id"])
    second = await panel.turn(created.json()["turn_id"])
    assert second["text"] == "a poem"
    assert second["parent_id"] is None
    assert model.requests[-1].body["messages"] == model.requests[-2].body["messages"]


async def test_edit_and_resend_takes_the_context_of_the_first_try(panel: Panel, model: FakeVLLM) -> None:
    part = {"type": "selection", "path": "a.py", "text": "answer = 6 * 7", "start_line": 1, "end_line": 1}
    first = await panel.finished("explain", context=[part])
    second = await panel.finished("explain briefly", conversation_id=first["conversation_id"], copy_of=first["id"])
    sent = model.requests[-1].body["messages"][-1]["content"]
    assert "answer = 6 * 7" in sent
    assert sent.endswith("explain briefly")
    assert second["parent_id"] is None
    assert second["pills"] == first["pills"]


async def test_continue_goes_on_after_the_partial_answer(panel: Panel, model: FakeVLLM) -> None:
    model.use("length")
    first = await panel.finished("a long story")
    created = await panel.http.post(
        "turns",
        json={
            "request_key": secrets.token_hex(8),
            "conversation_id": first["conversation_id"],
            "continue_of": first["id"],
        },
    )
    await panel.all_events(created.json()["turn_id"])
    turn = await panel.turn(created.json()["turn_id"])
    assert turn["continue_of"] == first["id"] == turn["parent_id"]
    roles = [message["role"] for message in model.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    again = {"request_key": secrets.token_hex(8), "conversation_id": first["conversation_id"], "copy_of": turn["id"]}
    repeated = (await panel.http.post("turns", json=again)).json()
    await panel.all_events(repeated["turn_id"])
    assert (await panel.turn(repeated["turn_id"]))["continue_of"] == first["id"]
    assert model.requests[-1].body["messages"] == model.requests[-2].body["messages"]


async def test_null_parent_begins_a_branch_at_the_root(panel: Panel, model: FakeVLLM) -> None:
    first = await panel.finished("one")
    second = await panel.finished("two", conversation_id=first["conversation_id"], parent_id=None)
    assert second["parent_id"] is None
    assert len(model.requests[-1].body["messages"]) == 2


async def test_after_compact_prompts_begin_with_the_summary(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="We spoke of whales."))
    first = await panel.finished("Tell me of whales, at length")
    created = await panel.http.post(
        "turns",
        json={
            "request_key": secrets.token_hex(8),
            "conversation_id": first["conversation_id"],
            "mode": "compact",
        },
    )
    await panel.all_events(created.json()["turn_id"])
    compact = await panel.turn(created.json()["turn_id"])
    assert compact["mode"] == "compact" and compact["state"] == "complete"
    await panel.finished("And now?", conversation_id=first["conversation_id"])
    messages = model.requests[-1].body["messages"]
    assert not any("at length" in message["content"] for message in messages)
    assert "We spoke of whales." in messages[0]["content"] + messages[1]["content"]


async def test_a_new_conversation_can_begin_with_a_summary(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="All about whales."))
    first = await panel.finished("Whales")
    created = await panel.http.post(
        "turns",
        json={"request_key": secrets.token_hex(8), "conversation_id": first["conversation_id"], "mode": "compact"},
    )
    await panel.all_events(created.json()["turn_id"])
    begun = await panel.http.post("conversations", json={"from_turn": created.json()["turn_id"]})
    assert begun.status_code == 201
    assert text_of(begun.json()["turns"][0]) == "All about whales."
    await panel.finished("Go on", conversation_id=begun.json()["id"])
    prompt = model.requests[-1].body["messages"]
    assert any("All about whales." in message["content"] for message in prompt)
    refused = await panel.http.post("conversations", json={"from_turn": first["id"]})
    assert refused.status_code == 409
