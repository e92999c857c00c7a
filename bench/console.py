"""The console's pages with many users and a long audit: how long each takes, and how long verifying it all takes.

A real hub with its proxy, gateway and console; 5,000 users of the hub, their use of ninety days, and the audit's rows
written by its own code, signed, in its own tables. Pages are asked for through the proxy, one after another, in turn.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cellar_hub.audit import Keys, Opened, Settled
from cellar_hub.audit.chain import next_link
from cellar_hub.audit.rows import columns_of, row_to_record
from cellar_hub.store import Store
from cellar_hub.store.tables import audit, usage

from bench.report import Row, Section, percentile
from tests.hub.commands.site import PASSWORD
from tests.hub.console.site import ConsoleSite

USERS = 5_000
ROWS = int(os.environ.get("CELLAR_BENCH_AUDIT_ROWS", 10_000_000))
DAYS = 90
CHUNK = 5_000
"""Rows of the audit in one commit."""
TIMES = 40
MODELS = ("coder-large", "coder-small", "embed")
PAGES = {
    "overview": "overview",
    "its live part": "overview/live",
    "users, first page": "users",
    "users, page 90": "users?page=90",
    "users, by a part of the name": "users?q=user123",
    "a user": "users/user1234",
    "usage of 30 days by user": "usage?span=month",
    "usage of 90 days by day": "usage?span=quarter&by=day",
    "usage of yesterday": "usage?span=yesterday",
    "audit, newest": "audit",
    "audit of a user": "audit?user=user1234",
    "audit of a model": "audit?model=embed",
    "audit of a user in a week": "audit?user=user1234&since={week}",
    "audit, events alone": "audit?kind=events",
    "audit, an hour of half the way": "audit?since={half}&until={later}",
    "groups": "groups",
    "a user's own page": "me",
}
BOUND = 500.0
"""Milliseconds; the design names no number for pages: people call what is slower slow."""


def section() -> Section:
    with tempfile.TemporaryDirectory() as name:
        site = ConsoleSite(Path(name))
        try:
            rows = _measured(site)
        finally:
            site.end()
    how = (
        f"{USERS:,} users, {ROWS:,} rows of the audit, {DAYS} days of use, on SQLite; each page {TIMES} times through "
        "the proxy, in turn with the others; the hub answers for users and workspaces."
    )
    return Section("The console", how, rows, ("jupyterhub", "tornado", "jinja2", "sqlalchemy"))


def _measured(site: ConsoleSite) -> list[Row]:
    _make_users(site)
    began = time.perf_counter()
    first, last = asyncio.run(_fill(site))
    _say(f"{ROWS:,} rows of the audit written in {time.perf_counter() - began:.0f} s")
    rows = _pages(site, first, last)
    rows.append(_log_ins(site))
    rows.append(_verified(site))
    return rows


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _make_users(site: ConsoleSite) -> None:
    headers = {"authorization": "token " + site.env["CELLAR_COMMANDS_TOKEN"]}
    names = [f"user{number}" for number in range(USERS)]
    with httpx.Client(base_url=f"{site.url}/hub/api", headers=headers, timeout=120) as hub:
        for start in range(0, USERS, 500):
            hub.post("/users", json={"usernames": names[start : start + 500]}).raise_for_status()


async def _fill(site: ConsoleSite) -> tuple[float, float]:
    """Usage and audit; when the audit begins and ends, in seconds of the epoch."""
    pick = random.Random(1)
    folder = Path(site.books["CELLAR_DATA"])
    store = Store.open(f"sqlite:///{folder}/cellar.db", wait=60)
    today = datetime.datetime.now(datetime.UTC).date()
    for back in range(DAYS):
        day = today - datetime.timedelta(days=back)
        rows = [
            {
                "user_name": f"user{number}",
                "day": day,
                "model": pick.choice(MODELS),
                "prompt": pick.randrange(200_000),
                "completion": pick.randrange(20_000),
                "cached": 0,
                "requests": pick.randrange(1, 90),
                "estimated": 0,
            }
            for number in range(USERS)
        ]
        await store.write(lambda tx, rows=rows: tx.execute(usage.insert(), rows))
    keys = Keys.open(folder / "audit-keys")
    end = time.time()
    begin = end - DAYS * 86_400
    seq, mac = 0, ""
    for start in range(0, ROWS // 2, CHUNK // 2):
        links: list[dict[str, Any]] = []
        for number in range(start, min(start + CHUNK // 2, ROWS // 2)):
            for row in _request(pick, number, begin + number * (end - begin) / (ROWS / 2)):
                link = next_link(keys, "bench", seq, mac, row_to_record(row))
                seq, mac = link.seq, link.mac
                links.append(msgspec.structs.asdict(link) | msgspec.structs.asdict(columns_of(row)))
        await store.write(lambda tx, links=links: tx.execute(audit.insert(), links))
        if start % 500_000 == 0:
            _say(f"{2 * start:,} rows")
    await store.close()
    return begin, end


def _request(pick: random.Random, number: int, at: float) -> tuple[Opened, Settled]:
    """The two rows of one, as the gateway writes them."""
    request, user, model = f"{number:032x}", f"user{pick.randrange(USERS)}", pick.choice(MODELS)
    opened = Opened(request_id=request, at=at, user=user, groups=("staff",), model=model, kind="chat", mode="ask")
    return opened, Settled(
        request_id=request, at=at + 2, status=200, outcome="complete", prompt=900, completion=200, ttft_ms=150
    )


def _pages(site: ConsoleSite, first: float, last: float) -> list[Row]:
    def local(at: float) -> str:
        return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M")

    half = (first + last) / 2
    times = {"week": local(last - 7 * 86_400), "half": local(half), "later": local(half + 3600)}
    browser = site.browser("admin")
    taken: dict[str, list[float]] = {name: [] for name in PAGES}
    for path in PAGES.values():  # what the first look costs is not what is measured
        browser.get(f"/services/console/{path.format(**times)}").raise_for_status()
    for _ in range(TIMES):
        for name, path in PAGES.items():
            began = time.perf_counter()
            browser.get(f"/services/console/{path.format(**times)}").raise_for_status()
            taken[name].append(time.perf_counter() - began)
    browser.close()
    return [
        Row(f"{name}, p95", percentile(each, 95) * 1e3, "ms", BOUND, f"p50 {percentile(each, 50) * 1e3:.0f} ms")
        for name, each in taken.items()
    ]


def _log_ins(site: ConsoleSite, count: int = 20) -> Row:
    """At the hub's page, one after another, by people with an account."""
    for number in range(count):
        site.add(f"guest{number}")
    taken = []
    for number in range(count):
        began = time.perf_counter()
        browser, status = site.log_in(f"guest{number}", PASSWORD)
        browser.close()
        assert status == 302
        taken.append(time.perf_counter() - began)
    what, detail = "log-ins, page and password, one after another", f"p95 {percentile(taken, 95) * 1e3:.0f} ms"
    return Row(what, count / sum(taken), "a second", None, detail)


def _verified(site: ConsoleSite) -> Row:
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("cellar-hub")), "audit", "verify"]
    done = subprocess.run(command, env=site.env | site.books, capture_output=True, text=True)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    return Row(f"audit verify of {ROWS:,} rows", took, "s", None, f"{ROWS / took:,.0f} rows a second")
