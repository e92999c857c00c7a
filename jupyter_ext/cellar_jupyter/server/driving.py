"""One answer from its first moment to its end, whatever that is: complete, stopped, orphaned, failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from cellar import wire
from cellar.errors import CellarError

from .answer import Answering
from .defects import describe
from .run import TurnRun

AWAKE = 30.0
"""Seconds between two marks of activity while a turn runs."""


async def drive(run: TurnRun, answering: Answering, log: logging.Logger, touch: Callable[[], None]) -> None:
    """When this returns, the run's log has its last event. `touch` marks activity."""
    asking = asyncio.create_task(answering.answer(run))
    run.stop_asking = asking.cancel
    grace = answering.config.orphan_grace
    watch = asyncio.create_task(run.stop_when_orphaned(grace)) if grace else None
    awake = asyncio.create_task(_keep_awake(touch))
    if run.stopped_by:
        asking.cancel()
    await asyncio.wait([asking])
    awake.cancel()
    if watch is not None:
        watch.cancel()
    outcome = _outcome(run, asking, log)
    await answering.mask_unsent(run)
    run.finish(outcome)


async def _keep_awake(touch: Callable[[], None]) -> None:
    """A running turn is activity, whether or not somebody reads."""
    while True:
        touch()
        await asyncio.sleep(AWAKE)


def _outcome(
    run: TurnRun, asking: asyncio.Task[wire.FinishReason], log: logging.Logger
) -> wire.FinishedEvent | wire.ErrorEvent:
    if run.stopped_by:
        return wire.FinishedEvent(reason="stopped", stopped_by=run.stopped_by)
    if asking.cancelled():
        return wire.FinishedEvent(reason="interrupted")
    error = asking.exception()
    if error is None:
        return wire.FinishedEvent(reason=asking.result())
    if isinstance(error, CellarError):
        log.info("Cellar: turn %s ended in %s", run.id, error.code)
        return wire.ErrorEvent(error=error.info())
    # A defect of ours. Its text may quote the question: only type and place are logged.
    log.error("Cellar: turn %s failed: %s", run.id, describe(error))
    return wire.ErrorEvent(error=wire.ErrorInfo(code="internal", message=f"Internal error: {type(error).__name__}"))
