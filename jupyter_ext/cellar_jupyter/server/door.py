"""What the routes hold at start-up: not the workspace yet, only how to make it.

The workspace's modules (prompts, context, store) cost a server's start more than all its routes. They are imported in a
thread when the server has served for a moment, so that its own first answers do not wait; a request that comes earlier
waits for them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .defects import describe

if TYPE_CHECKING:
    from .app import Cellar
    from .workspace import Workspace


REST = 1.0
"""Seconds that a started server has for itself."""


class Door:
    """Found by the routes under `settings["cellar"]`."""

    def __init__(self, config: Cellar, server_app: Any) -> None:
        self._config = config
        self._server_app = server_app
        self._opening: asyncio.Task[Workspace] | None = None
        self._warming: asyncio.Task[None] | None = None

    async def workspace(self) -> Workspace:
        """The one workspace of this server; made at the first call."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def open_soon(self) -> None:
        """After start-up. A defect is logged here; requests will see it, too."""
        await asyncio.sleep(REST)
        try:
            await self.workspace()
        except Exception as error:  # noqa: BLE001 - edge of the process
            self._server_app.log.error("Cellar could not start: %s", describe(error))

    async def _open(self) -> Workspace:
        workspace = await asyncio.to_thread(_make, self._config, self._server_app)
        self._warming = asyncio.create_task(workspace.warm_up())
        return workspace


def _make(config: Cellar, server_app: Any) -> Workspace:
    from .workspace import Workspace

    return Workspace(config, server_app)
