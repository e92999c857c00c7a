"""What a durable write costs the hub side: one request's two writes, by 1, 20 and 100 at once, on both databases.

    python -m bench.hub_store [SECONDS]

The first write of a request reserves tokens and opens the audit's record, the second settles both. Every write is on
the disk (SQLite: synchronous=FULL; PostgreSQL: fsync on) before it counts. CPU is of this process, loop and writer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from cellar_hub.audit import AuditLog, Keys, Opened, Settled
from cellar_hub.store import Store
from cellar_hub.usage import Quota, Usage, ledger
from sqlalchemy import Connection

from tests.hub import postgres

ZONE = ZoneInfo("Asia/Seoul")
QUOTA = Quota(per_day=10**12, per_month=10**13)


class Bench:
    def __init__(self, store: Store, audit: AuditLog) -> None:
        self.store, self.audit, self.taken = store, audit, list[float]()

    async def write(self, *, request_id: str, user: str, first: bool) -> None:
        def work(tx: Connection) -> None:
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

    async def writer(self, n: int, until: float) -> None:
        count = 0
        while time.perf_counter() < until:
            request_id = f"{os.getpid()}-{n}-{time.perf_counter_ns()}-{count}"
            for first in (True, False):
                await self.write(request_id=request_id, user=f"user{n}", first=first)
            count += 1


async def measure(name: str, url: str, folder: Path, seconds: float) -> None:
    store = Store.open(url)
    keys = Keys.open(folder / "ring.json")
    audit = await store.write(lambda tx: AuditLog.open(tx, "bench", keys))
    for writers in (1, 20, 100):
        bench = Bench(store, audit)
        began, cpu_began = time.perf_counter(), time.process_time()
        await asyncio.gather(*(bench.writer(n, began + seconds) for n in range(writers)))
        took, times = time.perf_counter() - began, sorted(bench.taken)
        cpu = (time.process_time() - cpu_began) / len(times)
        p50, p99 = (1000 * times[int(len(times) * q)] for q in (0.5, 0.99))
        rate = f"{len(times) / took:6.0f} writes/s"
        print(
            f"{name:11}{writers:4} at once {rate}  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  CPU {1000 * cpu:5.2f} ms each"
        )
    await store.close()


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(measure("SQLite", f"sqlite:///{folder}/cellar.db", folder, seconds))
        if postgres.find_binaries() is None:
            print(postgres.MISSING)
            return
        with postgres.running() as cluster:
            asyncio.run(measure("PostgreSQL", cluster.create_database(), folder, seconds))


if __name__ == "__main__":
    main()
