"""Turns and their disk, in one process: what waits for what when the disk is slow."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from cellar import wire
from cellar.conversation import ConversationRecord, TurnRecord
from cellar.errors import DiskRefused, NotFound
from cellar_jupyter.server.answer import Answering
from cellar_jupyter.server.app import Cellar
from cellar_jupyter.server.conversations import Conversations
from cellar_jupyter.server.files import Files
from cellar_jupyter.server.journal import Journal, Question
from cellar_jupyter.server.models import Models
from cellar_jupyter.server.recovery import adopt_journals
from cellar_jupyter.server.shelf import Shelf
from cellar_jupyter.server.store import DiskStore
from cellar_jupyter.server.turns import Turns
from cellar_jupyter.server.usage import UsageBook

from tests.fakes.vllm import FakeVLLM

pytestmark = pytest.mark.timeout(60)
LOG = logging.getLogger(__name__)


class GatedStore(DiskStore):
    """While `gate` is closed, whoever asks for a size waits; `asked` says that somebody does."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, LOG.warning)
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def size(self, conversation_id: str) -> int:
        self.asked.set()
        self.gate.wait()
        return super().size(conversation_id)


@pytest.fixture
def store(tmp_path: Path) -> GatedStore:
    return GatedStore(tmp_path / "cellar")


@pytest.fixture
async def shelf(store: GatedStore) -> AsyncIterator[Shelf]:
    shelf = Shelf(store, LOG)
    yield shelf
    await asyncio.to_thread(shelf.close)


@pytest.fixture
async def turns(shelf: Shelf, tmp_path: Path, model: FakeVLLM) -> AsyncIterator[Turns]:
    config = Cellar(base_url=model.url)
    models = Models(config)
    turns = Turns(shelf, Answering(config, models, Files(str(tmp_path)), shelf, UsageBook(None)), LOG, lambda: None)
    turns.ready.set()
    yield turns
    await models.close()


@contextmanager
def slow_disk(shelf: Shelf) -> Iterator[None]:
    """Nothing is written until the block ends."""
    gate = threading.Event()
    shelf.in_disk_thread(gate.wait)
    try:
        yield
    finally:
        gate.set()


def question(text: str, conversation_id: str | None = None) -> wire.TurnRequest:
    return wire.TurnRequest(request_key=secrets.token_hex(8), text=text, conversation_id=conversation_id)


async def seen(turns: Turns, turn_id: str, kind: type[object]) -> None:
    """The turn's log has such an event."""
    log, _ = await turns.reading(turn_id)
    news = asyncio.Event()
    log.subscribe(news)
    while not any(isinstance(event, kind) for event in log.read(0)):
        news.clear()
        await news.wait()
    log.unsubscribe(news)


async def kept(turns: Turns, turn_id: str) -> None:
    """It has ended and is saved."""
    _, run = await turns.reading(turn_id)
    assert run is not None and run.task is not None
    await run.task


async def test_a_question_that_waited_is_on_the_disk_as_edited_before_it_leaves(
    turns: Turns, shelf: Shelf, gated_model: FakeVLLM
) -> None:
    first = await turns.post(question("first"))
    second = await turns.post(question("secnd", first.conversation_id))
    await gated_model.until(lambda fake: fake.waiting == 1)
    await turns.stop(first.turn_id)
    await turns.patch(second.turn_id, wire.TurnPatch(text="second"))
    with slow_disk(shelf):
        await turns.patch(second.turn_id, wire.TurnPatch(release=True))
        await seen(turns, second.turn_id, wire.ReceiptEvent)  # the prompt is built
        _, run = await turns.reading(second.turn_id)
        assert run is not None and run.journaled is not None and not run.journaled.done()
        assert len(gated_model.requests) == 1
    gated_model.release_all()
    await kept(turns, second.turn_id)
    assert gated_model.requests[-1].body["messages"][-1]["content"].endswith("second")


async def test_a_question_finds_the_conversation_as_it_is_when_it_is_taken(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    first = await turns.post(question("first"))
    await kept(turns, first.turn_id)
    store.asked.clear()
    store.gate.clear()
    taking = asyncio.create_task(turns.post(question("second", first.conversation_id)))
    await asyncio.to_thread(store.asked.wait)
    await Conversations(shelf, turns).change(first.conversation_id, wire.ConversationPatch(title="Renamed"))
    store.gate.set()
    second = await taking
    await kept(turns, second.turn_id)
    conversation = await shelf.open(first.conversation_id)
    assert (conversation.title, len(conversation.turns)) == ("Renamed", 2)


async def test_a_request_that_is_cut_off_after_its_turn_was_taken_is_no_second_question(
    turns: Turns, shelf: Shelf, gated_model: FakeVLLM
) -> None:
    request = question("only once")
    with slow_disk(shelf):
        cut_off = asyncio.create_task(turns.post(request))
        await asyncio.sleep(0)  # one step of the loop, no time: a new conversation's question is taken in one go
        assert turns.active
        cut_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut_off
        again = asyncio.create_task(turns.post(request))
    created = await again
    gated_model.release_all()
    await kept(turns, created.turn_id)
    assert len((await shelf.open(created.conversation_id)).turns) == 1
    assert len(gated_model.requests) == 1


def leave(store: DiskStore, name: str, state: wire.TurnState) -> Path:
    """The journal of a server that died while this turn ran or waited."""
    turn = TurnRecord(
        id=f"{name}-1", parent_id=None, mode="ask", state=state, text=name, created=1.0, request_key=f"key-of-{name}"
    )
    path = store.journals / f"{turn.id}.jsonl"
    journal = Journal(path)
    journal.put(Question(conversation_id=name, title=name, created=1.0, turn=turn))
    journal.release()
    return path


async def test_a_conversation_that_cannot_be_taken_over_keeps_its_journals_and_stops_no_other(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    store.save(ConversationRecord(id="newer", title="of a newer version", created=1.0, updated=1.0))
    file = store.directory / "conversations" / "newer.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"version":1', b'"version":2', 1))
    content = file.read_bytes()
    left = [leave(store, "newer", "running"), leave(store, "zealous", "running"), leave(store, "zwaits", "pending")]
    await adopt_journals(shelf, turns)
    assert [path.exists() for path in left] == [True, False, True]
    assert file.read_bytes() == content
    assert any("newer" in told for told in store.problems)
    assert (await turns.get("zealous-1")).state == "interrupted"
    assert (await turns.get("zwaits-1")).state == "held"
    for key, turn_id in (("key-of-zealous", "zealous-1"), ("key-of-zwaits", "zwaits-1")):
        assert (await turns.post(wire.TurnRequest(request_key=key, text="again"))).turn_id == turn_id
    await turns.delete("zwaits-1")


@contextmanager
def refusing_disk(store: DiskStore) -> Iterator[None]:
    """Nothing can be saved or deleted: a folder is where the lock's file should be."""
    lock = store.directory / ".lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    try:
        yield
    finally:
        lock.rmdir()


async def test_a_conversation_that_the_disk_does_not_delete_is_there_as_before_and_its_answer_goes_on(
    turns: Turns, shelf: Shelf, store: GatedStore, gated_model: FakeVLLM
) -> None:
    created = await turns.post(question("count"))
    await gated_model.until(lambda fake: fake.waiting == 1)
    conversations = Conversations(shelf, turns)
    with refusing_disk(store), pytest.raises(DiskRefused):
        await conversations.delete(created.conversation_id)
    gated_model.release_all()
    await kept(turns, created.turn_id)
    assert (await turns.get(created.turn_id)).state == "complete"
    await conversations.delete(created.conversation_id)
    with pytest.raises(NotFound):
        await conversations.show(created.conversation_id)
    assert not [path for path in store.directory.rglob("*") if created.conversation_id in path.name]


async def test_a_conversation_whose_journal_cannot_go_stays_whole(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    created = await turns.post(question("first"))
    await kept(turns, created.turn_id)
    file = store.directory / "conversations" / f"{created.conversation_id}.jsonl"
    content = file.read_bytes()
    in_the_way = store.journals / f"{created.conversation_id}-0.jsonl"
    in_the_way.mkdir()
    with pytest.raises(DiskRefused):
        await Conversations(shelf, turns).delete(created.conversation_id)
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    in_the_way.rmdir()
    await Conversations(shelf, turns).delete(created.conversation_id)
    assert list(file.parent.iterdir()) == []


async def test_what_the_disk_did_not_take_over_is_taken_over_later_beside_what_was_asked_meanwhile(
    turns: Turns, shelf: Shelf, store: GatedStore, gated_model: FakeVLLM
) -> None:
    store.save(ConversationRecord(id="used", title="used", created=1.0, updated=1.0))
    left = [leave(store, "used", "running"), leave(store, "waits", "pending")]
    with refusing_disk(store):
        assert await adopt_journals(shelf, turns)
        assert store.problems and left[0].exists()
        meanwhile = await turns.post(question("meanwhile", "used"))
    assert not await adopt_journals(shelf, turns)
    assert not store.problems and not left[0].exists()
    gated_model.release_all()
    await kept(turns, meanwhile.turn_id)
    conversation = await shelf.open("used")
    assert {turn.id: turn.state for turn in conversation.turns} == {
        "used-1": "interrupted",
        meanwhile.turn_id: "complete",
    }
    assert (await turns.get("waits-1")).state == "held"
    await turns.delete("waits-1")


async def test_a_journal_that_the_disk_does_not_let_go_goes_with_the_next_save(
    turns: Turns, shelf: Shelf, store: GatedStore, gated_model: FakeVLLM
) -> None:
    first = await turns.post(question("first"))
    waiting = await turns.post(question("removed", first.conversation_id))
    journal = store.journals / f"{waiting.turn_id}.jsonl"
    aside = journal.rename(journal.with_suffix(".aside"))
    journal.mkdir()
    await turns.delete(waiting.turn_id)
    assert first.conversation_id in shelf.unsaved
    journal.rmdir()
    aside.rename(journal)
    await turns.keeping.save_again()
    assert not journal.exists() and not shelf.unsaved
    gated_model.release_all()
    await kept(turns, first.turn_id)


SECRET = "hunter2-of-the-tests"


def question_with_a_secret() -> wire.TurnRequest:
    cell = wire.Cell(
        id="c",
        kind="code",
        source=f'password = "{SECRET}"',
        outputs=(wire.Output(kind="stdout", text=f"password={SECRET}\n"),),
    )
    parts = (
        wire.NotebookPart(path="a.ipynb", cells=(cell,)),
        wire.ErrorPart(path="a.ipynb", cell=cell),
        wire.SelectionPart(path="a.py", text=cell.source),
        wire.FilePart(path="b.py", text=cell.source),
    )
    return wire.TurnRequest(request_key=secrets.token_hex(8), text="Why?", context=parts)


def on_the_disk(store: DiskStore) -> str:
    return "".join(path.read_text() for path in store.directory.rglob("*.jsonl"))


async def test_a_turn_that_failed_before_its_prompt_was_built_keeps_no_secret_and_can_be_asked_again(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    request = msgspec.structs.replace(question_with_a_secret(), model="no-such-model")
    failed = await turns.post(request)
    await kept(turns, failed.turn_id)
    assert (await turns.get(failed.turn_id)).state == "error"
    assert SECRET not in on_the_disk(store) and "«secret:1»" in on_the_disk(store)
    again = await turns.post(
        wire.TurnRequest(
            request_key=secrets.token_hex(8),
            conversation_id=failed.conversation_id,
            parent_id=None,
            copy_of=failed.turn_id,
        )
    )
    await kept(turns, again.turn_id)
    asked = str(model.requests[-1].body["messages"])
    assert "«secret:1»" in asked and SECRET not in asked


async def test_a_question_that_a_crash_cut_off_before_its_prompt_was_built_keeps_no_secret(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    path = store.journals / "cut-1.jsonl"
    journal = Journal(path)
    turn = TurnRecord(
        id="cut-1",
        parent_id=None,
        mode="ask",
        state="running",
        text="Why?",
        created=1.0,
        context=question_with_a_secret().context,
    )
    journal.put(Question(conversation_id="cut", title="cut", created=1.0, turn=turn))
    journal.release()
    await adopt_journals(shelf, turns)
    assert (await turns.get("cut-1")).state == "interrupted"
    assert SECRET not in on_the_disk(store) and "«secret:1»" in on_the_disk(store)


async def test_what_is_asked_of_a_turn_right_after_a_start_waits_until_it_is_taken_over(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    leave(store, "early", "pending")
    turns.ready.clear()
    released = asyncio.create_task(turns.patch("early-1", wire.TurnPatch(release=True)))
    read = asyncio.create_task(turns.reading("early-1"))
    await asyncio.sleep(0)  # one step of the loop, no time: both now wait for `ready`, and nothing else would tell
    await adopt_journals(shelf, turns)
    turns.ready.set()
    assert (await released).state == "running"
    _, run = await read
    assert run is not None
    await kept(turns, "early-1")
