"""A kernel that computes is activity, though nobody types and nothing is printed; and whoever comes back after a pause
is reported to the hub at once.

JupyterHub stops workspaces that report no activity, and Jupyter counts a kernel's messages only: a training run that
says nothing for an hour would be ended. A turn that is being answered counts as well (`turns.py`). A workspace reports
every five minutes: of somebody who comes back after almost the idle time the hub would hear too late, and stop the
workspace in which they work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

EVERY = 10.0  # seconds
PAUSE = timedelta(seconds=60)
"""What comes after so long without activity is reported at once."""
Report = Callable[[], Awaitable[None]]


def is_busy(kernels: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of these kernel models (of Jupyter's REST API) computes. Pure."""
    return any(kernel.get("execution_state") == "busy" for kernel in kernels)


async def watch_kernels(
    kernel_manager: Any, touch: Callable[[], None], log: logging.Logger, every: float | None = None
) -> None:
    """Call `touch` every so many seconds while a kernel computes; for a task of its own, until it is cancelled."""
    while True:
        try:
            if is_busy(kernel_manager.list_kernels()):
                touch()
        except Exception as error:  # noqa: BLE001 - a kernel manager of somebody else's: its defects are not ours to end by
            log.debug("Cellar: kernels could not be listed: %s", type(error).__name__)
        await asyncio.sleep(EVERY if every is None else every)


def find_report(server_app: Any) -> Report | None:
    """What tells JupyterHub of this server's last activity: jupyterhub-singleuser's own method, of the extension or of
    the server that it is. None where there is no hub."""
    extensions = [app for apps in server_app.extension_manager.extension_apps.values() for app in apps]
    for each in (server_app, *extensions):
        found = getattr(each, "notify_activity", None)
        if callable(found):
            report: Report = found
            return report
    return None


async def report_returns(
    last_activity: Callable[[], datetime], report: Report, log: logging.Logger, every: float | None = None
) -> None:
    """Call `report` when there is activity after a pause; again, when that failed. A task like `watch_kernels`."""
    seen = last_activity()
    while True:
        await asyncio.sleep(EVERY if every is None else every)
        latest = last_activity()
        if latest - seen > PAUSE:
            try:
                await report()
            except Exception as error:  # noqa: BLE001 - of JupyterHub, which has logged it
                log.debug("Cellar: the hub was not told of activity: %s", type(error).__name__)
                continue
        seen = latest
