"""The store of conversations: nothing that lies on the disk is overwritten or lost by what happens around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cellar.conversation import ConversationRecord, TurnRecord
from cellar_jupyter.server.store import DiskStore, MemoryStore, Unsaved


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cellar"


@pytest.fixture
def told() -> list[str]:
    """What the store reports."""
    return []


@pytest.fixture
def store(directory: Path, told: list[str]) -> DiskStore:
    return DiskStore(directory, told.append)


def conversation(name: str, text: str = "why?") -> ConversationRecord:
    turn = TurnRecord(
        id=f"{name}-1", parent_id=None, mode="ask", state="complete", text=text, created=1.0, request_key=f"key-{name}"
    )
    return ConversationRecord(id=name, title="t", created=1.0, updated=1.0, turns=(turn,), head_id=turn.id)


def file_of(directory: Path, name: str) -> Path:
    return directory / "conversations" / f"{name}.jsonl"


def test_a_search_during_a_delete_warns_of_nothing(directory: Path, store: DiskStore, told: list[str]) -> None:
    for name in ("a", "b"):
        store.save(conversation(name))
    fresh = DiskStore(directory, told.append)

    class Deleting(str):
        """A query whose first comparison deletes what the search has not come to yet."""

        def casefold(self) -> str:
            for name in ("a", "b"):
                file_of(directory, name).unlink(missing_ok=True)
            return super().casefold()

    assert len(fresh.search(Deleting("why"))) == 1
    assert told == fresh.problems == []
