"""Sums of the books, on both databases."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from cellar_hub.store import Store
from cellar_hub.store.tables import usage
from cellar_hub.usage.report import Span, Sum, added_up, sum_of, usage_by, usage_total, users_count

DAY = date(2026, 11, 28)
ALL = Span(first=DAY - timedelta(days=30), last=DAY + timedelta(days=1))


async def put(store: Store, *rows: tuple[str, date, str, int, int]) -> None:
    def write(tx: Any) -> None:
        for user, day, model, prompt, completion in rows:
            row = {"user_name": user, "day": day, "model": model, "prompt": prompt, "completion": completion}
            tx.execute(usage.insert(), row | {"cached": prompt // 2, "requests": 1, "estimated": 0})

    await store.write(write)


async def test_sums_are_by_day_by_user_and_by_model_or_by_all_of_them(store: Store) -> None:
    await put(
        store,
        ("ann", DAY, "large", 100, 10),
        ("ann", DAY, "small", 40, 2),
        ("ann", DAY + timedelta(days=1), "large", 7, 0),
        ("ben", DAY, "large", 1000, 0),
        ("ben", DAY - timedelta(days=40), "large", 9999, 0),
    )
    by_user = await store.read(lambda conn: usage_by(conn, ["user"], ALL, largest_first=True))
    assert [(each.user, each.tokens, each.requests, each.day) for each in by_user] == [
        ("ben", 1000, 1, None),
        ("ann", 159, 3, None),
    ]
    by_day = await store.read(lambda conn: usage_by(conn, ["day"], ALL))
    assert [(each.day, each.prompt, each.completion) for each in by_day] == [
        (DAY, 1140, 12),
        (DAY + timedelta(days=1), 7, 0),
    ]
    both = await store.read(lambda conn: usage_by(conn, ["user", "model"], ALL))
    assert [(each.user, each.model, each.tokens) for each in both] == [
        ("ann", "large", 117),
        ("ann", "small", 42),
        ("ben", "large", 1000),
    ]


async def test_sums_are_of_one_user_of_some_or_of_one_model_and_come_in_pages(store: Store) -> None:
    await put(
        store, *((f"user{number}", DAY, "large", number, 0) for number in range(10)), ("user1", DAY, "small", 5, 0)
    )
    some = await store.read(lambda conn: usage_by(conn, ["user"], ALL, users=["user3", "user7", "nobody"]))
    assert [(each.user, each.tokens) for each in some] == [("user3", 3), ("user7", 7)]
    small = Span(first=DAY, last=DAY, model="small")
    assert [each.user for each in await store.read(lambda conn: usage_by(conn, ["user"], small))] == ["user1"]
    second = await store.read(lambda conn: usage_by(conn, ["user"], ALL, largest_first=True, limit=3, offset=3))
    assert [each.tokens for each in second] == [6, 6, 5]
    assert await store.read(lambda conn: users_count(conn, ALL)) == 10


async def test_of_no_rows_the_sum_is_nothing(store: Store) -> None:
    assert await store.read(lambda conn: usage_total(conn, ALL)) == Sum()
    assert await store.read(lambda conn: usage_by(conn, ["user"], ALL)) == []


def test_sums_by_two_are_added_up_to_sums_by_one() -> None:
    one, other = Sum(day=DAY, model="a", prompt=1, requests=1), Sum(day=DAY, model="b", prompt=2, completion=3)
    assert added_up([one, other], "day") == [Sum(day=DAY, prompt=3, completion=3, requests=1)]
    assert added_up([other, one], "model") == [
        Sum(model="a", prompt=1, requests=1),
        Sum(model="b", prompt=2, completion=3),
    ]
    assert sum_of([]) == Sum()
