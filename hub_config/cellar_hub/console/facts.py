"""What the hub tells the console, and nobody else, about its settings: profiles, and who decides about groups."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from .hub import HubPages, HubSays

PATH = "/cellar/facts"
BELIEVED = 10.0
"""Seconds: what it says comes from files that an administrator edits."""

log = logging.getLogger(__name__)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """`groups`: whose members may have it; None: everybody."""

    name: str
    title: str
    size: str
    groups: tuple[str, ...] | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """`login`: the kind of log-in. `managed_groups`: of whose members the log-in decides, anew each time, and there are
    no others then; None: pages decide."""

    login: str = "local"
    managed_groups: tuple[str, ...] | None = None
    profiles: tuple[Profile, ...] = ()


class FactsOfHub:
    """`token`: the console's own."""

    def __init__(self, hub: HubPages, token: str) -> None:
        self._hub = hub
        self._token = token
        self._found: Facts | None = None
        self._at = -BELIEVED
        self._asking = asyncio.Lock()  # whoever comes while it is asked waits for the answer

    async def now(self) -> Facts | None:
        """The last that is known; None: it has never said it, being of another release."""
        async with self._asking:
            if time.monotonic() - self._at >= BELIEVED:
                try:
                    self._found = msgspec.convert(await self._hub.ask(self._token, "GET", PATH), Facts)
                except (HubSays, msgspec.ValidationError) as problem:
                    log.warning("the hub does not say which profiles and groups there are: %s", problem)
                self._at = time.monotonic()
        return self._found
