"""`cellar-hub audit`: verify, export, retain, rotate. What it changes or gives away it writes into the audit itself."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cellar.settings import SettingsError

from ..audit import AuditLog, Event, Heads, Keys, Report, Search, export, retain, verify
from ..settings import GatewaySettings
from ..store import Store
from ..usage.quota import day_of, start_of
from .books import in_order, opened, parse_day, settings_of
from .witness import operator

CHAIN = "commands"
"""This program's chain. Any number of it may run at once; each appends in a transaction of its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("verify", help="whether no row was changed, left out or cut off; exit status 1 when one was")
    out = actions.add_parser("export", help="one line for each request and event, to standard output")
    out.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    out.add_argument("--since", type=parse_day, help="first day")
    out.add_argument("--until", type=parse_day, help="last day")
    out.add_argument("--user", help="of this user alone")
    old = actions.add_parser("retain", help="delete what is older than some days; a signed seal stays in its place")
    old.add_argument("--days", type=int, required=True, help="how many days are kept")
    actions.add_parser("rotate", help="add a key; it is used from each process's next start")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Exit status. Raises SettingsError, StoreDown."""
    settings = settings_of(env)
    ring = settings.audit_keys or settings.data / "audit-keys"
    if not ring.is_file():
        raise SettingsError("CELLAR_AUDIT_KEYS", f"{ring} is not there; the gateway's first start makes it")
    does = {"verify": _verify, "export": _export, "retain": _retain, "rotate": _rotate}
    with opened(settings) as store:
        return does[options.action](options, Site(settings, store, ring, operator(env)))


@dataclass(frozen=True)
class Site:
    """What every action works on, and who acts."""

    settings: GatewaySettings
    store: Store
    ring: Path
    actor: str


def _verify(options: argparse.Namespace, site: Site) -> int:
    with site.store.reading() as conn:
        report = verify(conn, Keys.open(site.ring), site.settings.audit_heads)
    _show(report)
    if site.settings.audit_heads is None:
        print("CELLAR_AUDIT_HEADS is not set: rows cut off at the end, or a chain written anew, would not be seen.")
    return 0 if report.ok else 1


def _show(report: Report) -> None:
    for chain in report.chains:
        print(f"{chain.chain}: {chain.rows} rows, {chain.sealed} sealed, {chain.unsettled} without an end")
        for lost in chain.lost:
            when = datetime.fromtimestamp(lost.at, UTC).isoformat(timespec="seconds")
            print(f"LOST in {chain.chain}: rows {lost.first_seq} to {lost.last_seq} at least, on {when}: {lost.by}")
            print(f"     restored a backup that was made before them, on {lost.backup}")
    for problem in report.problems:
        where = f"{problem.chain or 'heads'}{f', row {problem.seq}' if problem.seq is not None else ''}"
        print(f"PROBLEM in {where}: {problem.code}: {problem.text}")
    more = sum(chain.more_problems for chain in report.chains)
    if more:
        print(f"and {more} more")
    if not report.ok:
        print(f"The audit is NOT whole: {len(report.problems) + more} problems.")
    elif any(chain.lost for chain in report.chains):
        print("The audit is whole but for what was lost when a backup was restored.")
    else:
        print("The audit is whole.")


def _export(options: argparse.Namespace, site: Site) -> int:
    in_order(options.since, options.until)
    zone = site.settings.time_zone
    search = Search(
        since=None if options.since is None else start_of(options.since, zone),
        until=None if options.until is None else start_of(options.until + timedelta(days=1), zone),
        user=options.user,
    )
    asked = {"since": options.since, "until": options.until, "user": options.user, "format": options.format}
    _note(site, "audit.export", {name: str(value) for name, value in asked.items() if value})
    with site.store.reading() as conn:
        for piece in export(conn, search, options.format):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return 0


def _retain(options: argparse.Namespace, site: Site) -> int:
    if site.settings.audit_heads is None:
        raise SettingsError("CELLAR_AUDIT_HEADS", "is not set; without a second place nothing is deleted")
    if options.days < 1:
        raise SettingsError("--days", "must be at least 1")
    keys, now = Keys.open(site.ring), time.time()
    first_kept = day_of(now, site.settings.time_zone) - timedelta(days=options.days)
    before = start_of(first_kept, site.settings.time_zone)
    heads = Heads(site.settings.audit_heads, keys, site.settings.audit_syslog)
    try:
        done = asyncio.run(retain(site.store, keys, heads, before=before, now=now))
    except OSError as error:
        raise SettingsError("CELLAR_AUDIT_HEADS", f"names {site.settings.audit_heads}: {error.strerror}") from None
    _note(site, "audit.retain", {"before": str(first_kept)} | {r.chain: r.deleted for r in done})
    for each in done:
        print(f"{each.chain}: {each.deleted} rows from before {first_kept} deleted")
        if each.broken is not None:
            print(f"{each.chain}: kept, because it does not verify: {each.broken}")
    return 1 if any(each.broken is not None for each in done) else 0


def _rotate(options: argparse.Namespace, site: Site) -> int:
    keys = Keys.rotate(site.ring)
    _note(site, "audit.rotate", {"key": keys.current})
    print(f"Key {keys.current} was added; {len(keys.ids)} keys are in {site.ring}. Restart the gateway to use it.")
    return 0


def _note(site: Site, action: str, detail: dict[str, str | int]) -> None:
    """An event, and its head at the second place."""
    keys = Keys.open(site.ring)
    event = Event(at=datetime.now(UTC).timestamp(), actor=site.actor, action=action, detail=detail)

    async def write() -> AuditLog:
        log = await site.store.write(lambda tx: AuditLog.open(tx, CHAIN, keys))
        await site.store.write(lambda tx: log.append(tx, event))
        return log

    log = asyncio.run(write())
    if site.settings.audit_heads is not None:
        try:
            Heads(site.settings.audit_heads, keys, site.settings.audit_syslog).write(log.head())
        except OSError as error:
            sys.stderr.write(f"cellar-hub: {site.settings.audit_heads}: {error.strerror}\n")
