"""What is kept, where, for whom; and what a crash, a second server and a damaged file leave of it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import pytest
from cellar import wire

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer
from tests.server.servers import Panel, text_of, until

pytestmark = pytest.mark.timeout(120)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def until_saved(panel: Panel, conversation_id: str) -> None:
    """The conversation lies on the disk (its list row knows its size)."""

    async def saved() -> bool:
        rows = (await panel.http.get("conversations")).json()
        return any(row["id"] == conversation_id and row.get("size") for row in rows)

    await until(saved)


async def test_a_killed_server_leaves_an_interrupted_turn_with_its_text(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    server = a_server()
    body = {"request_key": secrets.token_hex(8), "text": "count"}
    async with server.panel() as panel:
        created = (await panel.http.post("turns", json=body)).json()
        async with panel.events(created["turn_id"]) as events:
            gated_model.release(3)
            await events.text("one two three")
            [journal] = server.journals

            async def in_the_journal() -> bool:
                return b" three" in journal.read_bytes()

            await until(in_the_journal)
            old_cursor = events.cursor
            server.kill()
    assert mode_of(journal) == 0o600

    again = a_server()
    async with again.panel() as panel:
        turn = await panel.turn(created["turn_id"])
        assert turn["state"] == "interrupted"
        assert turn["text"] == "count"
        assert text_of(turn) == "one two three"
        assert turn["receipt"]["parts"]
        assert not again.journals
        events_again = await panel.all_events(created["turn_id"], after=old_cursor)
        assert events_again[0] == wire.SnapshotEvent(parts=(wire.TextPart(text="one two three"),))
        assert events_again[-1] == wire.FinishedEvent(reason="interrupted")
        repeated = (await panel.http.post("turns", json=body)).json()
        assert repeated["turn_id"] == created["turn_id"]
        assert len(gated_model.requests) == 1


async def test_the_list_names_the_turn_that_runs_and_not_the_one_that_waits(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    async with a_server().panel() as panel:
        first = await panel.ask("first")
        second = await panel.ask("second", conversation_id=first["conversation_id"])
        [row] = (await panel.http.get("conversations")).json()
        assert row["running"] == first["turn_id"]
        gated_model.release_all()
        await panel.all_events(first["turn_id"])
        await panel.all_events(second["turn_id"])
        [row] = (await panel.http.get("conversations")).json()
        assert "running" not in row


async def test_the_question_is_on_the_disk_before_it_leaves(a_server: StartServer, slow_model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        await panel.ask("a question of mine")
        await slow_model.until(lambda fake: fake.running == 1)
        [journal] = server.journals
        assert b"a question of mine" in journal.read_bytes()


async def test_what_waited_when_the_server_died_is_held(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:
        first = await panel.ask("first")
        second = await panel.ask("secnd", conversation_id=first["conversation_id"])
        await panel.http.patch(f"turns/{second['turn_id']}", json={"text": "second"})
        server.kill()
    again = a_server()
    gated_model.use("echo")
    async with again.panel() as panel:
        conversation = await panel.conversation(first["conversation_id"])
        assert [(turn["text"], turn["state"]) for turn in conversation["turns"]] == [
            ("first", "interrupted"),
            ("second", "held"),
        ]
        await panel.http.patch(f"turns/{second['turn_id']}", json={"release": True})
        await panel.all_events(second["turn_id"])
        assert (await panel.turn(second["turn_id"]))["state"] == "complete"


async def test_a_conversation_is_kept_over_a_restart(a_server: StartServer) -> None:
    server = a_server()
    async with server.panel() as panel:
        turn = await panel.finished("remember me")
        await until_saved(panel, turn["conversation_id"])
    server.stop()
    again = a_server()
    async with again.panel() as panel:
        conversation = await panel.conversation(turn["conversation_id"])
        assert conversation["turns"][0] == turn
        events = await panel.all_events(turn["id"], after="0")
        assert isinstance(events[-1], wire.FinishedEvent)


async def test_files_are_for_their_owner_alone(a_server: StartServer) -> None:
    os.umask(0o022)
    server = a_server()
    async with server.panel() as panel:
        turn = await panel.finished("private")
        await until_saved(panel, turn["conversation_id"])
    [file] = server.conversation_files
    assert mode_of(file) == 0o600
    assert mode_of(file.parent) == mode_of(file.parent.parent) == 0o700
    endpoint = server.home / "runtime" / "cellar-endpoint.json"
    assert mode_of(endpoint) == 0o600


async def test_in_memory_nothing_is_written(a_server: StartServer) -> None:
    server = a_server(history="memory")
    async with server.panel() as panel:
        status = (await panel.http.get("status")).json()
        assert status["policy"]["history"] == "memory"
        turn = await panel.finished("forget me")
        assert (await panel.conversation(turn["conversation_id"]))["turns"][0]["state"] == "complete"
        assert len((await panel.http.get("conversations")).json()) == 1
    assert not (server.home / "data" / "cellar").exists()


async def test_what_a_restart_lost_is_told_from_what_was_deleted(a_server: StartServer) -> None:
    server = a_server(history="memory")
    async with server.panel() as panel:
        lost, deleted = [(await panel.finished(text))["conversation_id"] for text in ("lose me", "delete me")]
        await panel.http.delete(f"conversations/{deleted}")
        gone = (await panel.http.get(f"conversations/{deleted}")).json()["error"]
        assert gone["code"] == "not_found" and "detail" not in gone
    server.stop()
    server.start()
    async with server.panel() as panel:
        gone = (await panel.http.get(f"conversations/{lost}")).json()["error"]
        assert (gone["code"], gone["detail"]) == ("not_found", {"why": "restarted"})


async def test_a_damaged_file_is_set_aside_and_told(a_server: StartServer) -> None:
    server = a_server()
    async with server.panel() as panel:
        turn = await panel.finished("will be damaged")
        await until_saved(panel, turn["conversation_id"])
    server.stop()
    [file] = server.conversation_files
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    again = a_server()
    async with again.panel() as panel:
        assert (await panel.http.get(f"conversations/{turn['conversation_id']}")).status_code == 404
        status = (await panel.http.get("status")).json()
        assert any("set aside" in told["text"] for told in status["announcements"])
    [aside] = again.conversation_files
    assert ".unreadable-" in aside.name
    assert aside.read_bytes() == content[: len(content) // 2]


async def test_two_servers_on_one_directory_leave_each_other_alone(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    first = a_server()
    async with first.panel() as one:
        running = await one.ask("of the first server")
        await gated_model.until(lambda fake: fake.waiting == 1)
        second = a_server()
        async with second.panel() as two:
            rows = (await two.http.get("conversations")).json()
            assert not rows
            assert len(second.journals) == 1
            gated_model.release_all()
            await one.all_events(running["turn_id"])
            await until_saved(one, running["conversation_id"])
            turn = await two.finished("of the second server", conversation_id=running["conversation_id"])
            await until_saved(two, turn["conversation_id"])
        third = await one.finished("of the first again", conversation_id=running["conversation_id"])
        conversation = await one.conversation(running["conversation_id"])
        assert [turn["text"] for turn in conversation["turns"]] == [
            "of the first server",
            "of the second server",
            "of the first again",
        ]
        assert third["parent_id"] == turn["id"]


@pytest.mark.parametrize("history", ["disk", "memory"])
async def test_a_conversation_that_is_full_takes_no_question_and_loses_nothing(
    a_server: StartServer, history: str
) -> None:
    server = a_server(max_conversation_bytes=2000, history=history)
    async with server.panel() as panel:
        turn = await panel.finished("long " * 500)
        await until_saved(panel, turn["conversation_id"])
        body = {"request_key": secrets.token_hex(8), "text": "more", "conversation_id": turn["conversation_id"]}
        refused = await panel.http.post("turns", json=body)
        assert refused.status_code == 413
        assert refused.json()["error"]["hint"]
        assert len((await panel.conversation(turn["conversation_id"]))["turns"]) == 1


async def test_deleting_a_conversation_stops_what_runs_and_removes_its_files(
    a_server: StartServer, gated_model: FakeVLLM
) -> None:
    server = a_server()
    async with server.panel() as panel:
        created = await panel.ask("count")
        await panel.ask("wait", conversation_id=created["conversation_id"])
        await gated_model.until(lambda fake: fake.waiting == 1)
        assert (await panel.http.delete(f"conversations/{created['conversation_id']}")).status_code == 204
        await gated_model.until(lambda fake: fake.aborted == 1)
        assert (await panel.http.get(f"conversations/{created['conversation_id']}")).status_code == 404
        assert (await panel.http.delete(f"conversations/{created['conversation_id']}")).status_code == 404
        assert (await panel.http.get("conversations")).json() == []
    server.stop()
    assert not server.journals
    assert not server.conversation_files


async def test_a_disk_that_refuses_loses_nothing_and_is_told(a_server: StartServer) -> None:
    server = a_server()
    folder = server.home / "data" / "cellar" / "conversations"
    async with server.panel() as panel:
        await panel.finished("while the disk is well")
        for directory in (folder, folder.with_name("journals")):
            directory.rename(directory.with_name(f"{directory.name}-away"))
            directory.write_text("in the way")
        turn = await panel.finished("while it is not")
        assert turn["state"] == "complete"

        async def told() -> bool:
            announcements = (await panel.http.get("status")).json().get("announcements", ())
            return any(told["id"] == "unsaved" for told in announcements)

        await until(told)
        assert (await panel.conversation(turn["conversation_id"]))["turns"][0] == turn
        for directory in (folder, folder.with_name("journals")):
            directory.unlink()
            directory.with_name(f"{directory.name}-away").rename(directory)

        async def well() -> bool:
            return not await told()

        await until(well)
        assert [path.stem for path in server.conversation_files].count(turn["conversation_id"]) == 1


# -- nobody reads -----------------------------------------------------------------------------------------------------


async def test_a_turn_nobody_reads_is_stopped_and_keeps_its_text(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server(orphan_grace=0.3, get_counts_for=0.1)
    async with server.panel() as panel:
        created = await panel.ask("count")
        gated_model.release(2)
        await gated_model.until(lambda fake: fake.aborted == 1)
        turn = await panel.turn(created["turn_id"])
        assert turn["state"] == "stopped"
        assert turn["stopped_by"] == "orphan"
        assert text_of(turn) == "one two"


async def test_a_reader_keeps_its_turn_alive(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server(orphan_grace=0.2, get_counts_for=0.1)
    async with server.panel() as panel:
        read = await panel.ask("read")
        await gated_model.until(lambda fake: fake.waiting == 1)
        async with panel.events(read["turn_id"]) as events:
            await panel.ask("not read")
            await gated_model.until(lambda fake: fake.aborted == 1)  # the other one's grace is over
            gated_model.release_all()
            assert (await events.until(wire.FinishedEvent)).reason == "complete"


async def test_a_queued_turn_keeps_its_place_though_nobody_reads(a_server: StartServer, model: FakeVLLM) -> None:
    model.use("queued")
    server = a_server(orphan_grace=0.2, get_counts_for=0.1, gateway=True)
    async with server.panel() as panel:
        queued = await panel.ask("waits in the queue")
        async with panel.events(queued["turn_id"]) as events:
            await model.until(lambda fake: fake.waiting == 1)
            model.release()
            await events.until(wire.QueuedEvent)
        model.use(Scenario(words=1000, rate=2))
        await panel.ask("generates")
        await model.until(lambda fake: fake.aborted == 1)
        assert model.running == 1
        assert (await panel.turn(queued["turn_id"]))["state"] == "queued"


async def test_without_a_grace_nothing_is_stopped(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server(orphan_grace=0)
    async with server.panel() as panel:
        created = await panel.ask("count")
        gated_model.release_all()
        await gated_model.until(lambda fake: fake.finished == 1)
        await until_saved(panel, created["conversation_id"])
        assert (await panel.turn(created["turn_id"]))["state"] == "complete"
