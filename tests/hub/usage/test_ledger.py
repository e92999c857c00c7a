"""Reserve, settle, release: no token is counted twice, forgotten, or given to two requests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cellar_hub.store import Store
from cellar_hub.usage import Quota, QuotaExceeded, Usage, ledger
from sqlalchemy import Connection

SEOUL = ZoneInfo("Asia/Seoul")
NOON = datetime(2026, 11, 28, 12, tzinfo=SEOUL).timestamp()
NONE = Quota()


def reserve(tx: Connection, request_id: str, tokens: int, quota: Quota = NONE, **changed: Any) -> None:
    known: dict[str, Any] = {"user": "ada", "model": "m", "owner": "gateway-1", "now": NOON, "ttl": 600.0}
    ledger.reserve(tx, request_id=request_id, tokens=tokens, quota=quota, zone=SEOUL, **(known | changed))


def settle(tx: Connection, request_id: str, prompt: int, completion: int, **changed: Any) -> None:
    known: dict[str, Any] = {"user": "ada", "model": "m", "now": NOON}
    usage = Usage(prompt, completion, changed.pop("cached", None), changed.pop("estimated", False))
    ledger.settle(tx, request_id=request_id, usage=usage, zone=SEOUL, **(known | changed))


async def now(store: Store, quota: Quota = NONE, at: float = NOON, user: str = "ada") -> ledger.UsageNow:
    return await store.read(lambda c: ledger.usage_now(c, user, quota, at, SEOUL))


async def test_settling_puts_the_use_in_the_place_of_the_reservation(store: Store) -> None:
    await store.write(lambda tx: reserve(tx, "r", 500))
    assert (await now(store)).day.reserved == 500
    await store.write(lambda tx: settle(tx, "r", 30, 12))
    day = (await now(store)).day
    assert (day.reserved, day.spent.prompt, day.spent.completion, day.spent.requests) == (0, 30, 12, 1)


async def test_settling_again_does_nothing(store: Store) -> None:
    for _ in range(3):
        await store.write(lambda tx: settle(tx, "r", 30, 12))
    assert (await now(store)).day.spent.prompt == 30


async def test_a_released_request_used_nothing(store: Store) -> None:
    await store.write(lambda tx: reserve(tx, "r", 500))
    await store.write(lambda tx: ledger.release(tx, "r"))
    day = (await now(store)).day
    assert (day.reserved, day.spent.requests) == (0, 0)


async def test_the_last_token_of_the_quota_may_be_asked_and_one_more_not(store: Store) -> None:
    quota = Quota(per_day=100)
    await store.write(lambda tx: settle(tx, "past", 20, 20))
    await store.write(lambda tx: reserve(tx, "held", 30, quota))
    with pytest.raises(QuotaExceeded) as refused:
        await store.write(lambda tx: reserve(tx, "r", 31, quota))
    assert vars(refused.value) == {
        "window": "day",
        "used": 40,
        "reserved": 30,
        "asked": 31,
        "limit": 100,
        "resets_at": datetime(2026, 11, 29, tzinfo=SEOUL).timestamp(),
    }
    await store.write(lambda tx: reserve(tx, "r", 30, quota))


async def test_a_full_month_is_told_before_a_full_day(store: Store) -> None:
    await store.write(lambda tx: settle(tx, "past", 100, 0))
    with pytest.raises(QuotaExceeded) as refused:
        await store.write(lambda tx: reserve(tx, "r", 1, Quota(per_day=100, per_month=100)))
    assert refused.value.window == "month"
    assert refused.value.resets_at == datetime(2026, 12, 1, tzinfo=SEOUL).timestamp()


async def test_a_new_day_frees_the_day_and_a_new_month_the_month(store: Store) -> None:
    quota = Quota(per_day=100, per_month=150)
    late = datetime(2026, 11, 29, 23, 59, 59, tzinfo=SEOUL).timestamp()
    await store.write(lambda tx: settle(tx, "a", 100, 0, now=late))
    with pytest.raises(QuotaExceeded):
        await store.write(lambda tx: reserve(tx, "b", 1, quota, now=late))
    await store.write(lambda tx: settle(tx, "b", 50, 0, now=late + 1))
    with pytest.raises(QuotaExceeded, match="month"):
        await store.write(lambda tx: reserve(tx, "c", 1, quota, now=late + 2))
    december = datetime(2026, 12, 1, tzinfo=SEOUL).timestamp()
    await store.write(lambda tx: reserve(tx, "c", 100, quota, now=december))


async def test_a_request_over_midnight_counts_in_the_day_it_ends_in(store: Store) -> None:
    midnight = datetime(2026, 11, 29, tzinfo=SEOUL).timestamp()
    await store.write(lambda tx: reserve(tx, "r", 100, now=midnight - 5))
    await store.write(lambda tx: settle(tx, "r", 7, 0, now=midnight + 5))
    assert (await now(store, at=midnight - 1)).day.spent.prompt == 0
    assert (await now(store, at=midnight + 6)).day.spent.prompt == 7
    assert (await now(store, at=midnight + 6)).month.spent.prompt == 7


async def test_users_do_not_share_a_quota(store: Store) -> None:
    quota = Quota(per_day=100)
    await store.write(lambda tx: reserve(tx, "a", 100, quota))
    await store.write(lambda tx: reserve(tx, "b", 100, quota, user="Ada"))
    assert (await now(store, user="ada")).day.reserved == 100


async def test_models_share_a_users_quota_and_are_told_apart_in_the_books(store: Store) -> None:
    await store.write(lambda tx: settle(tx, "a", 10, 1, model="small", cached=8))
    await store.write(lambda tx: settle(tx, "b", 20, 2, model="large", estimated=True))
    await store.write(lambda tx: settle(tx, "c", 30, 3, model="large", user="bob"))
    assert (await now(store)).day.spent.prompt == 30
    rows = await store.read(lambda c: ledger.usage_of_days(c, date(2026, 11, 1), date(2026, 11, 30)))
    assert rows == [
        ledger.UsageRow("ada", "large", 20, 2, 0, 1),
        ledger.UsageRow("ada", "small", 10, 1, 8, 1),
        ledger.UsageRow("bob", "large", 30, 3, 0, 1),
    ]
    of_bob = await store.read(lambda c: ledger.usage_of_days(c, date(2026, 11, 28), date(2026, 11, 28), "bob"))
    assert [row.user for row in of_bob] == ["bob"]
    assert await store.read(lambda c: ledger.usage_of_days(c, date(2026, 12, 1), date(2026, 12, 31))) == []


async def test_an_expired_reservation_holds_nothing_and_its_use_still_counts(store: Store) -> None:
    quota = Quota(per_day=100)
    await store.write(lambda tx: reserve(tx, "old", 100, quota, ttl=60))
    await store.write(lambda tx: reserve(tx, "new", 100, quota, now=NOON + 61))
    assert await store.write(lambda tx: ledger.expire(tx, NOON + 61)) == 1
    await store.write(lambda tx: settle(tx, "old", 40, 0))
    assert (await now(store)).day.spent.prompt == 40


async def test_an_owner_that_lives_keeps_its_reservations(store: Store) -> None:
    await store.write(lambda tx: reserve(tx, "mine", 10, ttl=60))
    await store.write(lambda tx: reserve(tx, "theirs", 10, ttl=60, owner="gateway-2"))
    assert await store.write(lambda tx: ledger.prolong(tx, "gateway-1", NOON + 120)) == 1
    assert await store.write(lambda tx: ledger.expire(tx, NOON + 61)) == 1
    assert (await now(store, at=NOON + 61)).day.reserved == 10


async def test_what_was_settled_is_forgotten_after_a_day(store: Store) -> None:
    await store.write(lambda tx: settle(tx, "r", 1, 0))
    await store.write(lambda tx: ledger.expire(tx, NOON + 86_401))
    await store.write(lambda tx: settle(tx, "r", 1, 0))
    assert (await now(store)).day.spent.requests == 2


async def test_a_model_server_that_counts_wrongly_gives_nothing_back_and_breaks_no_sum(store: Store) -> None:
    await store.write(lambda tx: settle(tx, "r", -50, -50, cached=-1))
    assert (await now(store)).day.spent.prompt == 0
    for name in ("s", "t"):
        await store.write(lambda tx, name=name: settle(tx, name, 2**70, 2**70, cached=2**70))
    assert (await now(store)).day.spent.prompt == 2 * 10**12


async def test_two_stores_that_reserve_at_once_never_exceed_the_quota(database: str) -> None:
    stores = [Store.open(database), Store.open(database)]
    quota = Quota(per_day=1000)

    async def ask(n: int) -> bool:
        try:
            await stores[n % 2].write(partial(reserve, request_id=f"r{n}", tokens=100, quota=quota))
        except QuotaExceeded:
            return False
        return True

    granted = await asyncio.gather(*(ask(n) for n in range(60)))
    assert sum(granted) == 10
    await asyncio.gather(*(store.close() for store in stores))


RIVAL = """
import asyncio, sys, time
from zoneinfo import ZoneInfo
from cellar_hub.store import Store
from cellar_hub.usage import Quota, QuotaExceeded, ledger

async def main(url, me):
    store = Store.open(url)
    print("ready", flush=True)
    sys.stdin.readline()
    async def ask(n):
        try:
            await store.write(lambda tx: ledger.reserve(
                tx, request_id=f"{me}-{n}", user="ada", model="m", tokens=100, quota=Quota(per_day=1000), owner=me,
                now=1795834800.0, ttl=600, zone=ZoneInfo("Asia/Seoul")))
        except QuotaExceeded:
            return 0
        return 1
    got = 0
    for n in range(30):
        got += await ask(n)
    print(got, flush=True)
    if sys.stdin.readline():
        await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


class Rival:
    """A process of its own that reserves as much as it can."""

    def __init__(self, database: str, name: str) -> None:
        command = [sys.executable, "-c", RIVAL, database, name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.said() == "ready"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


async def test_two_processes_cannot_both_take_the_last_tokens_and_a_killed_ones_are_free_again(
    store: Store, database: str
) -> None:
    rivals = [await asyncio.to_thread(Rival, database, name) for name in ("one", "two")]
    for rival in rivals:
        rival.go()
    granted = [int(await asyncio.to_thread(rival.said)) for rival in rivals]
    assert sum(granted) == 10
    for rival in rivals:
        rival.kill()
    assert (await now(store, at=1795834800.0)).day.reserved == 1000
    dropped = [await store.write(partial(ledger.drop_of, owner=name)) for name in ("one", "two")]
    assert dropped == granted
    assert (await now(store, at=1795834800.0)).day.reserved == 0
