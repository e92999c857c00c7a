"""A kernel that computes is activity, though nobody types and nothing is printed.

JupyterHub stops workspaces that report no activity, and Jupyter counts a kernel's messages only: a training run that
says nothing for an hour would be ended. A turn that is being answered counts as well (`turns.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

EVERY = 30.0  # seconds


def is_busy(kernels: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of these kernel models (of Jupyter's REST API) computes. Pure."""
    return any(kernel.get("execution_state") == "busy" for kernel in kernels)


async def watch_kernels(
    kernel_manager: Any, touch: Callable[[], None], log: logging.Logger, every: float = EVERY
) -> None:
    """Call `touch` every so many seconds while a kernel computes; for a task of its own, until it is cancelled."""
    while True:
        try:
            if is_busy(kernel_manager.list_kernels()):
                touch()
        except Exception as error:  # noqa: BLE001 - a kernel manager of somebody else's: its defects are not ours to end by
            log.debug("Cellar: kernels could not be listed: %s", type(error).__name__)
        await asyncio.sleep(every)
