"""Turns and their disk, in one process: what waits for what when the disk is slow."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cellar import wire
from cellar.conversation import ConversationRecord, TurnRecord
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
        await asyncio.sleep(0)  # a new conversation's question is taken in one go
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


async def test_what_is_asked_of_a_turn_right_after_a_start_waits_until_it_is_taken_over(
    turns: Turns, shelf: Shelf, store: GatedStore, model: FakeVLLM
) -> None:
    leave(store, "early", "pending")
    turns.ready.clear()
    released = asyncio.create_task(turns.patch("early-1", wire.TurnPatch(release=True)))
    read = asyncio.create_task(turns.reading("early-1"))
    await asyncio.sleep(0)  # both have come as far as they can
    await adopt_journals(shelf, turns)
    turns.ready.set()
    assert (await released).state == "running"
    _, run = await read
    assert run is not None
    await kept(turns, "early-1")
