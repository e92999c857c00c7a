"""What pages need, made once: the books, this process's chain of the audit, the policy, the hub, the gateway now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from typing import TypeVar

import httpx
from sqlalchemy import Connection

from cellar_hub.audit import AuditLog, Event, Heads, Keys
from cellar_hub.destinations import check_targets
from cellar_hub.gateway.transport import make_http, make_transport, make_verify
from cellar_hub.policy import Policy
from cellar_hub.policybook import PolicyBook
from cellar_hub.policyfile import PolicyFile
from cellar_hub.settings import ConsoleSettings
from cellar_hub.store import Store, StoreDown

from . import CONSOLE
from .facts import FactsOfHub
from .hub import HubPages, HubSays
from .live import Live
from .verifying import Verifier

GATEWAY_PATIENCE = 3.0
"""Seconds that the gateway may take to hear whose tokens are worthless: it believes them for thirty at most, and who
revokes one waits for the page."""
T = TypeVar("T")


class Desk:
    """`open` reads files and the database and raises `SettingsError` and `StoreDown`; `start` needs the loop."""

    hub: HubPages
    facts: FactsOfHub
    live: Live

    def __init__(
        self, settings: ConsoleSettings, store: Store, keys: Keys, policy: PolicyFile, verifier: Verifier
    ) -> None:
        self.settings = settings
        self.store = store
        self.policy_file = policy
        self.policy_book = PolicyBook(settings.policy, self._check_policy)
        self.verifier = verifier
        self._keys = keys
        self._heads = (
            Heads(settings.audit_heads, keys, settings.audit_syslog) if settings.audit_heads is not None else None
        )
        self._keeping: asyncio.Task[None] | None = None

    def _check_policy(self, policy: Policy) -> None:
        """What hub and forwarders refuse at their start must not be saved. Raises `SettingsError`."""
        check_targets(policy.destinations, self.settings.pool, "The policy")

    @classmethod
    def open(cls, settings: ConsoleSettings, env: Mapping[str, str]) -> Desk:
        """`env`: what the settings were read from. Blocks."""
        keys = Keys.open(settings.audit_keys or settings.data / "audit-keys")
        policy = PolicyFile(settings.policy)
        verifier = Verifier(env, settings.audit_heads is not None)
        return cls(settings, Store.open(settings.database, name=CONSOLE), keys, policy, verifier)

    async def start(self) -> None:
        """Raises `StoreDown`."""
        settings = self.settings
        self.http: httpx.AsyncClient = make_http(make_transport(make_verify(), settings.pool))
        self.hub = HubPages(self.http, settings.hub_api_url, settings.token)
        self.facts = FactsOfHub(self.hub, settings.token)
        self.live = Live(self.http, settings.gateway_operations, settings.gateway_token)
        self._audit = await self.store.write(lambda tx: AuditLog.open(tx, CONSOLE, self._keys))
        if self._heads is not None:
            self._keeping = asyncio.create_task(self._heads.keep([self._audit]))
        self.live.start()

    async def close(self) -> None:
        await self.live.stop()
        await self.verifier.stop()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self.http.aclose()
        await self.store.close()

    async def read(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        """On one snapshot of the books. Raises `StoreDown`."""
        return await self.store.read(work, patience)

    async def record(
        self, actor: str, action: str, subject: str = "", detail: Mapping[str, str | int] | None = None
    ) -> None:
        """Durable when it returns: what is done only after it is not done unseen. Raises `StoreDown`."""
        event = Event(at=time.time(), actor=actor, action=action, subject=subject, detail=dict(detail or {}))
        await self.store.write(lambda tx: self._audit.append(tx, event))

    @asynccontextmanager
    async def watching(
        self, actor: str, action: str, subject: str = "", detail: Mapping[str, str | int] | None = None
    ) -> AsyncIterator[None]:
        """Tell it before it is done. What the hub refuses is told after it. Raises `StoreDown`."""
        await self.record(actor, action, subject, detail)
        try:
            yield
        except HubSays as says:
            with suppress(StoreDown):
                await self.record(actor, f"{action}.failed", subject, {**(detail or {}), "status": says.status})
            raise

    async def forget_token(self, token_id: str) -> bool:
        """Tell the gateway that a token works no longer; False: it does not hear, and believes it for 30 s more."""
        url = self.settings.gateway_operations + "/revoke"
        headers = {"authorization": f"token {self.settings.gateway_token}"}
        try:
            answer = await self.http.post(url, json={"token_id": token_id}, headers=headers, timeout=GATEWAY_PATIENCE)
        except (httpx.HTTPError, OSError):
            return False
        return answer.is_success and not answer.json().get("unheard")

    @property
    def today(self) -> date:
        """The site's."""
        return datetime.now(self.settings.time_zone).date()
