"""What an administrator sees first: who works now, how the model servers are, what has been used."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from cellar_hub.audit.entries import Entry, Search, look_through
from cellar_hub.usage.report import Span, Sum, usage_by, usage_total, users_count

from .charts import Bar
from .live import Sample, first_tokens, rates
from .page import Page
from .words import Words

DAYS = 30
MOST_USERS = 8
BACKUPS = Search(subject="", action="site.backup")  # few events are about nobody: their index is short
MOST_LOOKED = 1000


class StartPage(Page):
    """The service's own address."""

    needs_admin = False

    async def get(self) -> None:
        self.redirect(self.settings["base"] + ("overview" if self.is_admin else "me"))


class OverviewPage(Page):
    nav = "overview"

    async def get(self) -> None:
        today = self.desk.today
        month = Span(first=today - timedelta(days=DAYS - 1), last=today)
        day = Span(first=today, last=today)

        def look(conn: Connection) -> tuple[list[Sum], list[Sum], Sum, int, list[Entry]]:
            return (
                usage_by(conn, ["day"], month),
                usage_by(conn, ["user"], day, largest_first=True, limit=MOST_USERS),
                usage_total(conn, day),
                users_count(conn, day),
                look_through(conn, BACKUPS, limit=1, most=MOST_LOOKED).entries,
            )

        by_day, by_user, total, users, backups = await self.desk.read(look)
        signups = await self.ask_hub("GET", "/cellar/accounts", state="waiting", limit=1)
        self.show(
            "overview.html",
            **await numbers(self),
            chart=day_bars(by_day, month, self.words),
            by_user=by_user,
            total=total,
            users_today=users,
            signups=signups["total"],
            backup=backups[0].row if backups else None,
        )


class LiveNumbers(Page):
    """The part of the overview that is asked for again and again."""

    async def get(self) -> None:
        self.show("live.html", **await numbers(self))


async def numbers(page: Page) -> dict[str, Any]:
    """Of this moment, for the two above."""
    live = page.desk.live
    newest = await live.now()
    active = (await page.desk.hub.users(page.token, offset=0, limit=1, state="active"))[1]
    samples = list(live.samples)
    return {
        "sample": newest,
        "state": newest.state,
        "rates": rates(samples, time.time()),
        "active": active,
        "running": _series(samples, "running"),
        "waiting": _series(samples, "waiting"),
        "kv_cache": _kv_cache(samples),
        "first_tokens": first_tokens(samples),
    }


def _series(samples: list[Sample], name: str) -> list[float | None]:
    return [
        None if each.state is None else float(sum(getattr(server, name) for server in each.state.servers))
        for each in samples
    ]


def _kv_cache(samples: list[Sample]) -> list[float | None]:
    """The fullest server's."""
    return [
        None
        if each.state is None
        else max(
            (server.values["kv_cache"] for server in each.state.servers if "kv_cache" in server.values), default=None
        )
        for each in samples
    ]


def day_bars(sums: list[Sum], span: Span, words: Words) -> list[Bar]:
    """One for each day of the span, also for those without a row: prompt and answer, one on the other."""
    found = {each.day: each for each in sums}
    days = [span.first + timedelta(days=number) for number in range((span.last - span.first).days + 1)]
    bars = []
    for day in days:
        of_day = found.get(day, Sum())
        title = words(
            "{day}: {prompt} prompt, {completion} answer, {requests} requests",
            day=day.isoformat(),
            prompt=words.number(of_day.prompt),
            completion=words.number(of_day.completion),
            requests=words.number(of_day.requests),
        )
        bars.append(Bar(f"{day.month}/{day.day}", (float(of_day.prompt), float(of_day.completion)), title))
    return bars
