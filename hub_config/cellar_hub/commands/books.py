"""`cellar-hub usage`: what the gateway's books say of tokens."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime

from ..accounts import Unusable
from ..settings import GatewaySettings, read_settings
from ..store import Store
from ..usage.ledger import usage_of_days


def settings_of(env: Mapping[str, str]) -> GatewaySettings:
    """Of the gateway; which model server it asks is of no interest here."""
    return read_settings(GatewaySettings, env)


@contextmanager
def opened(settings: GatewaySettings) -> Iterator[Store]:
    """The books. Raises StoreDown."""
    store = Store.open(settings.database)
    try:
        yield store
    finally:
        asyncio.run(store.close())


def parse_day(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no day like 2026-11-28") from None


def in_order(first: date | None, last: date | None) -> None:
    """Raises Unusable."""
    if first and last and first > last:
        raise Unusable(f"--since {first} is after --until {last}")


def add_usage_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=parse_day, help="first day (default: the month's first)")
    parser.add_argument("--until", type=parse_day, help="last day (default: today)")
    parser.add_argument("--user", help="of this user alone")


def usage(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Tokens and requests by user and model. Raises SettingsError, StoreDown, Unusable."""
    settings = settings_of(env)
    today = datetime.now(settings.time_zone).date()
    first, last = options.since or today.replace(day=1), options.until or today
    in_order(first, last)
    with opened(settings) as store, store.reading() as conn:
        rows = usage_of_days(conn, first, last, options.user)
    print(f"{first} to {last}{'' if rows else ': no requests'}")
    print(f"{'user':<24} {'model':<24} {'requests':>9} {'prompt':>12} {'cached':>12} {'answer':>12}")
    for row in rows:
        numbers = f"{row.requests:>9} {row.prompt:>12} {row.cached:>12} {row.completion:>12}"
        print(f"{row.user[:24]:<24} {row.model[:24]:<24} {numbers}")
    return 0
