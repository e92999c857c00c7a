"""The audit: searched, paged by where the last row stood, and taken away as a file."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec

from cellar_hub.audit.entries import OPEN, Looked, Place, Search, look_through
from cellar_hub.audit.export import Format, export
from cellar_hub.audit.rows import Outcome

from .download import Download
from .page import Page
from .terms import TERMS
from .usage import PRESETS, preset_days

ROWS = 50
FIELDS = ("user", "model", "subject", "request_id", "action", "outcome")
TIMES = ("since", "until")
OUTCOMES = (*get_args(Outcome), OPEN)


def search_of(page: Page) -> Search:
    """What the form says; times are the site's."""
    zone = page.desk.settings.time_zone

    def at(name: str) -> float | None:
        try:
            found = datetime.fromisoformat(page.field(name))
        except ValueError:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()

    said: dict[str, Any] = {name: page.field(name) or None for name in FIELDS}
    return Search(since=at("since"), until=at("until"), events_only=page.field("kind") == "events", **said)


def place_to_text(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def text_to_place(text: str) -> Place | None:
    """None for what none of our pages has said, and no database could take."""
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(text), type=Place)
    except (ValueError, msgspec.DecodeError):
        return None
    return place if 0 <= place.seq < 2**63 and place.chain.isprintable() else None


class AuditPage(Page):
    nav = "audit"

    async def get(self) -> None:
        search = search_of(self)
        after = text_to_place(self.field("after", 500))
        found: Looked = await self.desk.read(lambda conn: look_through(conn, search, after=after, limit=ROWS))
        asked = {name: self.field(name) for name in (*FIELDS, *TIMES, "kind") if self.field(name)}
        self.show(
            "audit.html",
            entries=found.entries,
            looked=found.rows if found.go_on is not None and len(found.entries) < ROWS else 0,
            looked_to=found.go_on.at if found.go_on is not None else None,
            deeds=TERMS["deed"],
            outcomes=OUTCOMES,
            asked=asked,
            query=urlencode(asked),
            presets=self._presets(asked),
            timeless=urlencode({name: value for name, value in asked.items() if name not in TIMES}),
            only_events=search.events_only or bool(search.subject or search.action),
            after=place_to_text(found.go_on) if found.go_on is not None else "",
            is_first=after is None,
            verified=self.desk.verifier.last,
        )

    def _presets(self, asked: dict[str, str]) -> list[tuple[str, str, bool]]:
        """(text, query, whether it is what is shown): days, and whatever else was searched for."""
        today = self.desk.today
        found = []
        for key, text in PRESETS:
            first, last = preset_days(key, today) or (today, today)
            wanted = {"since": f"{first}T00:00"}
            if last < today:
                wanted["until"] = f"{last + timedelta(days=1)}T00:00"
            times = {name: asked[name] for name in TIMES if name in asked}
            rest = {name: value for name, value in asked.items() if name not in times}
            found.append((text, urlencode(rest | wanted), times == wanted))
        return found


class AuditVerify(Page):
    """Whether no row was changed, left out or cut off."""

    nav = "audit"

    async def get(self) -> None:
        """How far it is, for the page that waits for it."""
        self.show("verified.html", verified=self.desk.verifier.last)

    async def post(self) -> None:
        if not self.desk.verifier.running:
            await self.desk.record(self.name, "audit.verify")
            self.desk.verifier.start(self.name)
        self.redirect(self.settings["base"] + "audit", status=303)


class AuditExport(Download):
    """Everything that matches, oldest first; that it was taken stands in the audit before the first byte leaves."""

    async def get(self) -> None:
        search = search_of(self)
        form: Format = "jsonl" if self.field("form") == "jsonl" else "csv"
        asked = {name: str(value) for name, value in msgspec.structs.asdict(search).items() if value}
        await self.desk.record(self.name, "audit.export", form, asked)
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/jsonl"
        await self.send(lambda conn: export(conn, search, form), kind, f"audit-{self.desk.today}.{form}")
