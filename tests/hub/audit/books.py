"""An audit with something in it: keys, a second place, and a chain that the tests read, export or tamper with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cellar_hub.audit import AuditLog, Event, Heads, Keys, Opened, Report, Row, Settled, verify
from cellar_hub.store import Store
from sqlalchemy import Connection

START = 1_795_834_800.0  # 28 November 2026, 12:00 in Seoul


def opened(n: int, **changed: Any) -> Opened:
    known: dict[str, Any] = {"user": "ada", "groups": ("staff",), "model": "small", "kind": "chat", "mode": "ask"}
    return Opened(request_id=f"r{n}", at=START + n, **(known | changed))


def settled(n: int, **changed: Any) -> Settled:
    known: dict[str, Any] = {"status": 200, "outcome": "complete", "prompt": 30, "completion": 12, "total_ms": 900}
    return Settled(request_id=f"r{n}", at=START + n + 0.9, **(known | changed))


def event(n: int, **changed: Any) -> Event:
    known: dict[str, Any] = {"actor": "root", "action": "user.block", "subject": "bob"}
    return Event(at=START + n, **(known | changed))


@dataclass
class Books:
    """The audit of one process, `gateway-1`."""

    store: Store
    keys: Keys
    heads: Heads
    log: AuditLog

    @classmethod
    async def open(cls, store: Store, folder: Path, chain: str = "gateway-1") -> Books:
        keys = Keys.open(folder / "keys" / "ring.json")
        log = await store.write(lambda tx: AuditLog.open(tx, chain, keys))
        return cls(store, keys, Heads(folder / "heads.jsonl", keys), log)

    async def append(self, *rows: Row) -> None:
        for row in rows:
            await self.store.write(partial(self.log.append, row=row))

    async def requests(self, first: int, last: int) -> None:
        for n in range(first, last + 1):
            await self.append(opened(n), settled(n))

    def write_head(self) -> None:
        self.heads.write(self.log.head())

    async def verify(self, keys: Keys | None = None, heads: Path | None = None) -> Report:
        return await self.store.read(lambda conn: verify(conn, keys or self.keys, heads or self.heads.path))

    async def problems(self) -> list[tuple[str, int | None]]:
        """What `verify` finds: code and `seq`."""
        return [(problem.code, problem.seq) for problem in (await self.verify()).problems]

    async def tamper(self, work: Callable[[Connection], Any]) -> None:
        """As one who owns the database: the triggers are switched off first, and put back after."""
        await self.store.write(lambda tx: without_triggers(tx, work))


def without_triggers(tx: Connection, work: Callable[[Connection], Any]) -> None:
    if tx.dialect.name == "postgresql":
        for table in ("cellar_audit", "cellar_audit_seal"):
            tx.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        work(tx)
        for table in ("cellar_audit", "cellar_audit_seal"):
            tx.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    else:
        triggers = tx.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        for name, _ in triggers:
            tx.exec_driver_sql(f"DROP TRIGGER {name}")
        work(tx)
        for _, statement in triggers:
            tx.exec_driver_sql(statement)
