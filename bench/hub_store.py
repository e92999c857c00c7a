"""What a durable write costs the hub side: one request's two writes, by 1, 20 and 100 at once, on both databases.

The first write of a request reserves tokens and opens the audit's record, the second settles both. Every write is on
the disk (SQLite: synchronous=FULL; PostgreSQL: fsync on) before it counts. CPU is of this process, loop and writer.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from cellar_hub.audit import AuditLog, Keys, Opened, Settled
from cellar_hub.store import Store, after_commit, waiting_calls
from cellar_hub.usage import Quota, Usage, ledger
from sqlalchemy import Connection

from bench.report import Row, Section, percentile
from tests.hub import postgres

ZONE = ZoneInfo("Asia/Seoul")
QUOTA = Quota(per_day=10**12, per_month=10**13)


class Bench:
    def __init__(self, store: Store, audit: AuditLog) -> None:
        self.store, self.audit, self.taken = store, audit, list[float]()
        self.commits = 0

    async def write(self, *, request_id: str, user: str, first: bool) -> None:
        def work(tx: Connection) -> None:
            if not waiting_calls(tx):  # the first of those that share this commit
                after_commit(tx, self._committed)
            now = time.time()
            if first:
                ledger.reserve(
                    tx, request_id=request_id, user=user, model="m", tokens=900, quota=QUOTA, owner="bench",
                    now=now, ttl=600, zone=ZONE,
                )  # fmt: skip
                self.audit.append(
                    tx, Opened(request_id=request_id, at=now, user=user, groups=("staff",), model="m", kind="chat")
                )
            else:
                usage = Usage(30, 200)
                ledger.settle(tx, request_id=request_id, user=user, model="m", usage=usage, now=now, zone=ZONE)
                self.audit.append(tx, Settled(request_id=request_id, at=now, status=200, outcome="complete"))

        began = time.perf_counter()
        await self.store.write(work)
        self.taken.append(time.perf_counter() - began)

    def _committed(self) -> None:
        self.commits += 1

    async def writer(self, n: int, until: float) -> None:
        count = 0
        while time.perf_counter() < until:
            request_id = f"{os.getpid()}-{n}-{time.perf_counter_ns()}-{count}"
            for first in (True, False):
                await self.write(request_id=request_id, user=f"user{n}", first=first)
            count += 1


async def measure(name: str, url: str, folder: Path, seconds: float) -> list[Row]:
    store = Store.open(url)
    keys = Keys.open(folder / "ring.json")
    audit = await store.write(lambda tx: AuditLog.open(tx, "bench", keys))
    rows = []
    for writers in (1, 20, 100):
        bench = Bench(store, audit)
        began, cpu_began = time.perf_counter(), time.process_time()
        await asyncio.gather(*(bench.writer(n, began + seconds) for n in range(writers)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        count, p99 = len(bench.taken), percentile(bench.taken, 99) * 1e3
        rate = f"{count / took:.0f} writes/s in {bench.commits / took:.0f} commits/s"
        detail = f"p99 {p99:.1f} ms; {rate}; processor {cpu / count * 1e3:.2f} ms each"
        what = f"{name}: a durable write, {writers} at once"
        rows.append(Row(what, percentile(bench.taken, 50) * 1e3, "ms", None, detail))
    await store.close()
    return rows


def section(seconds: float = 5) -> Section:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = asyncio.run(measure("SQLite", f"sqlite:///{folder}/cellar.db", folder, seconds))
        if postgres.find_binaries() is None:
            print(postgres.MISSING)
        else:
            with postgres.running() as cluster:
                rows += asyncio.run(measure("PostgreSQL", cluster.create_database(), folder, seconds))
    how = (
        "A request writes twice (reservation and opened record; settlement and settled record), each on the disk "
        "before it counts; those that wait share a commit."
    )
    return Section("The books", how, rows, ("sqlalchemy", "psycopg"))
