"""Sums of the books for people: by day, by user, by model, or by any of these together. Functions on a connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Select, func, select

from cellar_hub.store.tables import usage

By = Literal["day", "user", "model"]
_COLUMNS = {"day": usage.c.day, "user": usage.c.user_name, "model": usage.c.model}
_COUNTED = ("prompt", "completion", "cached", "requests", "estimated")
_TOKENS = func.coalesce(func.sum(usage.c.prompt + usage.c.completion), 0)


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and requests of one group of rows. What it was not grouped by is None."""

    day: date | None = None
    user: str | None = None
    model: str | None = None
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    requests: int = 0
    estimated: int = 0

    @property
    def tokens(self) -> int:
        """Prompt and answer together, as quotas count them."""
        return self.prompt + self.completion


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The site's days from `first` to `last`, both included, of one user and of one model or of all (None)."""

    first: date
    last: date
    user: str | None = None
    model: str | None = None


def usage_by(
    conn: Connection,
    by: Sequence[By],
    span: Span,
    *,
    users: Collection[str] | None = None,
    largest_first: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> list[Sum]:
    """One sum for each group that has a row; `users`: of these alone. Ordered by `by`, or by tokens."""
    rows = _grouped(by, span)
    if users is not None:
        rows = rows.where(usage.c.user_name.in_(users))
    if largest_first:
        rows = rows.order_by(None).order_by(_TOKENS.desc(), *(_COLUMNS[each] for each in by))
    return [_sum(by, row) for row in conn.execute(rows.limit(limit).offset(offset))]


def usage_rows(conn: Connection, by: Sequence[By], span: Span) -> Iterator[Sum]:
    """The same in the order of `by`, one after another: there may be millions."""
    for row in conn.execution_options(yield_per=1000).execute(_grouped(by, span)):
        yield _sum(by, row)


def _grouped(by: Sequence[By], span: Span) -> Select[Any]:
    columns = [_COLUMNS[each] for each in by]
    rows = select(*columns, *(func.sum(usage.c[each]).label(each) for each in _COUNTED))
    return _within(rows, span).group_by(*columns).order_by(*columns)


def _sum(by: Sequence[By], row: Sequence[Any]) -> Sum:
    return Sum(**_typed(dict(zip([*by, *_COUNTED], row, strict=True))))


def added_up(sums: Iterable[Sum], by: By) -> list[Sum]:
    """The same by fewer: of sums by day and model those by day, or by model, in their order."""
    found: dict[object, list[Sum]] = {}
    for each in sums:
        found.setdefault(getattr(each, by), []).append(each)
    return [msgspec.structs.replace(sum_of(found[key]), **{by: key}) for key in sorted(found, key=str)]


def sum_of(sums: Iterable[Sum]) -> Sum:
    """Of all of them."""
    rows = list(sums)
    return Sum(**{each: sum(getattr(row, each) for row in rows) for each in _COUNTED})


def usage_total(conn: Connection, span: Span) -> Sum:
    """Of all of it."""
    row = conn.execute(
        _within(select(*(func.coalesce(func.sum(usage.c[each]), 0).label(each) for each in _COUNTED)), span)
    ).one()
    return Sum(**_typed(dict(zip(_COUNTED, row, strict=True))))


def users_count(conn: Connection, span: Span) -> int:
    """How many users have asked anything."""
    return int(conn.execute(_within(select(func.count(usage.c.user_name.distinct())), span)).scalar_one())


def _within(rows: Select[Any], span: Span) -> Select[Any]:
    rows = rows.where(usage.c.day.between(span.first, span.last))
    if span.user is not None:
        rows = rows.where(usage.c.user_name == span.user)
    if span.model is not None:
        rows = rows.where(usage.c.model == span.model)
    return rows


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL sums whole numbers to decimals."""
    return {name: int(value) if name in _COUNTED else value for name, value in row.items()}
