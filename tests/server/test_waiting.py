"""Where a question that waited stands once it runs, and what may be done to it before."""

from __future__ import annotations

import pytest

from tests.fakes.vllm import FakeVLLM
from tests.server.servers import Panel

pytestmark = pytest.mark.timeout(60)


async def test_a_question_behind_a_held_one_keeps_the_history_when_that_is_removed(
    panel: Panel, gated_model: FakeVLLM
) -> None:
    first = await panel.ask("whales?")
    conversation = first["conversation_id"]
    held = await panel.ask("held", conversation_id=conversation)
    await gated_model.until(lambda fake: fake.waiting == 1)
    await panel.http.post(f"turns/{first['turn_id']}/stop")
    child = await panel.ask("child", conversation_id=conversation, parent_id=held["turn_id"])
    await gated_model.until(lambda fake: fake.waiting == 1)
    assert (await panel.http.delete(f"turns/{held['turn_id']}")).status_code == 204
    gated_model.release_all()
    await panel.all_events(child["turn_id"])
    assert (await panel.turn(child["turn_id"]))["parent_id"] == first["turn_id"]
    export = await panel.http.get(f"conversations/{conversation}/export", params={"format": "md"})
    assert "whales?" in export.text


async def test_stop_of_a_waiting_question_answers_its_place_as_it_is(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    third = await panel.ask("third", conversation_id=first["conversation_id"])
    assert (await panel.http.delete(f"turns/{second['turn_id']}")).status_code == 204
    stopped = await panel.http.post(f"turns/{third['turn_id']}/stop")
    assert stopped.json()["parent_id"] == first["turn_id"]
    gated_model.release_all()
    await panel.all_events(first["turn_id"])


async def test_a_waiting_question_cannot_become_empty(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    address = f"turns/{second['turn_id']}"
    refused = await panel.http.patch(address, json={"text": " "})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    part = {"type": "selection", "path": "a.py", "text": "x = 1", "start_line": 1, "end_line": 1}
    assert (await panel.http.patch(address, json={"text": "", "context": [part]})).status_code == 200
    assert (await panel.http.patch(address, json={"context": []})).status_code == 400
    assert (await panel.turn(second["turn_id"]))["pills"]
    gated_model.release_all()
    await panel.all_events(second["turn_id"])


async def test_a_question_that_is_edited_does_not_start_until_the_edit_ends(
    panel: Panel, gated_model: FakeVLLM
) -> None:
    first = await panel.ask("first")
    second = await panel.ask("with a mistaek", conversation_id=first["conversation_id"])
    address = f"turns/{second['turn_id']}"
    assert (await panel.http.patch(address, json={"held": True})).json()["state"] == "held"
    gated_model.release_all()
    await panel.all_events(first["turn_id"])
    assert (await panel.turn(second["turn_id"]))["state"] == "held"
    ended = await panel.http.patch(address, json={"text": "without a mistake", "held": False})
    assert ended.json()["state"] == "running"
    await panel.all_events(second["turn_id"])
    assert "mistaek" not in str(gated_model.requests[-1].body)


async def test_an_edit_that_ends_before_the_answer_leaves_the_question_waiting_as_before(
    panel: Panel, gated_model: FakeVLLM
) -> None:
    first = await panel.ask("first")
    second = await panel.ask("second", conversation_id=first["conversation_id"])
    address = f"turns/{second['turn_id']}"
    await panel.http.patch(address, json={"held": True})
    assert (await panel.http.patch(address, json={"held": False})).json()["state"] == "pending"
    gated_model.release_all()
    await panel.all_events(second["turn_id"])
    assert (await panel.turn(second["turn_id"]))["state"] == "complete"


async def test_the_end_of_an_edit_lets_nothing_go_that_a_stop_has_held(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    edited = await panel.ask("edited", conversation_id=first["conversation_id"])
    later = await panel.ask("edited later", conversation_id=first["conversation_id"])
    await panel.http.patch(f"turns/{edited['turn_id']}", json={"held": True})
    await panel.http.post(f"turns/{first['turn_id']}/stop")
    await panel.http.patch(f"turns/{later['turn_id']}", json={"held": True})
    for turn in (edited, later):
        ended = await panel.http.patch(f"turns/{turn['turn_id']}", json={"held": False})
        assert ended.json()["state"] == "held"


async def test_a_question_behind_one_that_is_edited_goes_before_it(panel: Panel, gated_model: FakeVLLM) -> None:
    first = await panel.ask("first")
    edited = await panel.ask("edited", conversation_id=first["conversation_id"])
    behind = await panel.ask("behind", conversation_id=first["conversation_id"])
    await panel.http.patch(f"turns/{edited['turn_id']}", json={"held": True})
    gated_model.release_all()
    await panel.all_events(behind["turn_id"])
    ended = await panel.http.patch(f"turns/{edited['turn_id']}", json={"held": False})
    assert ended.json()["state"] == "running"
    await panel.all_events(edited["turn_id"])
    assert (await panel.turn(edited["turn_id"]))["parent_id"] == behind["turn_id"]
