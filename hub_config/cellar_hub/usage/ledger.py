"""The books of tokens: what is spent, and what requests under way hold. Functions on a connection of `Store`.

A request first reserves the most that it may cost; when it ends, what it did cost takes the reservation's place. Two
gateways cannot both take the last tokens: a writing transaction has the whole store to itself (`store/engine.py`).

A reservation belongs to the process that made it and expires unless that process prolongs it. So what a killed process
held is free again at its next start (`drop_of`), or, when it never comes back, at the expiry.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cellar.me import Spent
from cellar.me import Window as WindowNow
from sqlalchemy import Connection, Executable, Table, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cellar_hub.store.tables import reservation, settled, usage
from cellar_hub.usage.quota import Quota, QuotaExceeded, Usage, Window, day_of, day_window, month_window

MOST_TOKENS = 10**12  # of one request
SETTLED_SECONDS = 86_400.0  # for so long a second settling of one request is known as such


class UsageNow(msgspec.Struct, frozen=True):
    """What `Me` shows of a user (`cellar.me`)."""

    day: WindowNow
    month: WindowNow


class UsageRow(msgspec.Struct, frozen=True):
    """Tokens and requests of one user with one model in some days."""

    user: str
    model: str
    prompt: int
    completion: int
    cached: int
    requests: int


def reserve(
    tx: Connection,
    *,
    request_id: str,
    user: str,
    model: str,
    tokens: int,
    quota: Quota,
    owner: str,
    now: float,
    ttl: float,
    zone: ZoneInfo,
) -> None:
    """Hold `tokens` for `ttl` seconds, if they fit what is left of the day and of the month. Raises QuotaExceeded: of
    the month when both are full, because tomorrow would not help then."""
    if quota != Quota():
        day, month = day_window(now, zone), month_window(now, zone)
        spent = tx.execute(
            _SPENT, {"user": user, "now": now, "day": day.first, "first": month.first, "last": month.last}
        )
        in_day, in_month, held = map(int, spent.one())
        for window, used in ((month, in_month), (day, in_day)):
            limit = quota.limit(window.name)
            if limit is not None and used + held + tokens > limit:
                raise QuotaExceeded(window, used, held, tokens, limit)
    row = {"request_id": request_id, "user_name": user, "model": model, "tokens": tokens, "owner": owner}
    tx.execute(_RESERVE, row | {"expires_at": now + ttl})


def settle(tx: Connection, *, request_id: str, user: str, model: str, usage: Usage, now: float, zone: ZoneInfo) -> None:
    """Let go of the reservation and add what was used, to the day in which the request ended. The second time for one
    request does nothing; a reservation that had expired meanwhile is no reason to forget the use."""
    release(tx, request_id)
    statements = _STATEMENTS[tx.dialect.name]
    if tx.execute(statements.settle_once, {"request_id": request_id, "at": now}).first() is None:
        return
    added = {
        "prompt": believable(usage.prompt),
        "completion": believable(usage.completion),
        "cached": believable(usage.cached or 0),
        "requests": 1,
        "estimated": int(usage.estimated),
    }
    tx.execute(statements.add, {"user_name": user, "day": day_of(now, zone), "model": model, **added})


def believable(tokens: int) -> int:
    """A model server that counts wrongly gives nothing back, and does not break the sums."""
    return min(max(0, tokens), MOST_TOKENS)


def release(tx: Connection, request_id: str) -> None:
    """Let go of a reservation of which nothing was used."""
    tx.execute(_RELEASE, {"id": request_id})


def prolong(tx: Connection, owner: str, until: float) -> int:
    """The owner lives: its reservations are good until then. Called every so often, well within their `ttl`."""
    mine = update(reservation).where(reservation.c.owner == owner)
    return tx.execute(mine.values(expires_at=until)).rowcount


def drop_of(tx: Connection, owner: str) -> int:
    """At an owner's start: what it held when it was killed is free. The number of reservations."""
    return tx.execute(delete(reservation).where(reservation.c.owner == owner)).rowcount


def expire(tx: Connection, now: float) -> int:
    """Tidy up: reservations whose owner is gone, and the memory of what was settled. The number of reservations."""
    tx.execute(delete(settled).where(settled.c.at < now - SETTLED_SECONDS))
    return tx.execute(delete(reservation).where(reservation.c.expires_at <= now)).rowcount


def usage_now(conn: Connection, user: str, quota: Quota, now: float, zone: ZoneInfo) -> UsageNow:
    """Where a user stands today and this month."""
    held = int(conn.execute(_RESERVED, {"user": user, "now": now}).scalar_one())

    def at(window: Window) -> WindowNow:
        days = (usage.c.user_name == user) & usage.c.day.between(window.first, window.last)
        spent = conn.execute(select(*_SUMS).where(days)).one()
        return WindowNow(
            spent=Spent(prompt=int(spent.prompt), completion=int(spent.completion), requests=int(spent.requests)),
            reserved=held,
            limit=quota.limit(window.name),
            resets_at=window.resets_at,
        )

    return UsageNow(at(day_window(now, zone)), at(month_window(now, zone)))


def usage_of_days(conn: Connection, first: date, last: date, user: str | None = None) -> list[UsageRow]:
    """Sums by user and model over the days from `first` to `last`, both included; of one user, or of all."""
    rows = select(usage.c.user_name, usage.c.model, *_SUMS).where(usage.c.day.between(first, last))
    if user is not None:
        rows = rows.where(usage.c.user_name == user)
    rows = rows.group_by(usage.c.user_name, usage.c.model).order_by(usage.c.user_name, usage.c.model)
    return [
        UsageRow(r.user_name, r.model, int(r.prompt), int(r.completion), int(r.cached), int(r.requests))
        for r in conn.execute(rows)
    ]


# The statements of every request are built once: building one costs more than SQLite needs to run it.

_SUMS = [
    func.coalesce(func.sum(column), 0).label(column.name)
    for column in (usage.c.prompt, usage.c.completion, usage.c.cached, usage.c.requests)
]
_TOKENS = select(func.coalesce(func.sum(usage.c.prompt + usage.c.completion), 0)).where(
    usage.c.user_name == bindparam("user")
)
_RESERVED = select(func.coalesce(func.sum(reservation.c.tokens), 0)).where(
    reservation.c.user_name == bindparam("user"), reservation.c.expires_at > bindparam("now")
)
_SPENT = select(
    _TOKENS.where(usage.c.day == bindparam("day")).scalar_subquery(),
    _TOKENS.where(usage.c.day.between(bindparam("first"), bindparam("last"))).scalar_subquery(),
    _RESERVED.scalar_subquery(),
)
_RESERVE = reservation.insert()
_RELEASE = delete(reservation).where(reservation.c.request_id == bindparam("id"))


class _Statements(NamedTuple):
    """What the two databases write differently."""

    settle_once: Executable
    add: Executable


def _statements(insert: Callable[[Table], sqlite.Insert | postgresql.Insert]) -> _Statements:
    new = insert(usage)
    counted = ("prompt", "completion", "cached", "requests", "estimated")
    more = {name: usage.c[name] + new.excluded[name] for name in counted}
    return _Statements(
        settle_once=insert(settled).on_conflict_do_nothing().returning(settled.c.request_id),
        add=new.on_conflict_do_update(index_elements=["user_name", "day", "model"], set_=more),
    )


_STATEMENTS = {"sqlite": _statements(sqlite.insert), "postgresql": _statements(postgresql.insert)}
