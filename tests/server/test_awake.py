"""A kernel that computes keeps the workspace awake: on a real kernel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from cellar_jupyter.server.awake import PAUSE, find_report, is_busy, report_returns, watch_kernels
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager


def test_one_kernel_that_computes_is_enough() -> None:
    assert is_busy([{"execution_state": "idle"}, {"execution_state": "busy"}])
    assert not is_busy([{"execution_state": "idle"}, {"execution_state": "starting"}, {}])
    assert not is_busy([])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_kernel_that_computes_in_silence_is_activity_until_it_has_ended(tmp_path: Path) -> None:
    manager = AsyncMappingKernelManager(root_dir=str(tmp_path))
    touches = 0

    def touch() -> None:
        nonlocal touches
        touches += 1

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110 - a kernel's state can only be asked for
                await asyncio.sleep(0.02)

    kernel = await manager.start_kernel()
    watching = asyncio.create_task(watch_kernels(manager, touch, logging.getLogger(), every=0.05))
    try:
        client = manager.get_kernel(kernel).client()
        client.start_channels()
        await client.wait_for_ready(timeout=40)
        await until(lambda: not is_busy(manager.list_kernels()))
        gate = tmp_path / "gate"
        client.execute(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)")
        await until(lambda: is_busy(manager.list_kernels()))
        before = touches
        await until(lambda: touches > before + 3)  # nothing was printed
        gate.touch()
        await until(lambda: not is_busy(manager.list_kernels()))
        client.stop_channels()
    finally:
        watching.cancel()
        await manager.shutdown_kernel(kernel, now=True)


async def test_a_kernel_manager_that_fails_is_asked_again() -> None:
    calls = 0

    class Broken:
        def list_kernels(self) -> list[dict[str, str]]:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RuntimeError("no")
            return [{"execution_state": "busy"}]

    touched = asyncio.Event()
    watching = asyncio.create_task(watch_kernels(Broken(), touched.set, logging.getLogger(), every=0.01))
    async with asyncio.timeout(5):
        await touched.wait()
    watching.cancel()


async def test_activity_after_a_pause_is_reported_until_the_hub_has_heard_and_other_activity_is_not() -> None:
    last = datetime.now(UTC)
    looks = reports = 0

    def last_activity() -> datetime:
        nonlocal looks
        looks += 1
        return last

    async def report() -> None:
        nonlocal reports
        reports += 1
        if reports == 1:
            raise TimeoutError("the hub is away")

    async def some_looks() -> None:
        target = looks + 4
        async with asyncio.timeout(5):
            while looks < target:  # noqa: ASYNC110 - it counts what another task does
                await asyncio.sleep(0.005)

    watching = asyncio.create_task(report_returns(last_activity, report, logging.getLogger(), every=0.01))
    await some_looks()
    last += PAUSE / 2
    await some_looks()
    last += PAUSE / 2
    await some_looks()
    assert reports == 0
    last += 2 * PAUSE
    await some_looks()
    assert reports == 2
    watching.cancel()


async def test_the_report_is_jupyterhubs_own_and_there_is_none_without_a_hub() -> None:
    async def tell() -> None: ...

    def server(*extensions: object, **more: object) -> SimpleNamespace:
        return SimpleNamespace(extension_manager=SimpleNamespace(extension_apps={"x": set(extensions)}), **more)

    class Hubs:
        notify_activity = staticmethod(tell)

    assert find_report(server(object(), Hubs())) is tell
    assert find_report(server(notify_activity=tell)) is tell
    assert find_report(server(object())) is None
