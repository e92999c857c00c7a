"""A request in the books: reserved and `opened` before its answer passes, settled whatever becomes of it.

What must be written is written in tasks of its own, which no client's hang-up cancels. A `settled` that the database
did not take is tried again until it does; the process waits for that at its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, select

from cellar_hub.audit import AuditLog, Event, Heads, Interrupted, Keys, Opened, Settled
from cellar_hub.audit.keys import TextMac
from cellar_hub.policy import Allowed
from cellar_hub.store import Store, StoreDown
from cellar_hub.store.tables import audit_open
from cellar_hub.usage import ledger
from cellar_hub.usage.ledger import UsageNow
from cellar_hub.usage.quota import Quota, Usage

from .request import Kind

TTL = 180.0
"""Seconds that a reservation is good for without its process saying that it lives; said every `TICK`."""
TICK = 60.0
RETRY = 1.0
MAX_SALTS = 20_000

log = logging.getLogger(__name__)


class Entry(msgspec.Struct, kw_only=True):
    """One request, as far as the books want to know it."""

    request_id: str
    user: str
    groups: tuple[str, ...]
    model: str
    kind: Kind
    mode: str
    turn: str
    question_mac: str
    reserve: int
    at: float
    client: str = ""
    token_id: str = ""
    max_tokens: int | None = None


class Books:
    """One per process. `name` owns the reservations; `heads` keeps the chain's head at its second place."""

    def __init__(
        self,
        store: Store,
        audit: AuditLog,
        keys: Keys,
        *,
        name: str,
        zone: ZoneInfo,
        heads: Heads | None = None,
    ) -> None:
        self._store = store
        self._audit = audit
        self._keys = keys
        self._name = name
        self._zone = zone
        self._heads = heads
        self._salts: dict[str, str] = {}
        self._pending: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._store.down is None

    @property
    def pending(self) -> int:
        """Ends of requests that are not in the database yet."""
        return len(self._pending)

    async def start(self) -> None:
        """Close what an earlier process of this name left open. Raises `StoreDown`."""

        def tidy(tx: Connection) -> tuple[int, int]:
            now = time.time()
            ledger.expire(tx, now)
            return self._audit.interrupt_open(tx, now), ledger.drop_of(tx, self._name)

        interrupted, dropped = await self._store.write(tidy)
        if interrupted or dropped:
            log.warning("an earlier process left %d requests and %d reservations; closed", interrupted, dropped)
        self._ticking = asyncio.create_task(self._tick())
        if self._heads is not None:
            self._keeping = asyncio.create_task(self._heads.keep([self._audit]))

    async def close(self, patience: float) -> None:
        """Wait for what must still be written, at most `patience` seconds."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        if self._pending:
            await asyncio.wait(list(self._pending), timeout=patience)
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        if self._keeping is not None:
            self._keeping.cancel()  # it writes the last head
            await asyncio.gather(self._keeping, return_exceptions=True)

    # -- a request --------------------------------------------------------------------------------------------------

    def open(self, entry: Entry, allowed: Allowed) -> asyncio.Task[None]:
        """Reserve and write `opened`, in one commit. The task raises `QuotaExceeded` and `StoreDown`."""
        opened = self._opened(entry)

        def work(tx: Connection) -> None:
            ledger.reserve(
                tx,
                request_id=entry.request_id,
                user=entry.user,
                model=entry.model,
                tokens=entry.reserve,
                quota=allowed.quota,
                owner=self._name,
                now=entry.at,
                ttl=TTL,
                zone=self._zone,
            )
            self._audit.append(tx, opened)

        return asyncio.create_task(self._store.write(work))

    def settle(self, opening: asyncio.Task[None], entry: Entry, settled: Settled, usage: Usage | None) -> None:
        """Behind everything else; `usage` None: the model server was not asked, or refused."""

        def work(tx: Connection) -> None:
            if not _is_open(tx, entry.request_id):
                return  # written already by an attempt whose end we did not hear
            self._audit.append(tx, settled)
            if usage is None:
                ledger.release(tx, entry.request_id)
            else:
                ledger.settle(
                    tx,
                    request_id=entry.request_id,
                    user=entry.user,
                    model=entry.model,
                    usage=usage,
                    now=settled.at,
                    zone=self._zone,
                )

        self._behind(self._settle(opening, entry, work))

    def refuse(self, entry: Entry, settled: Settled) -> None:
        """Both records of a request that policy or quota refused."""
        opened = self._opened(entry)

        def work(tx: Connection) -> None:
            self._audit.append(tx, opened)
            self._audit.append(tx, settled)

        self._behind(self._write(work))

    def note(self, event: Event) -> None:
        self._behind(self._write(lambda tx: self._audit.append(tx, event)))

    async def record(self, events: Sequence[Event]) -> None:
        """They are in the database when this returns. Raises `StoreDown`."""

        def work(tx: Connection) -> None:
            for each in events:
                self._audit.append(tx, each)

        await self._store.write(work)

    async def usage(self, user: str, quota: Quota) -> UsageNow:
        """Raises `StoreDown`."""
        now = time.time()
        return await self._store.read(lambda conn: ledger.usage_now(conn, user, quota, now, self._zone))

    # -- keyed hashes -----------------------------------------------------------------------------------------------

    def mac(self, text: bytes) -> str:
        """`Keys.mac` of a question, in a form that keeps the interpreter: else the writer would be waited for."""
        mac = self._keys.text_mac()
        mac.update(text)
        return mac.value()

    def text_mac(self) -> TextMac:
        """For an answer while it streams."""
        return self._keys.text_mac()

    def salt(self, name: str) -> str:
        """For vLLM's `cache_salt` and session names: the same for one name, guessed by nobody, telling nothing."""
        found = self._salts.get(name)
        if found is None:
            if len(self._salts) >= MAX_SALTS:
                self._salts.clear()
            keyed = self._keys.mac(b"cache-salt\0" + name.encode("utf-8", "surrogatepass"))
            found = self._salts[name] = hashlib.sha256(keyed.encode()).hexdigest()
        return found

    # -- inside -----------------------------------------------------------------------------------------------------

    def _opened(self, entry: Entry) -> Opened:
        return Opened(
            request_id=entry.request_id,
            at=entry.at,
            user=entry.user,
            groups=entry.groups,
            model=entry.model,
            kind=entry.kind,
            mode=entry.mode,
            turn=entry.turn,
            question_mac=entry.question_mac,
            client=entry.client,
            token_id=entry.token_id,
            max_tokens=entry.max_tokens,
        )

    async def _settle(self, opening: asyncio.Task[None], entry: Entry, work: Callable[[Connection], None]) -> None:
        try:
            await opening
        except StoreDown:  # not known to be written; if it was, it gets its end
            work = self._end_of(entry)
        except Exception:  # noqa: BLE001 - its own words went to whoever awaited the opening; nothing was written
            return
        await self._write(work)

    def _end_of(self, entry: Entry) -> Callable[[Connection], None]:
        def work(tx: Connection) -> None:
            if _is_open(tx, entry.request_id):
                self._audit.append(tx, Interrupted(request_id=entry.request_id, at=time.time()))
            ledger.release(tx, entry.request_id)

        return work

    async def _write(self, work: Callable[[Connection], None]) -> None:
        while True:
            try:
                return await self._store.write(work)
            except StoreDown:
                await asyncio.sleep(RETRY)

    def _behind(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._store.write(self._prolong)
            except StoreDown:
                continue  # said by the store; reservations are good for some minutes more

    def _prolong(self, tx: Connection) -> None:
        now = time.time()
        ledger.prolong(tx, self._name, now + TTL)
        ledger.expire(tx, now)


def _is_open(tx: Connection, request_id: str) -> bool:
    return tx.execute(select(audit_open.c.request_id).where(audit_open.c.request_id == request_id)).first() is not None
