"""Calendar windows in the site's zone: midnights that the clocks skip or repeat, ends of months, leap years."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cellar_hub.usage.quota import day_of, day_window, month_window, start_of

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")
ZONES = ["Asia/Seoul", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Kathmandu", "UTC"]


def at(text: str, zone: ZoneInfo) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_a_day_ends_at_the_sites_midnight_and_not_at_that_of_utc() -> None:
    now = at("2026-11-28 23:59:59", SEOUL)
    assert day_window(now, SEOUL).first == date(2026, 11, 28)
    assert day_window(now, SEOUL).resets_at == at("2026-11-29 00:00:00", SEOUL) == now + 1
    assert day_of(now, ZoneInfo("UTC")) == date(2026, 11, 28)
    assert day_of(now + 1, SEOUL) == date(2026, 11, 29)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_the_days_that_the_clocks_change_on_are_whole_days(day: str, hours: int) -> None:
    window = day_window(at(f"{day} 12:00", BERLIN), BERLIN)
    assert window.resets_at - start_of(window.first, BERLIN) == hours * 3600


@pytest.mark.parametrize(
    ("now", "first", "last"),
    [
        ("2026-01-31 23:00", "2026-01-01", "2026-01-31"),
        ("2026-02-28 12:00", "2026-02-01", "2026-02-28"),
        ("2028-02-29 12:00", "2028-02-01", "2028-02-29"),
        ("2026-12-31 23:59", "2026-12-01", "2026-12-31"),
        ("2026-04-01 00:00", "2026-04-01", "2026-04-30"),
    ],
)
def test_a_month_is_the_calendars(now: str, first: str, last: str) -> None:
    window = month_window(at(now, SEOUL), SEOUL)
    assert (window.first, window.last) == (date.fromisoformat(first), date.fromisoformat(last))
    assert window.resets_at == start_of(window.last + timedelta(days=1), SEOUL)


def test_a_midnight_that_the_clocks_skip_is_the_moment_they_change() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # 24 April 2026: 00:00 becomes 01:00
    reset = day_window(at("2026-04-23 12:00", cairo), cairo).resets_at
    assert datetime.fromtimestamp(reset, cairo).isoformat() == "2026-04-24T01:00:00+03:00"
    assert day_of(reset - 1, cairo) == date(2026, 4, 23)


def test_a_midnight_that_comes_twice_begins_the_day_the_first_time() -> None:
    havana = ZoneInfo("America/Havana")  # 1 November 2026: 01:00 becomes 00:00
    start = start_of(date(2026, 11, 1), havana)
    assert day_of(start, havana) == date(2026, 11, 1)
    assert day_of(start - 1, havana) == date(2026, 10, 31)
    assert day_of(start + 3600, havana) == date(2026, 11, 1)


@pytest.mark.parametrize("name", ZONES)
def test_at_every_hour_of_three_years_the_window_holds_now_and_ends_where_the_next_begins(name: str) -> None:
    zone = ZoneInfo(name)
    now = datetime(2026, 1, 1, tzinfo=UTC).timestamp() - 0.5
    for hour in range(3 * 366 * 24):
        moment = now + hour * 3600
        for window in (day_window(moment, zone), month_window(moment, zone)):
            assert window.first <= day_of(moment, zone) <= window.last
            assert moment < window.resets_at
            assert day_of(window.resets_at, zone) == window.last + timedelta(days=1)
            assert day_of(window.resets_at - 0.001, zone) == window.last
