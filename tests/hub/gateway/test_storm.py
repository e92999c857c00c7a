"""Many clients that leave whenever they like, and a model server in changing moods: afterwards everything is even."""

from __future__ import annotations

import asyncio
import logging
import random

import httpx
import pytest
from cellar_hub.audit import Opened, Settled

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import MakeGateway, chat
from tests.hub.gateway.test_queueing import running, waiting
from tests.hub.jupyter import Hub

MOODS = [
    Scenario(text="a short answer", times=3),
    Scenario(words=200, rate=400, times=3),
    Scenario(text="cut off somewhere", cut_after=2, times=1),
    Scenario(text="fails somewhere", error_after=2, times=1),
    Scenario(status=503, times=2),
    Scenario(status=500, body={"error": {"message": "x", "type": "y", "code": 500}}, times=1),
    Scenario(close_before_answer=True, times=1),
    Scenario(silent=True, times=2),
    Scenario(text="late", rate=20, piece=7, times=2),
]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_every_request_is_closed_once_and_every_place_is_free(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(seed)
    gateway = await make_gateway(
        policy="[default]\ntokens_per_day = 1000000\nmax_waiting = 40\nmax_running = 3",
        CELLAR_MAX_INFLIGHT="5",
        CELLAR_READ_TIMEOUT="2",
    )
    moods = [mood for _ in range(12) for mood in dice.sample(MOODS, len(MOODS))]
    model.use(*moods, Scenario(text="calm"))
    clients = [gateway.client(hub.user(f"storm{n}")) for n in range(5)]

    async def one(client: httpx.AsyncClient) -> None:
        await asyncio.sleep(dice.uniform(0, 2))
        klass = dice.choice(["", "", "agent", "batch"])
        patience = dice.choice([0.01, 0.05, 0.2, 0.5, 30, 30])
        try:
            async with asyncio.timeout(patience):
                body = chat(stream=dice.random() < 0.7, max_tokens=dice.choice([1, 64, 300]))
                await client.post("/v1/chat/completions", json=body, headers={"x-cellar-class": klass})
        except (TimeoutError, httpx.HTTPError):
            pass  # left, or was cut off: both are meant

    await asyncio.gather(*(one(dice.choice(clients)) for _ in range(150)))
    rows = await gateway.rows()
    opened = [row.request_id for row in rows if isinstance(row, Opened)]
    settled = [row.request_id for row in rows if isinstance(row, Settled)]
    assert len(opened) == len(set(opened)) and sorted(opened) == sorted(settled) and len(opened) > 50
    assert await gateway.left_open() == (0, 0)
    assert running(gateway) == waiting(gateway) == 0
    await model.until(lambda m: not m.running)
    assert "cellar_unsettled 0.0" in (await gateway.get_operations("/metrics")).text
    complaints = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not [each for each in complaints if "without completing response" not in each]  # an answer cut on purpose
