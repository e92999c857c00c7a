"""What a restored site does before its services start: newer tables, new tokens, and the truth about what was lost.
And what a backup leaves in the audit.

Each step runs in the place of a service, with its settings and on its networks.

Design note. The second place of the audit's heads is kept on purpose where a backup cannot reach. When it has survived
what the databases have not, it knows rows that are no longer there, and `audit verify` would call that cut off, for
ever. So a restore says what it has done: a signed statement at the second place names the rows that are lost, who
restored which backup, and when; the chain goes on behind them, with an event. `audit verify` tells it each time. Only
rows that the *surviving* second place knows are said to be lost: what was missing in the backup already stays a hole.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jupyterhub import orm
from sqlalchemy import Connection, create_engine, delete, func, select

from ..audit import AuditLog, Event, Heads, Keys
from ..audit.chain import Lost
from ..audit.heads import read_heads
from ..commands.books import opened, settings_of
from ..commands.witness import operator
from ..hubdatabase import bring_up_to_date
from ..settings import HubSettings
from ..store import Store
from ..store.tables import audit
from .staging import is_restored, kept_aside

CHAIN = "commands"
AT = "CELLAR_BACKUP_AT"
"""Variable with the time at which the backup was made."""


def renew_hub(env: Mapping[str, str]) -> list[str]:
    """In the hub's place: its tables as this release has them, and no token of before. What was done."""
    url = HubSettings.from_env(env).database_url
    bring_up_to_date(url)
    engine = create_engine(url)
    try:
        with engine.begin() as tx:
            tokens = tx.execute(delete(orm.APIToken.__table__)).rowcount
            tx.execute(delete(orm.OAuthCode.__table__))
    finally:
        engine.dispose()
    return [f"{tokens} tokens and all cookies of before are worthless: everybody logs in anew, programs get new tokens"]


@dataclass(frozen=True)
class Loss:
    """Rows of a chain that the second place knows and the restored database has not."""

    chain: str
    first: int
    last: int


@dataclass(frozen=True)
class Site:
    """The restored audit. `heads`: the file of its second place, when there is one."""

    store: Store
    keys: Keys
    heads: Path | None
    syslog: str


def renew_gateway(env: Mapping[str, str]) -> list[str]:
    """In a gateway's place: its tables, the keys and heads of both times, and what was lost, in the audit."""
    settings = settings_of(env)
    ring = settings.audit_keys or settings.data / "audit-keys"
    heads = settings.audit_heads
    before = kept_aside(ring)
    same = before is None or Keys.merge(ring, before)
    known = None if heads is None else _merge_heads(heads, same)
    keys = Keys.open(ring)
    with opened(settings) as store:
        site = Site(store, keys, heads, settings.audit_syslog)
        losses = asyncio.run(_declare(site, env, known))
    done = [f"{each.chain}: rows {each.first} to {each.last} of the audit were lost" for each in losses]
    return done or ["nothing that the audit's second place knows was lost"]


def note_backup(env: Mapping[str, str], **detail: str) -> None:
    """In a gateway's place, before a backup is made: who makes it, and of what. Raises StoreDown, SettingsError."""
    settings = settings_of(env)
    keys = Keys.open(settings.audit_keys or settings.data / "audit-keys")
    heads = None if settings.audit_heads is None else Heads(settings.audit_heads, keys, settings.audit_syslog)
    event = Event(at=time.time(), actor=operator(env), action="site.backup", detail=dict(detail))

    async def write(store: Store) -> None:
        log = await store.write(lambda tx: AuditLog.open(tx, CHAIN, keys))
        await _append(store, log, event, heads)

    with opened(settings) as store:
        asyncio.run(write(store))


def _merge_heads(heads: Path, same: bool) -> int | None:
    """Put what the second place knew before the restore behind what the backup knew; how many bytes were the backup's,
    None when there is no file. Another audit's heads, of a site that the restored one replaces, stay beside them. A
    second place that no backup reaches, a folder of somebody else's machine, has nothing of it."""
    own = heads.read_bytes() if heads.is_file() else b""
    before = kept_aside(heads)
    if before is None:
        if not heads.is_file():
            return None
        return len(own) if is_restored(heads) else 0
    lines = before.read_bytes()
    if not same:
        heads.with_name(f"{heads.name}.replaced-{int(time.time())}").write_bytes(lines)
        return len(own) if heads.is_file() else None
    told = set(own.splitlines())
    more = [line for line in lines.splitlines(keepends=True) if line.endswith(b"\n") and line[:-1] not in told]
    part = heads.with_name(f"{heads.name}.part")
    with open(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(own + b"".join(more))
        file.flush()
        os.fsync(file.fileno())
    part.replace(heads)
    return len(own)


async def _declare(site: Site, env: Mapping[str, str], backups: int | None) -> list[Loss]:
    """Statement first, then the row behind the gap: killed in between, the next time goes on. `backups`: how many bytes
    of the second place were in the backup; None: it has said nothing yet."""
    who, at, now = operator(env), env.get(AT, ""), time.time()
    heads = None if site.heads is None else Heads(site.heads, site.keys, site.syslog)
    losses = []
    if site.heads is not None and heads is not None and backups is not None:
        then = read_heads(site.heads, site.keys, most=backups)
        for chain, told in sorted(read_heads(site.heads, site.keys).heads.items()):
            seq, mac = await site.store.read(partial(_newest, chain=chain))
            last = max(told)
            if last <= seq or max(then.heads.get(chain, {}), default=0) > seq:
                continue
            heads.write(Lost(chain, seq + 1, last, mac, told[last], now, who, at))
            event = Event(at=now, actor=who, action="site.restore", detail={"backup": at, "lost": last - seq})
            await _append(site.store, AuditLog(chain, site.keys, last, told[last], ""), event, heads)
            losses.append(Loss(chain, seq + 1, last))
    log = await site.store.write(lambda tx: AuditLog.open(tx, CHAIN, site.keys))
    detail: dict[str, str | int] = {"backup": at, "lost": sum(each.last - each.first + 1 for each in losses)}
    await _append(site.store, log, Event(at=now, actor=who, action="site.restore", detail=detail), heads)
    return losses


async def _append(store: Store, log: AuditLog, event: Event, heads: Heads | None) -> None:
    await store.write(lambda tx: log.append(tx, event))
    if heads is not None:
        heads.write(log.head())


def _newest(conn: Connection, *, chain: str) -> tuple[int, str]:
    newest = select(func.max(audit.c.seq)).where(audit.c.chain == chain).scalar_subquery()
    row = conn.execute(select(audit.c.seq, audit.c.mac).where(audit.c.chain == chain, audit.c.seq == newest)).first()
    return (0, "") if row is None else (row.seq, row.mac)
