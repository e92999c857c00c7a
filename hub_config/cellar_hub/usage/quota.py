"""Quotas in tokens, and the calendar windows they count in. Pure.

A day and a month are the site's: they begin at midnight where the site is, also around days of 23 and of 25 hours, and
where the clocks change at midnight itself.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

WindowName = Literal["day", "month"]


class Quota(msgspec.Struct, frozen=True):
    """Tokens (prompt and completion together) in the site's calendar day and month; None: no limit."""

    per_day: int | None = None
    per_month: int | None = None

    def limit(self, window: WindowName) -> int | None:
        return self.per_day if window == "day" else self.per_month


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request. `cached`: those of the prompt that the model server had in its cache; None: it did not
    say. `estimated`: nobody counted, we guessed."""

    prompt: int
    completion: int
    cached: int | None = None
    estimated: bool = False


class Window(msgspec.Struct, frozen=True):
    """The calendar days from `first` to `last`, both included; over at `resets_at` (seconds of the epoch)."""

    name: WindowName
    first: date
    last: date
    resets_at: float


class QuotaExceeded(Exception):
    """`used` and `reserved`: tokens spent, and held by requests under way. `asked`: what was to be reserved."""

    def __init__(self, window: Window, used: int, reserved: int, asked: int, limit: int) -> None:
        super().__init__(f"quota of the {window.name}: {used} used, {reserved} reserved, {asked} asked of {limit}")
        self.window: WindowName = window.name
        self.used, self.reserved, self.asked, self.limit = used, reserved, asked, limit
        self.resets_at = window.resets_at


def day_of(now: float, zone: ZoneInfo) -> date:
    """The site's calendar day at `now` (seconds of the epoch)."""
    return datetime.fromtimestamp(now, zone).date()


def start_of(day: date, zone: ZoneInfo) -> float:
    """When a day begins there, in seconds of the epoch. A midnight that the clocks skip is the moment they change."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def day_window(now: float, zone: ZoneInfo) -> Window:
    day = day_of(now, zone)
    return Window("day", day, day, start_of(day + timedelta(days=1), zone))


def month_window(now: float, zone: ZoneInfo) -> Window:
    first = day_of(now, zone).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Window("month", first, following - timedelta(days=1), start_of(following, zone))
