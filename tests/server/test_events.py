"""Reading a turn's events: by cursor, late, twice, from several turns, slowly, and not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from cellar import wire
from cellar.sse import Message, SSEDecoder
from cellar_jupyter.server.readers import MOST

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.server.servers import TOKEN, JupyterServer, Panel, text_of


async def test_the_response_says_that_it_is_a_stream_and_begins_at_once(panel: Panel, silent_model: FakeVLLM) -> None:
    created = await panel.ask("hello?")
    headers = {"Accept-Encoding": "gzip"}
    async with panel.http.stream("GET", f"turns/{created['turn_id']}/events", headers=headers) as response:
        first = await anext(response.aiter_raw())
    assert first.startswith(b":")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert "gzip" not in response.headers.get("content-encoding", "")
    await panel.http.post(f"turns/{created['turn_id']}/stop")


async def test_text_arrives_while_the_model_still_writes(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("count")
    async with panel.events(created["turn_id"]) as events:
        gated_model.release()
        await events.text("one")
        assert gated_model.running == 1
        gated_model.release_all()
        assert (await events.until(wire.FinishedEvent)).reason == "complete"


async def test_a_reader_whose_line_dropped_reads_on_from_its_cursor(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("count")
    async with panel.events(created["turn_id"]) as events:
        gated_model.release(2)
        await events.text("one two")
        cursor = events.cursor
    gated_model.release_all()
    rest = await panel.all_events(created["turn_id"], after=cursor)
    assert not any(isinstance(event, wire.SnapshotEvent) for event in rest)
    text = "".join(event.delta for event in rest if isinstance(event, wire.TextEvent))
    assert text == " three four five six"


async def test_a_late_reader_gets_one_snapshot_and_then_what_comes(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("count")
    async with panel.events(created["turn_id"]) as first:
        gated_model.release(3)
        await first.text("one two three")
        async with panel.events(created["turn_id"], after="0") as second:
            snapshot = await anext(aiter(second))
            assert snapshot == wire.SnapshotEvent(parts=(wire.TextPart(text="one two three"),))
            assert isinstance(await second.until(wire.ReceiptEvent), wire.ReceiptEvent)
            gated_model.release()
            assert (await second.until(wire.TextEvent)).delta == " four"
    await panel.http.post(f"turns/{created['turn_id']}/stop")


async def test_two_readers_see_the_same(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("count")
    readers = [asyncio.create_task(panel.all_events(created["turn_id"])) for _ in range(2)]
    await gated_model.until(lambda fake: fake.waiting == 1)
    gated_model.release_all()
    for events in await asyncio.gather(*readers):
        assert isinstance(events[-1], wire.FinishedEvent)
        assert written(events) == "one two three four five six"


def written(events: list[wire.Event]) -> str:
    """The text as a reader has it in the end, whenever it came."""
    text = ""
    for event in events:
        if isinstance(event, wire.SnapshotEvent):
            text = "".join(part.text for part in event.parts if isinstance(part, wire.TextPart))
        elif isinstance(event, wire.TextEvent):
            text += event.delta
    return text


async def test_an_unknown_cursor_leads_to_a_snapshot(panel: Panel) -> None:
    turn = await panel.finished("hello there")
    for cursor in ("AbCd7", "nonsense", "-1", "1.5", "AbCd99999999999999999999"):
        events = await panel.all_events(turn["id"], after=cursor)
        assert events[0] == wire.SnapshotEvent(parts=(wire.TextPart(text=text_of(turn)),))
        assert isinstance(events[-1], wire.FinishedEvent)


async def test_a_finished_turn_is_told_again_from_zero(panel: Panel) -> None:
    turn = await panel.finished("hello again")
    events = await panel.all_events(turn["id"], after="0")
    kinds = [type(event) for event in events]
    assert kinds.index(wire.ReceiptEvent) < kinds.index(wire.TextEvent)
    assert kinds.count(wire.TextEvent) == 1
    assert kinds[-1] is wire.FinishedEvent


async def test_the_cursor_of_a_running_turn_comes_with_its_state(panel: Panel, gated_model: FakeVLLM) -> None:
    created = await panel.ask("count")
    async with panel.events(created["turn_id"]) as events:
        gated_model.release(2)
        await events.text("one two")
    shown = (await panel.conversation(created["conversation_id"]))["turns"][0]
    assert text_of(shown) == "one two"
    gated_model.release_all()
    rest = await panel.all_events(created["turn_id"], after=shown["cursor"])
    assert "".join(e.delta for e in rest if isinstance(e, wire.TextEvent)) == " three four five six"


async def test_a_page_finds_room_to_read_when_one_of_four_leaves(panel: Panel, gated_model: FakeVLLM) -> None:
    turn = (await panel.ask("count"))["turn_id"]
    async with contextlib.AsyncExitStack() as open_pages:
        leave = [await open_pages.enter_async_context(contextlib.AsyncExitStack()) for _ in range(MOST)]
        for number, page in enumerate(leave):
            assert (await page.enter_async_context(a_page(panel, turn, f"page{number}"))).status_code == 200
        async with a_page(panel, turn, "another") as refused:
            assert refused.status_code == 204
        async with panel.events(turn) as program:  # which is no page of a browser
            assert program.response.status_code == 200
        await leave[0].aclose()
        await until_there_is_room(panel, turn)
    await panel.http.post(f"turns/{turn}/stop")


async def test_a_page_that_comes_again_takes_the_place_of_its_dead_response(
    panel: Panel, gated_model: FakeVLLM
) -> None:
    turn = (await panel.ask("count"))["turn_id"]
    async with contextlib.AsyncExitStack() as open_pages:
        old = [await open_pages.enter_async_context(a_page(panel, turn, f"page{number}")) for number in range(MOST)]
        again = await open_pages.enter_async_context(a_page(panel, turn, "page0"))
        assert again.status_code == 200
        assert (await old[0].aread()).startswith(b":")  # it ends
        async with a_page(panel, turn, "another") as refused:
            assert refused.status_code == 204
        gated_model.release_all()
        assert b"finished" in await again.aread()


def a_page(panel: Panel, turn: str, name: str) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
    return panel.http.stream("GET", "events", params={"turn": f"{turn}:0", "page": name})


async def until_there_is_room(panel: Panel, turn: str) -> None:
    """The server sees a little later that a page has left."""
    async with asyncio.timeout(10):
        while True:
            async with a_page(panel, turn, "another") as response:
                if response.status_code == 200:
                    return


async def test_one_response_follows_several_turns(panel: Panel, gated_model: FakeVLLM) -> None:
    first, second = await panel.ask("a"), await panel.ask("b")
    query: list[tuple[str, str | int | float | bool | None]] = [
        ("turn", f"{first['turn_id']}:"),
        ("turn", f"{second['turn_id']}:0"),
    ]
    decoder = SSEDecoder()
    told: dict[str, list[wire.Event]] = {"0": [], "1": []}
    batch: list[wire.Event] = []
    cursor = ""
    async with panel.http.stream("GET", "events", params=query) as response:
        gated_model.release_all()
        async for chunk in response.aiter_raw():
            for item in decoder.feed(chunk):
                if isinstance(item, Message):
                    batch.append(msgspec.json.decode(item.data, type=wire.Event))
                    if item.id != cursor:  # only a batch's last event carries one: it tells whose all of them are
                        cursor = item.id
                        told[cursor.partition(".")[0]] += batch
                        batch = []
    assert {index: written(events) for index, events in told.items()} == dict.fromkeys(
        ("0", "1"), "one two three four five six"
    )
    assert all(isinstance(events[-1], wire.FinishedEvent) for events in told.values())


@pytest.mark.slow
async def test_a_line_on_which_nothing_happens_is_kept_alive(panel: Panel, silent_model: FakeVLLM) -> None:
    created = await panel.ask("hello?")
    seen = b""
    async with panel.http.stream("GET", f"turns/{created['turn_id']}/events") as response:
        async for chunk in response.aiter_raw():
            seen += chunk
            if b": ping\n\n" in seen:
                break
    assert seen.endswith(b": ping\n\n")
    await panel.http.post(f"turns/{created['turn_id']}/stop")


async def test_events_of_an_unknown_turn_are_refused(panel: Panel) -> None:
    assert (await panel.http.get("turns/0123456789abcdef-0123456789/events")).status_code == 404
    assert (await panel.http.get("events?turn=nothing:0")).status_code == 404
    assert (await panel.http.get("events")).status_code == 400


async def test_a_reader_that_does_not_read_gets_what_it_missed_in_one_event(
    server: JupyterServer, panel: Panel, model: FakeVLLM
) -> None:
    tokens = [f"{n:07d}" + "x" * 193 for n in range(35_000)]  # 7 MB: more than every buffer in between
    model.use(Scenario(tokens=tokens, prefill="after_headers"))
    created = await panel.ask("a lot")
    await model.until(lambda fake: fake.waiting == 1)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as slow:
        path = f"{address.path}cellar/api/turns/{created['turn_id']}/events"
        slow.sendall(f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\nAuthorization: token {TOKEN}\r\n\r\n".encode())
        assert await asyncio.to_thread(slow.recv, 1)
        model.release_all()
        await panel.all_events(created["turn_id"])  # another reader is not held up
        received = bytearray()
        while chunk := await asyncio.to_thread(slow.recv, 1 << 20):
            received += chunk
    body = bytes(received).partition(b"\r\n\r\n")[2]
    messages = [item for item in SSEDecoder(1 << 25).feed(body) if isinstance(item, Message)]
    events = [msgspec.json.decode(message.data, type=wire.Event) for message in messages]
    deltas = [event.delta for event in events if isinstance(event, wire.TextEvent)]
    assert "".join(deltas) == "".join(tokens)
    assert len(deltas) < 2_000


async def test_eight_pages_that_read_do_not_keep_a_ninth_from_saving(
    server: JupyterServer, panel: Panel, gated_model: FakeVLLM
) -> None:
    created = [await panel.ask(f"page {page}") for page in range(8)]
    readers = [asyncio.create_task(panel.all_events(turn["turn_id"])) for turn in created]
    await gated_model.until(lambda fake: fake.waiting == 8)
    async with httpx.AsyncClient(headers={"Authorization": f"token {TOKEN}"}, trust_env=False) as ninth:
        notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        saved = await ninth.put(
            f"{server.url}api/contents/ninth.ipynb", json={"type": "notebook", "format": "json", "content": notebook}
        )
    assert saved.status_code == 201
    assert not any(reader.done() for reader in readers)
    gated_model.release_all()
    await asyncio.gather(*readers)
