"""`cellar-hub usage` and `cellar-hub audit`: what the gateway's books say."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime

from cellar.settings import SettingsError

from ..audit import Keys, Search, export, verify
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


def add_usage_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=parse_day, help="first day (default: the month's first)")
    parser.add_argument("--until", type=parse_day, help="last day (default: today)")
    parser.add_argument("--user")


def usage(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Tokens and requests by user and model. Raises SettingsError, StoreDown."""
    settings = settings_of(env)
    today = datetime.now(settings.time_zone).date()
    first, last = options.since or today.replace(day=1), options.until or today
    with opened(settings) as store, store.reading() as conn:
        rows = usage_of_days(conn, first, last, options.user)
    print(f"{first} to {last}")
    print(f"{'user':<24} {'model':<24} {'requests':>9} {'prompt':>12} {'cached':>12} {'answer':>12}")
    for row in rows:
        numbers = f"{row.requests:>9} {row.prompt:>12} {row.cached:>12} {row.completion:>12}"
        print(f"{row.user[:24]:<24} {row.model[:24]:<24} {numbers}")
    return 0


def add_audit_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("verify", help="whether no row was changed, left out or cut off; exit status 1 when one was")
    out = actions.add_parser("export", help="one line for each request and event, to standard output")
    out.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    out.add_argument("--since", type=parse_day, help="first day")
    out.add_argument("--until", type=parse_day, help="last day")
    out.add_argument("--user")


def audit(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Exit status. Raises SettingsError, StoreDown."""
    settings = settings_of(env)
    with opened(settings) as store:
        if options.action == "verify":
            return show_verified(settings, store)
        with store.reading() as conn:
            search = Search(since=_start(options.since), until=_end(options.until), user=options.user)
            for piece in export(conn, search, options.format):
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0


def show_verified(settings: GatewaySettings, store: Store) -> int:
    path = settings.audit_keys or settings.data / "audit-keys"
    if not path.is_file():
        raise SettingsError("CELLAR_AUDIT_KEYS", f"{path} is not there; without the keys nothing can be verified")
    with store.reading() as conn:
        report = verify(conn, Keys.open(path), settings.audit_heads)
    for chain in report.chains:
        print(f"{chain.chain}: {chain.rows} rows, {chain.sealed} sealed, {chain.unsettled} running or interrupted")
    for problem in report.problems:
        print(f"PROBLEM in {problem.chain} at {problem.seq}: {problem.code}: {problem.text}")
    print("The audit is whole." if report.ok else f"The audit is NOT whole: {len(report.problems)} problems.")
    if settings.audit_heads is None:
        print("CELLAR_AUDIT_HEADS is not set: a tail that was cut off would not be seen.")
    return 0 if report.ok else 1


def _start(day: date | None) -> float | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _end(day: date | None) -> float | None:
    start = _start(day)
    return None if start is None else start + 86_400
