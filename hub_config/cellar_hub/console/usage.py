"""Who used what, on which days: sums by user, by model or by day, with a chart, pages and a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Any, get_args
from urllib.parse import urlencode

from sqlalchemy import Connection

from cellar_hub.audit.export import cell
from cellar_hub.usage.report import By, Span, Sum, added_up, sum_of, usage_by, usage_rows

from .download import Download
from .overview import day_bars
from .page import Page

ROWS = 50
AT_ONCE = 2000
"""Lines of a file that are written at once."""
LONGEST = 366
"""Days."""
EARLIEST = date(2000, 1, 1)
"""Nobody has asked anything before."""
PRESETS = (
    ("today", "Today"),
    ("yesterday", "Yesterday"),
    ("week", "7 days"),
    ("month", "30 days"),
    ("quarter", "90 days"),
)


def span_of(page: Page) -> Span:
    """What the form says: days from `first` to `last`, or a preset; the last thirty days when it says nothing."""
    today = page.desk.today
    first, last = _day(page.field("first")), _day(page.field("last"))
    first, last = preset_days(page.field("span"), today) or (first, last)
    last = min(last or today, today)
    first = first or last - timedelta(days=29)
    first = max(min(first, last), last - timedelta(days=LONGEST - 1))
    return Span(first=first, last=last, user=page.field("user") or None, model=page.field("model") or None)


def preset_days(preset: str, today: date) -> tuple[date, date] | None:
    """First and last day; None when there is no such preset."""
    if preset == "yesterday":
        return today - timedelta(days=1), today - timedelta(days=1)
    back = {"today": 0, "week": 6, "month": 29, "quarter": 89}.get(preset)
    return None if back is None else (today - timedelta(days=back), today)


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return max(found, EARLIEST)


def by_of(page: Page) -> By:
    asked = page.field("by")
    return asked if asked in get_args(By) else "user"  # type: ignore[return-value] # one of the three


class UsagePage(Page):
    nav = "usage"

    async def get(self) -> None:
        span, by, number = span_of(self), by_of(self), self.number_field("page")
        whole = Span(first=span.first, last=span.last, user=span.user)

        def look(conn: Connection) -> tuple[list[Sum], list[Sum]]:
            """Two walks through these days' rows: each costs, with many users and days."""
            by_user = usage_by(conn, ["user"], span, largest_first=True) if by == "user" else []
            return usage_by(conn, ["day", "model"], whole), by_user

        by_both, by_user = await self.desk.read(look)
        models = sorted({each.model or "" for each in by_both})
        shown = [each for each in by_both if span.model in (None, each.model)]
        by_day = added_up(shown, "day")
        rows = by_user
        if by == "day":
            rows = by_day
        elif by == "model":
            rows = sorted(added_up(shown, "model"), key=lambda each: -each.tokens)
        asked: dict[str, Any] = {"first": span.first, "last": span.last, "by": by}
        asked |= {key: value for key, value in (("user", span.user), ("model", span.model)) if value}
        self.show(
            "usage.html",
            span=span,
            by=by,
            rows=rows[number * ROWS : (number + 1) * ROWS],
            page=number,
            more=len(rows) > (number + 1) * ROWS,
            total=sum_of(shown),
            users=len(by_user) if by == "user" else None,
            models=models,
            chart=day_bars(by_day, span, self.words),
            presets=[
                (key, text, preset_days(key, self.desk.today) == (span.first, span.last)) for key, text in PRESETS
            ],
            query=urlencode(asked),
        )


class UsageExport(Download):
    """The same as CSV: by user, day and model, for a spreadsheet."""

    async def get(self) -> None:
        span = span_of(self)
        await self.desk.record(self.name, "usage.export", f"{span.first} to {span.last}", {"user": span.user or ""})
        await self.send(
            lambda conn: _csv_pieces(usage_rows(conn, ["day", "user", "model"], span)),
            "text/csv; charset=utf-8",
            f"usage-{span.first}-{span.last}.csv",
        )


def _csv_pieces(rows: Iterator[Sum]) -> Iterator[bytes]:
    head = True
    while (some := list(islice(rows, AT_ONCE))) or head:
        yield _csv(some, head)
        head = False


def _csv(rows: Sequence[Sum], head: bool) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    names = ("day", "user", "model", "requests", "prompt", "cached", "completion", "estimated")
    if head:
        writer.writerow(names)
    for row in rows:
        writer.writerow([cell(getattr(row, name)) for name in names])
    return (b"\xef\xbb\xbf" if head else b"") + buffer.getvalue().encode()
