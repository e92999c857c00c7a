"""What crashes and refusing disks leave: servers killed at the worst moments, and what the next one makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer
from tests.server.servers import JupyterServer, Panel, text_of, until

pytestmark = pytest.mark.timeout(120)


@contextlib.contextmanager
def nobody_saves(server: JupyterServer) -> Iterator[None]:
    """Another process holds the directory's lock: every save waits."""
    fd = os.open(server.home / "data" / "cellar" / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def full_disk(server: JupyterServer) -> Iterator[None]:
    """No conversation can be written; journals can."""
    folder = server.home / "data" / "cellar" / "conversations"
    away = folder.rename(folder.with_name("away"))
    folder.write_text("in the way")
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


async def until_written(journal: Path, wanted: bytes) -> None:
    async def written() -> bool:
        return wanted in journal.read_bytes()

    await until(written)


async def _told(panel: Panel) -> bool:
    announcements = (await panel.http.get("status")).json().get("announcements", ())
    return any(told["id"] == "unsaved" for told in announcements)


async def until_told(panel: Panel) -> None:
    """The panel says that the disk refuses."""
    await until(lambda: _told(panel))


async def until_well(panel: Panel) -> None:
    async def well() -> bool:
        return not await _told(panel)

    await until(well)


async def test_an_answer_that_ended_is_whole_though_the_server_dies_before_it_is_saved(
    a_server: StartServer, model: FakeVLLM
) -> None:
    server = a_server()
    model.use(Scenario(words=300))
    async with server.panel() as panel:
        await panel.http.get("conversations")  # the directory is there
        with nobody_saves(server):
            turn = await panel.finished("a burst")
            [journal] = server.journals
            await until_written(journal, b'"finished"')
            server.kill()
    async with a_server().panel() as panel:
        [kept] = (await panel.conversation(turn["conversation_id"]))["turns"]
        assert kept["state"] == "complete"
        assert text_of(kept) == text_of(turn)
        assert kept["finished"] >= kept["created"]


async def test_what_a_dead_server_left_is_taken_over_though_no_page_opens(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    server = a_server()
    async with server.panel() as panel:
        await panel.ask("count")
        await gated_model.until(lambda fake: fake.waiting == 1)
        server.kill()
    again = a_server()

    async def folded() -> bool:
        return not again.journals

    await until(folded)
    assert len(again.conversation_files) == 1


async def test_an_answer_that_could_not_be_saved_is_there_once_after_a_restart(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    server = a_server()
    async with server.panel() as panel:
        created = await panel.ask("count")
        gated_model.release(2)
        [journal] = server.journals
        await until_written(journal, b" two")
        with full_disk(server):
            gated_model.release_all()
            await panel.all_events(created["turn_id"])
            await until_told(panel)
            turn = await panel.turn(created["turn_id"])
            server.kill()
    async with a_server().panel() as panel:
        [kept] = (await panel.conversation(created["conversation_id"]))["turns"]
        assert (kept["state"], text_of(kept)) == ("complete", text_of(turn))


async def test_what_the_disk_refuses_is_done_in_memory_and_told(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        gated_model.release_all()
        first = await panel.finished("first")
        address = f"conversations/{first['conversation_id']}"
        gated_model.use("gated")
        summary = await panel.ask("", conversation_id=first["conversation_id"], mode="compact")
        waiting = await panel.ask("waits", conversation_id=first["conversation_id"])
        with full_disk(server):
            renamed = await panel.http.patch(address, json={"title": "Renamed"})
            assert (renamed.status_code, renamed.json()["title"]) == (200, "Renamed")
            assert (await panel.http.delete(f"turns/{waiting['turn_id']}")).status_code == 204
            gated_model.release_all()
            await panel.all_events(summary["turn_id"])
            begun = await panel.http.post("conversations", json={"from_turn": summary["turn_id"]})
            assert begun.status_code == 201
            await until_told(panel)
        await until_well(panel)
    server.stop()
    async with a_server().panel() as panel:
        kept = (await panel.http.get(address)).json()
        assert kept["title"] == "Renamed"
        assert [turn["mode"] for turn in kept["turns"]] == ["ask", "compact"]
        assert (await panel.conversation(begun.json()["id"]))["turns"]


async def test_a_look_at_the_answers_end_tells_what_the_disk_refuses_a_moment_later(
    a_server: StartServer, model: FakeVLLM
) -> None:
    server = a_server()
    async with server.panel() as panel:
        await panel.finished("while the disk is well")
        with full_disk(server):
            with nobody_saves(server):
                await panel.finished("while it is not")
                told = asyncio.create_task(_told(panel))
                await panel.http.get("usage")
                assert not told.done()
            assert await told


async def test_what_could_be_saved_later_leaves_no_journal(a_server: StartServer, model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        await panel.finished("while the disk is well")
        with full_disk(server):
            await panel.finished("while it is not")
            await until_told(panel)
            assert server.journals
        await until_well(panel)

        async def gone() -> bool:
            return not server.journals

        await until(gone)


async def test_a_deleted_conversation_does_not_come_back(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        created = await panel.ask("count")
        address = f"conversations/{created['conversation_id']}"
        with full_disk(server):
            gated_model.release_all()
            await panel.all_events(created["turn_id"])
            await until_told(panel)
            [journal] = server.journals
            of_a_forgotten_turn = journal.with_name(f"{created['conversation_id']}-0123456789.jsonl")
            of_a_forgotten_turn.write_bytes(journal.read_bytes())
        assert (await panel.http.delete(address)).status_code == 204
        assert not server.journals
    server.stop()
    async with a_server().panel() as panel:
        assert (await panel.http.get(address)).status_code == 404


async def test_a_disk_that_does_not_delete_says_so(a_server: StartServer, model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        turn = await panel.finished("kept")
        address = f"conversations/{turn['conversation_id']}"

        async def counted() -> bool:
            return bool((await panel.http.get("usage")).json()["turns_today"])

        await until(counted)  # the last that takes the lock of a turn
        lock = server.home / "data" / "cellar" / ".lock"
        lock.unlink()
        lock.mkdir()
        refused = await panel.http.delete(address)
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "disk_refused")
        assert (await panel.conversation(turn["conversation_id"]))["turns"]
        lock.rmdir()
        assert (await panel.http.delete(address)).status_code == 204


async def test_what_could_not_be_taken_over_at_the_start_is_when_a_page_looks(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    server = a_server()
    async with server.panel() as panel:
        created = await panel.ask("count")
        await gated_model.until(lambda fake: fake.waiting == 1)
        server.kill()
    lock = server.home / "data" / "cellar" / ".lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    again = a_server()
    async with again.panel() as panel:
        assert (await panel.http.get("status")).json()["announcements"]
        assert (await panel.http.get(f"turns/{created['turn_id']}")).status_code == 404
        lock.rmdir()

        async def taken_over() -> bool:
            await panel.http.get("status")
            return not again.journals

        await until(taken_over)
        assert (await panel.turn(created["turn_id"]))["state"] == "interrupted"
        assert not (await panel.http.get("status")).json().get("announcements")


async def test_what_waits_survives_every_crash(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        first = await panel.ask("first")
        second = await panel.ask("second", conversation_id=first["conversation_id"])
        await gated_model.until(lambda fake: fake.waiting == 1)
        server.kill()
    [waits] = [path for path in server.journals if path.stem == second["turn_id"]]
    written = waits.read_bytes()
    for text in ("edited once", "edited twice"):
        again = a_server()
        async with again.panel() as panel:
            held = await panel.turn(second["turn_id"])
            assert (held["state"], held["parent_id"]) == ("held", first["turn_id"])
            assert again.journals == [waits]
            await panel.http.patch(f"turns/{second['turn_id']}", json={"text": text})
            again.kill()
        assert waits.read_bytes().startswith(written)
    gated_model.release_all()
    async with a_server().panel() as panel:
        released = await panel.http.patch(f"turns/{second['turn_id']}", json={"release": True})
        assert released.json()["state"] == "running"
        await panel.all_events(second["turn_id"])
        turn = await panel.turn(second["turn_id"])
        assert (turn["text"], turn["state"]) == ("edited twice", "complete")
