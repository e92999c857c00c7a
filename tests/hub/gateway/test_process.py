"""The gateway's process: refused settings, an orderly end, a sudden one, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from cellar_hub.audit import Interrupted, Keys, Settled, verify
from cellar_hub.audit.rows import Row, parse_record
from cellar_hub.store import Store
from cellar_hub.store.tables import audit, audit_open, reservation
from sqlalchemy import func, select

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway import process
from tests.hub.gateway.conftest import chat, said
from tests.hub.jupyter import Hub

CANARY = "canary-7f3a9c1e-prompt"
ECHO = "canary-7f3a9c1e-answer"


def database(env: dict[str, str]) -> str:
    return f"sqlite:///{env['CELLAR_DATA']}/cellar.db"


async def look(env: dict[str, str]) -> tuple[list[Row], int, int]:
    """(audit, requests without an end, reservations) of a gateway that has ended."""
    store = Store.open(database(env))
    try:
        with store.reading() as connection:
            records = list(connection.scalars(select(audit.c.record).order_by(audit.c.seq)))
            counts = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (audit_open, reservation)
            ]
    finally:
        await store.close()
    return [parse_record(record) for record in records], counts[0], counts[1]


async def begin(gateway: process.GatewayProcess, token: str, model: FakeVLLM, **more: Any) -> asyncio.Task[bytes]:
    """A stream whose first token has come."""
    first = asyncio.Event()

    async def read() -> bytes:
        seen = b""
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as http:
            headers = {"authorization": f"Bearer {token}"}
            body = chat(stream=True, **more)
            async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
                async for chunk in response.aiter_raw():
                    seen += chunk
                    if said(seen):
                        first.set()
        return seen

    task = asyncio.create_task(read())
    model.release(1)
    async with asyncio.timeout(30):
        await first.wait()
    return task


async def test_an_orderly_end_settles_what_is_under_way(
    hub: Hub, gateway_env: dict[str, str], gated_model: FakeVLLM, tmp_path: Path
) -> None:
    heads = tmp_path / "other-volume" / "heads"
    heads.parent.mkdir()
    env = {**gateway_env, "CELLAR_AUDIT_HEADS": str(heads)}
    with process.running(env, tmp_path / "log") as gateway:
        stream = await begin(gateway, hub.user("ann"), gated_model)
        assert await asyncio.to_thread(gateway.terminate) == 0
        with pytest.raises(httpx.RemoteProtocolError):
            await stream
        await gated_model.until(lambda m: not m.running)
    (opened, settled), left, reserved = await look(env)
    assert isinstance(settled, Settled) and (settled.outcome, settled.completion) == ("stopped", 1)
    assert opened.request_id == settled.request_id and (left, reserved) == (0, 0)
    store = Store.open(database(env))
    with store.reading() as connection:
        report = verify(connection, Keys.open(Path(env["CELLAR_DATA"]) / "audit-keys"), heads)
    await store.close()
    assert report.ok, report.problems


async def test_running_answers_get_their_grace(
    hub: Hub, gateway_env: dict[str, str], gated_model: FakeVLLM, tmp_path: Path
) -> None:
    with process.running({**gateway_env, "CELLAR_STOP_GRACE": "30"}, tmp_path / "log") as gateway:
        stream = await begin(gateway, hub.user("ann"), gated_model)
        ending = asyncio.create_task(asyncio.to_thread(gateway.terminate))
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {hub.user('ann')}"}) as http:
            async with asyncio.timeout(20):
                while (await http.get(gateway.operations + "/healthz")).status_code == 200:  # noqa: ASYNC110 - not our loop
                    await asyncio.sleep(0.02)
            refused = await http.post(gateway.url + "/v1/chat/completions", json=chat())
            assert refused.status_code == 503 and "restarted" in refused.json()["error"]["message"]
        gated_model.release_all()
        assert said(await stream) == "one two three four five six"
        assert await ending == 0
    (_, settled), left, reserved = await look(gateway_env)
    assert isinstance(settled, Settled) and settled.outcome == "complete" and (left, reserved) == (0, 0)


async def test_after_a_kill_the_next_start_closes_what_was_open(
    hub: Hub, gateway_env: dict[str, str], model: FakeVLLM, tmp_path: Path
) -> None:
    model.use(Scenario(words=5000, rate=50))
    with process.running(gateway_env, tmp_path / "log") as gateway:
        streams = [await begin(gateway, hub.user(name), model) for name in ("ann", "ben")]
        await asyncio.to_thread(gateway.kill)
        assert all(isinstance(end, httpx.HTTPError) for end in await asyncio.gather(*streams, return_exceptions=True))
        await model.until(lambda m: not m.running)
        rows, left, reserved = await look(gateway_env)
        assert len(rows) == 2 and (left, reserved) == (2, 2)
        gateway.start()
        model.use("echo")
        assert said(await (await begin(gateway, hub.user("ann"), model))) == "hello"
        assert await asyncio.to_thread(gateway.terminate) == 0
    rows, left, reserved = await look(gateway_env)
    assert sum(isinstance(row, Interrupted) for row in rows) == 2 and (left, reserved) == (0, 0)


async def test_nothing_of_questions_and_answers_stays_behind(
    hub: Hub, gateway_env: dict[str, str], model: FakeVLLM, tmp_path: Path
) -> None:
    data = Path(gateway_env["CELLAR_DATA"])
    log = tmp_path / "log"
    with process.running(gateway_env, log) as gateway:
        headers = {"authorization": f"Bearer {hub.user('ann')}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as http:
            for scenario in ("echo", "error_in_stream", "too_long", "broken", "not_a_stream", "cut", "silent"):
                model.use(scenario)
                for stream in (True, False):
                    try:
                        body = chat(f"{CANARY} {ECHO}", stream=stream)
                        await http.post("/v1/chat/completions", json=body, timeout=1 if scenario == "silent" else 30)
                    except httpx.HTTPError:
                        pass  # cut on purpose
            model.use("echo")
            for bad in ("{" + CANARY, f'{{"model": "{CANARY}"}}', f'{{"model": "fake-coder", "messages": "{CANARY}"}}'):
                kind = {"content-type": "application/json"}
                answer = await http.post("/v1/chat/completions", content=bad, headers=kind)
                assert answer.status_code == 400
            await http.post("/v1/completions", json={"model": "fake-coder", "prompt": CANARY, "stream": True})
            await http.post("/tokenize", json={"model": "fake-coder", "prompt": CANARY})
            await http.get(f"/v1/{CANARY}")
            metrics = (await http.get(gateway.operations + "/metrics")).text
        assert await asyncio.to_thread(gateway.terminate) == 0
    assert CANARY not in metrics and ECHO not in metrics
    files = [*(path for path in data.rglob("*") if path.is_file()), log]
    assert len(files) >= 3
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content and ECHO.encode() not in content, path
        assert hub.user("ann").encode() not in content, path
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in data.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("variable", "value", "status"),
    [
        ("VLLM_BASE_URL", "", 2),
        ("VLLM_BASE_URL", "vllm:8001", 2),
        ("CELLAR_MODELS", "/nowhere/models.toml", 2),
        ("CELLAR_POLICY", "/nowhere/policy.toml", 2),
        ("CELLAR_TIME_ZONE", "Mars/Olympus", 2),
        ("CELLAR_MAX_WAIT", "soon", 2),
        ("CELLAR_GATEWAY_LISTEN", "8080", 2),
        ("CELLAR_GATEWAY_TOKEN", "short", 2),
        ("CELLAR_DATABASE_URL", "mysql://root:secret-password@db/x", 2),
        ("CELLAR_CA_BUNDLE", "/nowhere/ca.pem", 2),
        ("CELLAR_REDIS_URL", "http://redis", 2),
        ("CELLAR_AUDIT_SYSLOG", "nowhere", 2),
        ("CELLAR_DATABASE_URL", "sqlite:////proc/nowhere/cellar.db", 1),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_its_name(
    gateway_env: dict[str, str], variable: str, value: str, status: int
) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "CELLAR_GATEWAY_LISTEN": "127.0.0.1:0",
        "CELLAR_GATEWAY_OPERATIONS": "127.0.0.1:0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cellar_hub.gateway"],
        env={**env, **gateway_env, "CELLAR_AUDIT_HEADS": f"{gateway_env['CELLAR_DATA']}-heads", variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr and "secret-password" not in done.stderr
    if status == 2:
        assert done.stderr.startswith(f"cellar gateway: {variable} "), done.stderr
