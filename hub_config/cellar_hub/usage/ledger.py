"""The books of tokens: what is spent, and what requests under way hold. Functions on a connection of `Store`.

A request first reserves the most that it may cost; when it ends, what it did cost takes the reservation's place. Two
gateways cannot both take the last tokens: a writing transaction has the whole store to itself (`store/engine.py`).

A reservation belongs to the process that made it and expires unless that process prolongs it. So what a killed process
held is free again at its next start (`drop_of`), or, when it never comes back, at the expiry.
"""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import msgspec
from cellar.me import Spent
from cellar.me import Window as WindowNow
from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from cellar_hub.store.tables import insert, reservation, settled, usage
from cellar_hub.usage.quota import Quota, QuotaExceeded, Usage, Window, day_of, day_window, month_window

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
    limited = [w for w in (month_window(now, zone), day_window(now, zone)) if quota.limit(w.name) is not None]
    held = _reserved(tx, user, now) if limited else 0
    for window in limited:
        used, limit = _used(tx, user, window), quota.limit(window.name)
        if limit is not None and used + held + tokens > limit:
            raise QuotaExceeded(window, used, held, tokens, limit)
    tx.execute(
        reservation.insert().values(
            request_id=request_id, user_name=user, model=model, tokens=tokens, owner=owner, expires_at=now + ttl
        )
    )


def settle(tx: Connection, *, request_id: str, user: str, model: str, usage: Usage, now: float, zone: ZoneInfo) -> None:
    """Let go of the reservation and add what was used, to the day in which the request ended. The second time for one
    request does nothing; a reservation that had expired meanwhile is no reason to forget the use."""
    release(tx, request_id)
    first = insert(tx, settled).values(request_id=request_id, at=now).on_conflict_do_nothing()
    if tx.execute(first.returning(settled.c.request_id)).first() is not None:
        _add(tx, user, day_of(now, zone), model, usage)


def release(tx: Connection, request_id: str) -> None:
    """Let go of a reservation of which nothing was used."""
    tx.execute(delete(reservation).where(reservation.c.request_id == request_id))


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
    held = _reserved(conn, user, now)

    def at(window: Window) -> WindowNow:
        spent = conn.execute(select(*_SUMS).where(_within(user, window))).one()
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


_SUMS = [
    func.coalesce(func.sum(column), 0).label(column.name)
    for column in (usage.c.prompt, usage.c.completion, usage.c.cached, usage.c.requests)
]


def _within(user: str, window: Window) -> ColumnElement[bool]:
    return (usage.c.user_name == user) & usage.c.day.between(window.first, window.last)


def _used(tx: Connection, user: str, window: Window) -> int:
    tokens = func.coalesce(func.sum(usage.c.prompt + usage.c.completion), 0)
    return int(tx.execute(select(tokens).where(_within(user, window))).scalar_one())


def _reserved(tx: Connection, user: str, now: float) -> int:
    live = (reservation.c.user_name == user) & (reservation.c.expires_at > now)
    tokens = func.coalesce(func.sum(reservation.c.tokens), 0)
    return int(tx.execute(select(tokens).where(live)).scalar_one())


def _add(tx: Connection, user: str, day: date, model: str, used: Usage) -> None:
    new = {
        "prompt": max(0, used.prompt),
        "completion": max(0, used.completion),
        "cached": max(0, used.cached or 0),
        "requests": 1,
        "estimated": int(used.estimated),
    }
    row = insert(tx, usage).values(user_name=user, day=day, model=model, **new)
    more = {name: usage.c[name] + value for name, value in new.items()}
    tx.execute(row.on_conflict_do_update(index_elements=["user_name", "day", "model"], set_=more))
