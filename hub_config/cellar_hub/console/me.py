"""A user's own page: what they have used and may use, their workspace, their tokens; and the language of the pages."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from sqlalchemy import Connection
from tornado.web import HTTPError

from cellar_hub.usage.ledger import UsageNow, usage_now
from cellar_hub.usage.report import Span, Sum, usage_by

from .hub import HubSays, user_path
from .overview import DAYS, day_bars
from .page import Page
from .rights import models_are_away, models_of
from .tokens import shown_tokens
from .users import server_of
from .words import COOKIE, LANGUAGES

YEAR = 365 * 24 * 3600


class MePage(Page):
    needs_admin = False
    nav = "me"

    async def get(self) -> None:
        await self._show()

    async def _show(self) -> None:
        user, tokens = await asyncio.gather(
            self.ask_hub("GET", user_path(self.name)), self.ask_hub("GET", user_path(self.name, "tokens"))
        )
        policy = self.desk.policy_file.current()
        allowed = policy.for_(self.name, user.get("groups", ()))
        month = Span(first=self.desk.today - timedelta(days=DAYS - 1), last=self.desk.today, user=self.name)

        def look(conn: Connection) -> tuple[UsageNow, list[Sum]]:
            now = usage_now(conn, self.name, allowed.quota, time.time(), self.desk.settings.time_zone)
            return now, usage_by(conn, ["day"], month)

        usage, by_day = await self.desk.read(look)
        state = await self.desk.live.known()
        self.show(
            "me.html",
            user=user,
            server=server_of(user),
            tokens=shown_tokens(tokens.get("api_tokens", ()), self.current_user or {}),
            allowed=allowed,
            models=models_of(state, allowed, user.get("groups", ())),
            away=models_are_away(state),
            usage=usage,
            chart=day_bars(by_day, month, self.words),
        )

    async def post(self) -> None:
        action, path = self.field("action"), user_path(self.name)
        names: dict[str, str] = {}
        try:
            if action == "start":
                async with self.desk.watching(self.name, "workspace.start", self.name):
                    await self.ask_hub("POST", path + "/server")
                message = "Your workspace is starting."
            elif action == "stop":
                async with self.desk.watching(self.name, "workspace.stop", self.name):
                    await self.ask_hub("DELETE", path + "/server")
                message = "Your workspace is stopping."
            elif action == "revoke":
                message, names = await self.revoke_tokens(self.name)
            else:
                raise HTTPError(400, "There is no such action.")
        except HubSays as says:
            self.error = self.refusal(says)
            self.set_status(409)
            await self._show()
        else:
            self.done("me", message, **names)


class LanguagePage(Page):
    """Keeps the language that somebody has chosen."""

    needs_admin = False

    async def post(self) -> None:
        language = self.field("language")
        if language in LANGUAGES:
            self.set_cookie(COOKIE, language, path=self.settings["base"], max_age=YEAR, httponly=True, samesite="Lax")
        back = self.field("back", 2000)
        base = self.settings["base"]
        ours = back.startswith(base) and back.isprintable() and "\\" not in back
        self.redirect(back if ours else base, status=303)
