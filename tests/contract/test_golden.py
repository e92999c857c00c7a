"""Both ends keep the contract: these golden files are what Python writes, and jest reads the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cellar import wire
from cellar.conversation import TurnRecord, fold, turn_to_wire
from cellar.sse import Message, SSEDecoder

from tests.contract.posts import ACCEPTED, REFUSED
from tests.contract.streams import Case, cases
from tests.contract.write import HERE, golden_files

CASES = cases()
KNOWN = frozenset(event.__struct_config__.tag for event in wire.Event.__args__)


def decode(data: bytes, step: int) -> list[Message]:
    decoder = SSEDecoder()
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    return [item for piece in pieces for item in decoder.feed(piece) if isinstance(item, Message)]


def to_json(turn: TurnRecord) -> dict[str, Any]:
    """The turn as the browser would be shown it."""
    shown: dict[str, Any] = json.loads(msgspec.json.encode(turn_to_wire(turn, "c")))
    return shown


def read_events(case: Case, step: int = 1_000_000) -> list[tuple[str, dict[str, Any]]]:
    return [(message.id, json.loads(message.data)) for message in decode(case.data, step)]


def test_golden_files_are_what_python_writes() -> None:
    """After a change that is meant: `python -m tests.contract.write`, and read the diff."""
    expected = golden_files()
    found = {
        str(path.relative_to(HERE))
        for pattern in ("streams/*", "requests/*", "cases.json")
        for path in HERE.glob(pattern)
    }
    assert found == set(expected)
    for file, content in expected.items():
        assert Path(HERE / file).read_bytes() == content, file


@pytest.mark.parametrize("step", [1_000_000, 5, 1])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stream_decodes_to_its_events(case: Case, step: int) -> None:
    assert read_events(case, step) == case.events


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stream_folds_to_its_turns(case: Case) -> None:
    folded = []
    for index, expected in enumerate(case.folds):
        events = [
            msgspec.convert(event, wire.Event)
            for id, event in read_events(case)
            if event["type"] in KNOWN and (len(case.folds) == 1 or id.startswith(f"{index}."))
        ]
        turn = TurnRecord(id="t", parent_id=None, mode="ask", state="pending", text="?", created=0.0)
        shown, begun = to_json(fold(turn, events)), to_json(turn)
        folded.append({name: value for name, value in shown.items() if name in expected or begun.get(name) != value})
        folded[-1].setdefault("state", "pending")
    assert folded == case.folds


def test_every_event_type_has_a_case() -> None:
    seen = {event["type"] for case in CASES for _, event in case.events}
    assert seen >= KNOWN


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_request_decodes_and_keeps_its_fields(name: str) -> None:
    kind, body = ACCEPTED[name]
    decoded = msgspec.json.decode((HERE / f"requests/{name}.json").read_bytes(), type=getattr(wire, kind))
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == body


def test_every_context_part_has_a_request() -> None:
    kinds = {part["type"] for _, body in ACCEPTED.values() for part in body.get("context", [])}
    assert kinds == {part.__struct_config__.tag for part in wire.ContextPart.__args__}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_request_is_refused_with_the_place(name: str) -> None:
    kind, body, place = REFUSED[name]
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(body), type=getattr(wire, kind))
    assert place in str(refused.value)
