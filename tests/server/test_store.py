"""The store of conversations: nothing that lies on the disk is overwritten or lost by what happens around it."""

from __future__ import annotations

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


def test_without_locks_conversations_are_kept_and_deleted_all_the_same(
    directory: Path, store: DiskStore, told: list[str], a_disk_without_locks: None
) -> None:
    saved = store.save(conversation("a"))
    again = DiskStore(directory, told.append)
    assert again.load("a") == saved
    assert again.delete("a") and again.load("a") is None


def test_a_file_of_a_newer_version_is_never_overwritten(directory: Path, store: DiskStore, told: list[str]) -> None:
    store.save(conversation("a", "of the newer one"))
    path = file_of(directory, "a")
    newer = path.read_bytes().replace(b'"version":1', b'"version":2', 1)
    path.write_bytes(newer)
    with pytest.raises(Unsaved):
        DiskStore(directory, told.append).save(conversation("a", "of the older one"))
    assert path.read_bytes() == newer


def test_a_file_that_cannot_be_read_now_is_not_overwritten(directory: Path, store: DiskStore) -> None:
    path = file_of(directory, "a")
    path.mkdir()  # reading it fails, as on a broken disk
    with pytest.raises(Unsaved):
        store.save(conversation("a"))
    assert path.is_dir()


def test_a_damaged_file_is_set_aside_and_the_conversation_saved(directory: Path, store: DiskStore) -> None:
    file_of(directory, "a").write_bytes(b"rubbish")
    saved = store.save(conversation("a"))
    assert store.load("a") == saved
    assert len(list(file_of(directory, "a").parent.glob("a.jsonl.unreadable-*"))) == 1


def test_a_conversation_in_memory_is_as_large_as_on_the_disk(store: DiskStore) -> None:
    memory = MemoryStore()
    kept = store.save(memory.save(conversation("a", "long " * 1000)))
    assert memory.size("a") == store.size("a") > 5000
    assert [row.size for row in (*memory.summaries(), *memory.search("long"))] == [memory.size("a")] * 2
    memory.delete(kept.id)
    assert memory.size("a") == 0
