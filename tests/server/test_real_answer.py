"""The same path with a real model: llama.cpp's server over the embedded weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cellar import wire

from tests.server.servers import running, text_of

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(180)]


@pytest.fixture
def embedded_model(an_unused_port: int) -> Iterator[str]:
    """Its base URL."""
    pytest.importorskip("xllamacpp", reason="the embedded model's server (xllamacpp) is not installed")
    command = [sys.executable, "-m", "tools.embedded_model", "--port", str(an_unused_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        ready = next((line for line in process.stdout if line.startswith("ready")), "")
        assert ready, "the embedded model did not start"
        try:
            yield f"http://127.0.0.1:{an_unused_port}/v1"
        finally:
            process.terminate()


async def test_a_real_model_answers_and_is_stopped(embedded_model: str, tmp_path: Path) -> None:
    # How long it goes on about a hello is chance: a share of its context took minutes on a busy machine.
    with running(tmp_path, embedded_model, tiny=True, max_tokens=200) as server:
        async with server.panel() as panel:
            turn = await panel.finished("Say hello.")
            assert turn["state"] in ("complete", "length"), turn
            assert text_of(turn).strip()
            assert turn["usage"]["prompt"] == turn["receipt"]["prompt_tokens"] > 0
            status = (await panel.http.get("status")).json()
            assert status["model_server"] == {"state": "up", "tiny": True}
            assert status["models"][0]["context_length"] > 1000

            created = await panel.ask("Count from one to one thousand, in words.")
            async with panel.events(created["turn_id"]) as events:
                await events.until(wire.TextEvent)
                await panel.http.post(f"turns/{created['turn_id']}/stop")
                assert (await events.until(wire.FinishedEvent)).stopped_by == "user"
            assert text_of(await panel.turn(created["turn_id"]))
