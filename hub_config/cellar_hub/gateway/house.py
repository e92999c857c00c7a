"""Everything a request needs, made once per process; and the requests that are under way."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cellar.settings import SettingsError

from cellar_hub.audit import AuditLog, Event, Heads, Keys
from cellar_hub.identity import Identities, Identity
from cellar_hub.policy import Allowed, Policy
from cellar_hub.policybook import PolicyBook, compared
from cellar_hub.policyfile import PolicyFile
from cellar_hub.settings import GatewaySettings
from cellar_hub.store import Store

from .books import Books
from .health import Health
from .limits import RequestRate
from .metrics import Metrics
from .models import ModelRow, ModelTable, one_server, parse_models
from .queue import FairQueue
from .refused import Refused, no_such_model, not_listed
from .relay import Relay
from .reply import Reply
from .revocations import Others, Revocation
from .transport import make_http, make_transport, make_verify

STUCK = 60.0
"""Seconds that a client may take no byte of an answer."""
TICK = 2.0
DOUBT = 10.0
"""Seconds after a used-up quota in which a user's requests reach no model server before the quota was asked."""
SETTLE_PATIENCE = 30.0

log = logging.getLogger(__name__)


class Running:
    """A request under way. `stop` ends it from outside; the first reason stays."""

    def __init__(self, identity: Identity, reply: Reply) -> None:
        self.identity = identity
        self.reply = reply
        self.reason: str | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.current_task()

    def stop(self, reason: str) -> None:
        if self.reason is None and self._task is not None:
            self.reason = reason
            self._task.cancel()


class House:
    """`open` reads files and the database and raises `SettingsError` and `StoreDown`; `start` needs the loop."""

    def __init__(
        self,
        settings: GatewaySettings,
        table: ModelTable,
        policy: PolicyFile,
        verify: ssl.SSLContext,
        store: Store,
        keys: Keys,
        heads: Heads | None,
    ) -> None:
        self.settings = settings
        self.table = table
        self.policy_file = policy
        self.policy_file.told = self._policy_read
        self.metrics = Metrics()
        self.rate = RequestRate(settings.redis_url, settings.pool)
        self.others = Others(
            settings.redis_url,
            settings.pool,
            name=settings.name,
            secret=settings.token,
            gateways=settings.gateways,
            heard=self.revoke,
            deaf=lambda: self.identities.forget(),
        )
        self.running: dict[str, Running] = {}
        self.draining = False
        self._verify = verify
        self._store = store
        self._keys = keys
        self._heads = heads
        self._doubts: dict[str, float] = {}
        self._queues = {
            server.base_url: FairQueue(
                max(1, server.max_inflight // settings.gateways),
                max_waiting=settings.max_waiting,
                max_wait=settings.max_wait,
            )
            for server in table.servers
        }
        self._ticking: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, settings: GatewaySettings, env: Mapping[str, str]) -> House:
        """Blocks: call it before the loop runs, or in a thread."""
        if settings.models is not None:
            table = parse_models(_read(settings.models, "CELLAR_MODELS"), f"CELLAR_MODELS ({settings.models})", env)
        else:
            table = one_server(
                settings.base_url,
                settings.api_key,
                settings.max_inflight,
                priority=settings.priority == "on",
                workers=settings.workers,
            )
        policy = PolicyFile(settings.policy)
        keys = Keys.open(settings.audit_keys or settings.data / "audit-keys")
        heads = Heads(settings.audit_heads, keys, settings.audit_syslog) if settings.audit_heads else None
        verify = make_verify(settings.ca_bundle)
        return cls(settings, table, policy, verify, Store.open(settings.database, name=settings.name), keys, heads)

    async def start(self) -> None:
        settings = self.settings
        self._transport = make_transport(self._verify, settings.pool)
        self._http = make_http(self._transport)
        self.identities = Identities(self._http, settings.hub_api_url)
        self.relay = Relay(self._transport, settings.read_timeout)
        self.health = Health(self.table, self._http)
        audit = await self._store.write(lambda tx: AuditLog.open(tx, settings.name, self._keys))
        self.books = Books(
            self._store, audit, self._keys, name=settings.name, zone=settings.time_zone, heads=self._heads
        )
        await self.books.start()
        self.health.start()
        self.others.start()
        self._ticking = asyncio.create_task(self._tick())

    async def drain(self) -> None:
        """Take no more requests; let those under way end, then end them."""
        self.draining = True
        await self._wait_until_idle(self.settings.stop_grace)
        self.stop_requests(lambda _: True, "stopping")
        await self._wait_until_idle(SETTLE_PATIENCE)

    async def _wait_until_idle(self, patience: float) -> None:
        if self.running:
            await asyncio.wait([each.ended for each in self.running.values()], timeout=patience)

    async def close(self) -> None:
        """Everything is settled when this returns, or said to be open in the log."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await self.others.close()
        await self.health.stop()
        await self.identities.close()
        await self.books.close(SETTLE_PATIENCE)
        if self.books.pending:
            log.error("%d requests could not be settled; the next start closes them", self.books.pending)
        await self.rate.close()
        await self._http.aclose()
        await self._store.close()

    # -- what requests ask ------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        return self.policy_file.current()

    def queue(self, row: ModelRow) -> FairQueue:
        return self.queue_at(row.server.base_url)

    def queue_at(self, url: str) -> FairQueue:
        """Of the model server with that address."""
        return self._queues[url]

    def models_of(self, identity: Identity, allowed: Allowed) -> list[tuple[str, ModelRow]]:
        """What this user may ask, in the table's order."""
        return [
            (name, row)
            for name, row in self.table.served(self.health.listed)
            if allowed.model(name) and row.open_to(identity.groups)
        ]

    def expect_models(self, identity: Identity) -> None:
        """Raises `Refused` (503) while a server that this user may ask has not told yet which models it has: what is
        not listed may be one of them."""
        for row in self.table.rows:
            known = self.health.of(row.server)
            if not row.model and row.open_to(identity.groups) and not known.rows and known.state != "up":
                raise not_listed(loading=known.state == "loading")

    async def find(self, model: str, role: str, identity: Identity, allowed: Allowed) -> ModelRow:
        """The row of a model that this user may ask for this. Raises `Refused` (404, also for what is not theirs; 503
        where nobody knows yet)."""
        row = self.table.find(model, self.health.listed)
        if row is None and any(not each.rows for each in self.health.servers.values()):
            await self.health.look()  # at the very start
            row = self.table.find(model, self.health.listed)
        if row is None:
            self.expect_models(identity)
        if row is None or not allowed.model(model) or not row.open_to(identity.groups):
            raise no_such_model(model)
        if role not in row.roles:
            raise Refused(404, "model_not_found", f"This model has no {role}", param="model")
        return row

    def quota_doubtful(self, user: str) -> bool:
        return time.monotonic() < self._doubts.get(user, 0.0)

    def quota_was_exceeded(self, user: str) -> None:
        self._doubts[user] = time.monotonic() + DOUBT

    def revoke(self, revocation: Revocation) -> tuple[int, int]:
        """Here, at once. How many tokens were forgotten, and how many requests are being ended. The audit is told
        where there was something to revoke: of one deed several may tell, and who did it is told elsewhere."""
        if revocation.rights and revocation.user is None:
            return self.identities.forget(), 0
        forgotten = self.identities.revoke(user=revocation.user, token_id=revocation.token_id)
        stopped = self.stop_requests(revocation.ends, "revoked")
        detail: dict[str, str | int] = {"forgotten": forgotten, "stopped": stopped}
        log.info("revoked", extra=detail)
        if not revocation.rights and (forgotten or stopped):
            self.books.note(
                Event(at=time.time(), actor="hub", action="token.revoke", subject=revocation.subject, detail=detail)
            )
        return forgotten, stopped

    def stop_requests(self, which: Callable[[Identity], bool], reason: str) -> int:
        found = [each for each in self.running.values() if which(each.identity)]
        for each in found:
            each.stop(reason)
        return len(found)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _policy_read(self, before: str, after: str) -> None:
        """What a page saves is in the audit before it counts; anything else when it is read. Also at the start: what
        was changed while no gateway ran is seen by comparing with the last one."""
        if not PolicyBook(self.settings.policy).wrote(after):
            said = compared(before, after) if before else {"sha256": compared("", after)["sha256"]}
            self.books.note(
                Event(at=time.time(), actor=self.settings.name, action="policy.read", subject="file", detail=said)
            )

    async def _tick(self) -> None:
        while True:
            self.policy_file.look()  # a change is told soon, also while nobody asks anything
            await asyncio.sleep(TICK)
            for each in list(self.running.values()):
                if each.reply.stuck_for > STUCK:
                    each.stop("stuck")
            now = time.monotonic()
            self._doubts = {user: until for user, until in self._doubts.items() if until > now}

    def observe(self) -> None:
        """Bring the gauges up to date."""
        metrics = self.metrics
        for url, queue in self._queues.items():
            metrics.running.labels(url).set(queue.running)
            metrics.waiting.labels(url).set(queue.waiting)
        for url, each in self.health.servers.items():
            metrics.server_up.labels(url).set(each.state == "up")
            for worker, answers in each.workers.items():
                metrics.server_up.labels(worker).set(answers)
            for name, value in each.values.items():
                metrics.server.labels(url, name).set(value)
        metrics.hub_up.set(self.identities.hub_up)
        metrics.database_up.set(self.books.up)
        metrics.unsettled.set(self.books.pending)
        metrics.policy_ok.set(self.policy_file.ok)


def _read(path: Path, variable: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as problem:
        raise SettingsError(variable, f"({path}) cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(variable, f"({path}) is not UTF-8") from None
