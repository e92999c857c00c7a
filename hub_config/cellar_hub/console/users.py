"""Users: who they are, what they have used and may use, whether their workspace runs; and what is done about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection
from tornado.web import HTTPError

from cellar_hub.accounts import Unusable, Whose, parse_name
from cellar_hub.audit.entries import Entry, Search, find_entries
from cellar_hub.hubapi import HubRefused
from cellar_hub.people import Added, Done, Doubt, People
from cellar_hub.policy import Allowed
from cellar_hub.usage.ledger import UsageNow, usage_now
from cellar_hub.usage.report import Span, Sum, usage_by

from .deeds import with_people
from .hub import GROUPS, HubSays, account_path, epoch, group_path, user_path
from .overview import DAYS, day_bars
from .page import Page
from .policy import NOT_BY_HAND, PolicyPage
from .rights import models_are_away, models_of
from .rules import RulesForm
from .tokens import shown_tokens

ROWS = 50
LISTED = ("waiting", "blocked")
"""States by which accounts are listed, whether the hub has such a user or not."""
RECENT = 12
PASSWORD = "{name} may log in. The password, which is shown only now:"
T = TypeVar("T")


class UsersPage(Page):
    nav = "users"

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        """A new account."""
        typed, admin, whose = self.field("name"), bool(self.field("admin")), parse_whose(self.field("files"))
        try:
            name = parse_name(typed)
            added = await with_people(self.desk, self.name, self.token, lambda people: _new(people, name, admin, whose))
        except (HubRefused, Unusable) as says:
            asks = whose is None and getattr(says, "status", 0) == 409
            if asks:
                self.error = self.words("There are files of an earlier user {name}: whose are they?", name=name)
            else:
                self.error = self.refusal(says)
            self.set_status(409)
            return await self._show(typed, asks=asks, admin=admin)
        if added is None:
            self.error = self.words("{name} has an account already.", name=name)
            self.set_status(409)
            return await self._show(typed)
        if not added.password:
            return self.done(user_path(added.name)[1:], "{name} may log in.", name=added.name)
        self.told, self.secret = self.words(PASSWORD, name=added.name), added.password
        return await self._show()

    async def again(self, *path: str) -> None:
        await self._show(self.field("name"), admin=bool(self.field("admin")))

    async def _show(self, typed: str = "", asks: bool = False, admin: bool = False) -> None:
        """`asks`: whose the files are that an earlier user of that name has left."""
        part, state, number = self.field("q", 64).strip(), self.field("state"), self.number_field("page")
        waiting, blocked, found = await asyncio.gather(
            self._accounts(state="waiting", limit=1),
            self._accounts(state="blocked", limit=1),
            self._found(part, state, number),
        )
        users, total = found
        names = [each["name"] for each in users]
        known = users
        if names and state not in LISTED:
            known = (await self._accounts(name=names, limit=len(names)))["accounts"]
        states = {each["name"]: each["state"] for each in known}
        month = Span(first=self.desk.today.replace(day=1), last=self.desk.today)
        sums: list[Sum] = []
        if names:
            sums = await self.desk.read(lambda conn: usage_by(conn, ["user"], month, users=names))
        used = {each.user: each for each in sums}
        policy = self.desk.policy_file.current()
        rows = [
            {
                "user": each,
                "state": states.get(each["name"], "none"),
                "month": used.get(each["name"], Sum()).tokens,
                "limit": policy.for_(each["name"], each.get("groups", ())).quota.per_month,
                "server": server_of(each),
                "active_at": epoch(each.get("last_activity")),
            }
            for each in users
        ]
        self.show(
            "users.html",
            rows=rows,
            total=total,
            part=part,
            state=state,
            page=number,
            size=ROWS,
            waiting=waiting["total"],
            blocked=blocked["total"],
            kind=waiting["kind"],
            typed=typed,
            asks=asks,
            admin=admin,
            by_account=state in LISTED,
            since=any(each.get("since") for each in users),
            notes=any(each.get("note") for each in users),
        )

    async def _accounts(self, **asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.ask_hub("GET", "/cellar/accounts", **asked)
        return found

    async def _found(self, part: str, state: str, number: int) -> tuple[list[dict[str, Any]], int]:
        if state in LISTED:  # who waits is no user of the hub yet
            found = await self._accounts(state=state, name_filter=part, offset=number * ROWS, limit=ROWS)
            return found["accounts"], int(found["total"])
        running = "active" if state == "running" else ""
        return await self.desk.hub.users(self.token, offset=number * ROWS, limit=ROWS, part=part, state=running)


class UserPage(PolicyPage):
    nav = "users"

    async def get(self, name: str) -> None:
        await self._show(name)

    async def _show(self, name: str, form: RulesForm | None = None) -> None:
        account, user, tokens, groups, accounts = await asyncio.gather(
            self._or_none(account_path(name)),
            self._or_none(user_path(name)),
            self._or_none(user_path(name, "tokens")),
            self.ask_hub("GET", GROUPS),
            self.ask_hub("GET", "/cellar/accounts", limit=1),
        )
        if account is None and user is None:
            raise HTTPError(404)
        mine = sorted((user or {}).get("groups", ()))
        policy = self.desk.policy_file.current()
        allowed = policy.for_(name, mine)
        now, recent, by_day, by_model = await self._books(name, allowed)
        rules = await self.rules(f"users.{name}", policy.for_("", mine), form)
        self.show(
            "user.html",
            name=name,
            account=account,
            kind=accounts["kind"],
            user=user,
            server=server_of(user or {}),
            tokens=shown_tokens((tokens or {}).get("api_tokens", ()), self.current_user or {}),
            groups=sorted(each["name"] for each in groups if each["name"] not in mine),
            managed_by=self.managed_by(await self.desk.facts.now()),
            mine=mine,
            allowed=allowed,
            models=models_of(self.desk.live.last, allowed, mine),
            away=models_are_away(self.desk.live.last),
            usage=now,
            recent=recent,
            chart=day_bars(by_day, self._month, self.words),
            by_model=by_model,
            **rules,
        )

    async def post(self, name: str) -> None:
        action = self.field("action")
        if action == "rules":
            saved, form = await self.save_rules(f"users.{name}", self.field("based_on"))
            if saved:
                return self.done(user_path(name)[1:], "Saved. It counts within seconds.")
            return await self._show(name, form)
        does = {
            "start": self._start,
            "stop": self._stop,
            "join": self._join,
            "leave": self._leave,
            "revoke": self._revoke,
            "approve": self._approve,
            "unblock": self._unblock,
            "block": self._block,
            "promote": self._promote,
            "demote": self._demote,
            "remove": self._remove,
            "password": self._password,
            "files": self._files,
        }.get(action)
        if does is None:
            raise HTTPError(400, "There is no such action.")
        if action in ("join", "leave") and self.managed_by(await self.desk.facts.now()):
            self.error = self.words(NOT_BY_HAND)
            self.set_status(409)
            return await self._show(name)
        try:
            message, names = await does(name)
        except (HubSays, HubRefused, Unusable) as says:
            self.error = self.refusal(says)
            self.set_status(409)
            return await self._show(name)
        if action == "password":  # no cookie keeps it
            self.told, self.secret = self.words(message, name=name), names["password"]
            return await self._show(name)
        where = "users" if action == "remove" else user_path(name)[1:]
        if self.field("from") in LISTED:  # the list in which its button stood
            where = f"users?state={self.field('from')}"
        return self.done(where, message, **{"name": name, **names})

    async def again(self, *path: str) -> None:
        await self._show(path[0], self.form_sent() if self.field("action") == "rules" else None)

    # -- what is done -----------------------------------------------------------------------------------------------

    async def _start(self, name: str) -> tuple[str, dict[str, str]]:
        async with self.desk.watching(self.name, "workspace.start", name):
            await self.ask_hub("POST", user_path(name, "server"))
        return "The workspace of {name} is starting.", {}

    async def _stop(self, name: str) -> tuple[str, dict[str, str]]:
        async with self.desk.watching(self.name, "workspace.stop", name):
            await self.ask_hub("DELETE", user_path(name, "server"))
        return "The workspace of {name} is stopping.", {}

    async def _join(self, name: str) -> tuple[str, dict[str, str]]:
        group = self.field("group")
        async with self.desk.watching(self.name, "group.join", name, {"group": group}):
            await self.ask_hub("POST", group_path(group, "users"), {"users": [name]})
        return "{name} is in the group now.", {}

    async def _leave(self, name: str) -> tuple[str, dict[str, str]]:
        group = self.field("group")
        async with self.desk.watching(self.name, "group.leave", name, {"group": group}):
            await self.ask_hub("DELETE", group_path(group, "users"), {"users": [name]})
        return "{name} is in the group no longer.", {}

    async def _revoke(self, name: str) -> tuple[str, dict[str, str]]:
        return await self.revoke_tokens(name)

    async def _approve(self, name: str) -> tuple[str, dict[str, str]]:
        await self._people(lambda people: people.approve(name))
        return "{name} may log in.", {}

    async def _unblock(self, name: str) -> tuple[str, dict[str, str]]:
        await self._people(lambda people: people.unblock(name))
        return "{name} may log in again.", {}

    async def _block(self, name: str) -> tuple[str, dict[str, str]]:
        done = await self._people(lambda people: people.block(name))
        return "{name} is blocked: {done}.", {"done": self._said(done)}

    async def _promote(self, name: str) -> tuple[str, dict[str, str]]:
        await self._people(lambda people: people.promote(name))
        return "{name} is an administrator, here from their next log-in on.", {}

    async def _demote(self, name: str) -> tuple[str, dict[str, str]]:
        """The hub refuses it of the last one."""
        if name == self.name:
            raise Unusable(self.words("another administrator has to remove your rights"))
        self._said(await self._people(lambda people: people.demote(name)))
        return "{name} is an administrator no longer.", {}

    async def _remove(self, name: str) -> tuple[str, dict[str, str]]:
        account = await self._or_none(account_path(name))
        if account is not None and account["state"] == "allowed":
            raise Unusable(self.words("block {name} first", name=name))
        self._said(await self._people(lambda people: people.remove(name)))
        return "The account of {name} is gone.", {}

    async def _password(self, name: str) -> tuple[str, dict[str, str]]:
        """A new one that the hub makes: shown once, to be handed over."""
        added = await self._people(lambda people: people.add(name))
        return PASSWORD, {"password": added.password}

    async def _files(self, name: str) -> tuple[str, dict[str, str]]:
        """Whose those are that an earlier user of the name has left."""
        whose = parse_whose(self.field("files"))
        if whose is None:
            raise HTTPError(400)
        await self._people(lambda people: people.settle(name, whose))
        message = "The files are those of {name} now." if whose == "theirs" else "{name} begins without files."
        return message, {}

    def _said(self, done: list[str]) -> str:
        """What was done, in the reader's language; what nobody has confirmed goes to `doubt`."""

        def said(each: str) -> str:
            if not isinstance(each, Done):
                return each
            silent = self.words("no answer")
            names = {
                key: silent if isinstance(value, HubRefused) and value.status == 0 else value
                for key, value in each.names.items()
            }
            return self.words(each.text, **names)

        self.doubt = ", ".join(said(each) for each in done if isinstance(each, Doubt))
        return ", ".join(said(each) for each in done if not isinstance(each, Doubt))

    async def _people(self, work: Callable[[People], T]) -> T:
        return await with_people(self.desk, self.name, self.token, work)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _month(self) -> Span:
        return Span(first=self.desk.today - timedelta(days=DAYS - 1), last=self.desk.today)

    async def _books(self, name: str, allowed: Allowed) -> tuple[UsageNow, list[Entry], list[Sum], list[Sum]]:
        span = Span(first=self._month.first, last=self._month.last, user=name)

        def look(conn: Connection) -> tuple[UsageNow, list[Entry], list[Sum], list[Sum]]:
            did = find_entries(conn, Search(user=name), limit=RECENT)
            befell = find_entries(conn, Search(subject=name), limit=RECENT)
            seen = {entry.place: entry for entry in (*did, *befell)}
            recent = sorted(seen.values(), key=lambda entry: entry.place.at, reverse=True)[:RECENT]
            now = usage_now(conn, name, allowed.quota, time.time(), self.desk.settings.time_zone)
            return now, recent, usage_by(conn, ["day"], span), usage_by(conn, ["model"], span, largest_first=True)

        return await self.desk.read(look)

    async def _or_none(self, path: str) -> Any:
        try:
            return await self.ask_hub("GET", path)
        except HubSays as says:
            if says.status == 404:
                return None
            raise


def parse_whose(value: str) -> Whose | None:
    return "theirs" if value == "theirs" else "none" if value == "none" else None


def _new(people: People, name: str, admin: bool, whose: Whose | None) -> Added | None:
    """None when there is one of that name: its owner would lose their password."""
    return None if people.account(name) is not None else people.add(name, admin=admin, files=whose)


def server_of(user: dict[str, Any]) -> dict[str, Any] | None:
    """A user's only workspace, as the hub tells of it: None when there is none."""
    servers: dict[str, dict[str, Any]] = user.get("servers") or {}
    return servers.get("")
