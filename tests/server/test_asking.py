"""From what is posted to the turn it means."""

from __future__ import annotations

import pytest
from cellar import wire
from cellar.conversation import ConversationRecord, TurnRecord
from cellar.errors import Conflict
from cellar_jupyter.server.asking import new_turn


def turn(name: str, parent: str | None) -> TurnRecord:
    return TurnRecord(
        id=f"c-{name}", parent_id=parent, mode="ask", state="complete", text=f"{name}?", created=1.0,
        pills=(wire.Pill(kind="notebook", label="a.ipynb"),),
    )  # fmt: skip


HERE = ConversationRecord(
    id="c", title="t", created=1.0, updated=1.0, turns=(turn("a", None), turn("b", "c-a")), head_id="c-b"
)


def test_a_copy_stands_where_the_original_does() -> None:
    for request in (
        wire.TurnRequest(request_key="12345678", copy_of="c-b"),
        wire.TurnRequest(request_key="12345678", copy_of="c-b", parent_id="c-a"),
    ):
        assert new_turn(HERE, request, 2.0).parent_id == "c-a"


def test_the_context_of_a_copy_is_not_moved_to_another_place() -> None:
    with pytest.raises(Conflict):
        new_turn(HERE, wire.TurnRequest(request_key="12345678", copy_of="c-b", parent_id=None), 2.0)


def test_a_copy_with_a_context_of_its_own_may_stand_anywhere() -> None:
    request = wire.TurnRequest(request_key="12345678", copy_of="c-b", parent_id=None, context=())
    assert new_turn(HERE, request, 2.0).parent_id is None
