"""What a crash leaves: a server killed at the worst moments, a disk that refuses, and what the next server makes of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer
from tests.server.servers import JupyterServer, text_of, until

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


async def test_an_answer_that_ended_is_whole_though_the_server_dies_before_it_is_saved(
    a_server: StartServer, model: FakeVLLM
) -> None:
    server = a_server()
    model.use(Scenario(words=300))
    async with server.panel() as panel:
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
