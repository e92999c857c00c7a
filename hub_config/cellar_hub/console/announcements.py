"""Announcements: what is said to everybody, in the panel and on the hub's pages, and from when until when."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cellar.settings import SettingsError
from tornado.web import HTTPError

from cellar_hub.policyedit import PutAnnouncement, RemoveAnnouncement, change

from .policy import NO_FILE, PolicyPage
from .rules import said

LEVELS: tuple[Literal["info", "warning", "error"], ...] = ("info", "warning", "error")
LONGEST = 1000
LONGEST_SHOWN = 100_000
"""Characters of a text that was too long, as its form is shown again."""


class AnnouncementsPage(PolicyPage):
    nav = "announcements"

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        typed = self._sent()
        try:
            now = await self.revision()
            if now is None:
                raise HTTPError(409, NO_FILE)
            wanted = self._put(typed) if typed else RemoveAnnouncement(id=self.field("id"))
            text = change(now.text, wanted)
        except (ValueError, SettingsError) as problem:
            why = self.said_of(problem) if isinstance(problem, SettingsError) else str(problem)
            self.error = self.words("Not saved: {problem}", problem=why)
            self.set_status(400)
            return await self._show(typed)
        if not await self.save(text, self.field("based_on"), f"announcements.{wanted.id}", said([wanted])):
            return await self._show(typed)
        gone = isinstance(wanted, RemoveAnnouncement)
        return self.done("announcements", "It is taken down." if gone else "Saved. It is shown at the times you gave.")

    async def again(self, *path: str) -> None:
        await self._show(self._sent())

    def _sent(self) -> dict[str, str] | None:
        """The form as it was sent; None where it was the button that takes one down."""
        if self.field("action") == "remove":
            return None
        names = ("id", "level", "text", "starts", "ends", "audience", "stays")
        return {name: self.field(name, LONGEST_SHOWN) for name in names}

    def _put(self, typed: dict[str, str]) -> PutAnnouncement:
        """Raises ValueError, in words."""
        if not typed["text"].strip():
            raise ValueError(self.words("an announcement needs a text"))
        if len(typed["text"]) > LONGEST:
            raise ValueError(self.words("an announcement has at most {n} characters", n=LONGEST))
        starts, ends = self._moment(typed["starts"]), self._moment(typed["ends"])
        if starts and ends and ends <= starts:
            raise ValueError(self.words("it would end before it begins"))
        return PutAnnouncement(
            id=typed["id"] or secrets.token_hex(4),
            level=next((each for each in LEVELS if each == typed["level"]), "info"),
            text=typed["text"].strip(),
            audience="all" if typed["audience"] == "all" else "users",
            dismissible=not typed["stays"],
            starts=starts,
            ends=ends,
        )

    def _moment(self, text: str) -> datetime | None:
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = datetime.min
        if not 2000 <= found.year < 9999:  # beyond, a time has no counterpart in some zones
            raise ValueError(self.words("{text} is no time", text=text[:40]))
        return found if found.tzinfo else found.replace(tzinfo=self.desk.settings.time_zone)

    async def _show(self, typed: dict[str, str] | None = None) -> None:
        revision = await self.shown_revision()
        now = datetime.now(self.desk.settings.time_zone)
        zone = self.desk.settings.time_zone
        rows: list[dict[str, Any]] = []
        for each in self.desk.policy_file.current().announcements:
            when = "up" if each.counts(now) else "ended" if each.ends is not None and each.ends <= now else "waits"
            local = {
                name: "" if moment is None else _local(moment, zone).strftime("%Y-%m-%dT%H:%M")
                for name, moment in (("starts", each.starts), ("ends", each.ends))
            }
            rows.append({"said": each, "when": when, **local})
        edited = next((row for row in rows if row["said"].id == self.field("edit")), None)
        self.show(
            "announcements.html",
            rows=rows,
            typed=typed or _typed(edited),
            longest=LONGEST,
            based_on=self.based_on(revision),
            locked=await self.locked(),
        )


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    """As it is written where it is too near the end of all times for another zone."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


def _typed(row: dict[str, Any] | None) -> dict[str, str]:
    """A row as the form has it; a new one's form when there is none."""
    if row is None:
        return {"id": "", "level": "info", "text": "", "starts": "", "ends": "", "audience": "users", "stays": ""}
    said = row["said"]
    return {
        "id": said.id,
        "level": said.level,
        "text": said.text,
        "starts": row["starts"],
        "ends": row["ends"],
        "audience": said.audience,
        "stays": "" if said.dismissible else "yes",
    }
