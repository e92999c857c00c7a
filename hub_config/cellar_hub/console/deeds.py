"""What is done to accounts, as the command line does it (`people`), by the person who looks at a page.

`People` waits for the hub, so it runs in a thread; what it tells the audit is written by this process's own writer, and
it goes on only when that is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from cellar_hub.hubapi import HubApi
from cellar_hub.people import People, Unseen
from cellar_hub.store import StoreDown

from .desk import GATEWAY_PATIENCE, Desk

PATIENCE = 15.0
"""Seconds that the books may take to keep one event."""
T = TypeVar("T")


class DeskWitness:
    """Tells the console's own chain. `actor`: who looks at the page. Called in threads."""

    def __init__(self, desk: Desk, actor: str, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._actor = actor
        self._loop = loop

    def tell(self, action: str, subject: str, detail: dict[str, str], patience: float | None = None) -> None:
        """Returns when it is durable. Raises Unseen."""
        telling = asyncio.run_coroutine_threadsafe(self._desk.record(self._actor, action, subject, detail), self._loop)
        try:
            telling.result(PATIENCE if patience is None else patience)
        except (StoreDown, TimeoutError) as problem:
            raise Unseen(503, f"the audit cannot be written: {type(problem).__name__}") from None

    @contextmanager
    def watching(self, action: str, subject: str, **detail: str) -> Iterator[None]:
        """Tell it before it is done. A failure is told after it. Raises Unseen."""
        self.tell(action, subject, detail)
        try:
            yield
        except Exception as error:
            with suppress(Unseen):
                self.tell(f"{action}.failed", subject, {"error": type(error).__name__})
            raise


async def with_people(desk: Desk, actor: str, token: str, work: Callable[[People], T]) -> T:
    """What `work` answers, done with that token. Raises HubRefused and Unusable, as People does."""
    settings = desk.settings

    def run(loop: asyncio.AbstractEventLoop) -> T:
        hub = HubApi(settings.hub_api_url, token, settings.pool, told_by=settings.token)
        gateway = HubApi(
            settings.gateway_operations, settings.gateway_token, settings.pool, "the gateway", GATEWAY_PATIENCE
        )
        return work(People(hub, gateway, DeskWitness(desk, actor, loop)))

    return await asyncio.to_thread(run, asyncio.get_running_loop())
