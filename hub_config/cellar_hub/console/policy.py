"""The policy as pages: a form for everybody's, a group's and a person's table, the file itself, what it was before."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cellar.settings import SettingsError
from tornado.web import HTTPError

from cellar_hub.policy import NO_POLICY, Allowed, read_toml
from cellar_hub.policybook import GONE, Conflict, PolicyBook, Revision
from cellar_hub.policyedit import change
from cellar_hub.policyfile import check_text
from cellar_hub.store import StoreDown

from .facts import Facts
from .page import Page
from .rules import NotANumber, ReasonAlone, RulesForm, Unclear, changes_of, form_of, form_sent, said
from .terms import POLICY_NAMES

LONGEST_TEXT = 4 * 1024 * 1024
LONGEST_TABLE = 100_000
BROKEN = "The policy file cannot be read, and the one before it counts. {problem}"
NOT_BY_HAND = "Who is in which group is not decided here: each log-in would undo it."
NO_FILE = "This site has no policy file: CELLAR_POLICY is not set."
SHOWN = 50
"""Revisions in the list."""


class PolicyPage(Page):
    """Pages that show the policy and change it."""

    nav = "groups"
    is_late = False
    """Whether somebody else has saved meanwhile."""

    @property
    def book(self) -> PolicyBook:
        return self.desk.policy_book

    async def revision(self) -> Revision | None:
        """What is there now; None when there is no file. Raises SettingsError when it cannot be read."""
        if self.desk.settings.policy is None:
            return None
        return await asyncio.to_thread(self.book.read)

    async def shown_revision(self) -> Revision | None:
        """The same for a page that is shown all the same: `error` then says why there is none."""
        try:
            return await self.revision()
        except SettingsError as problem:
            self.error = self.error or self.words(BROKEN, problem=self.said_of(problem))
            return None

    async def locked(self) -> str:
        """Why nothing can be saved here, in the reader's language; empty when it can."""
        why = await asyncio.to_thread(lambda: self.book.writable)
        if not why:
            return ""
        if self.desk.settings.policy is None:
            return self.words(NO_FILE)
        if not self.book.path.is_file():
            return self.words("The policy file is gone. What it said last counts until the services are started anew.")
        return self.words("The policy file of this site is managed elsewhere, and can only be read here.")

    async def save(self, text: str, based_on: str, subject: str, detail: Mapping[str, str | int]) -> bool:
        """Whether it is the policy now; else `error` says why not. It is in the audit before it counts."""
        try:
            compared = await asyncio.to_thread(self.book.compared, text)
            await self.desk.record(self.name, "policy.change", subject, {**compared, **detail})
            await asyncio.to_thread(self.book.save, text, based_on=based_on, by=self.name)
        except Conflict as conflict:
            self.is_late = True
            self.error = self.words(
                "{who} has changed the policy meanwhile. Nothing of yours is saved yet: what you typed stands below. "
                "Look at what is there now, and save again.",
                who=conflict.now.by or self.words("Somebody"),
            )
        except SettingsError as problem:
            self.error = self.words("Not saved: {problem}", problem=self.said_of(problem))
        except StoreDown:
            self.error = self.words("Cellar's database does not answer. Please try again in a moment.")
            self.set_status(503)
            return False
        else:
            self.desk.policy_file.look()
            return True
        with suppress(StoreDown):
            await self.desk.record(self.name, "policy.change.failed", subject)
        self.set_status(409)
        return False

    def based_on(self, now: Revision | None) -> str:
        """On which revision the form stands that is shown. A refused one stands on what its writer has seen, unless
        they were just told that there is something newer."""
        sent = "" if self.is_late else self.get_body_argument("based_on", "")[:255]
        return sent or (now.id if now else "")

    async def save_rules(self, table: str, based_on: str) -> tuple[bool, RulesForm]:
        """What the form of a table says. (saved, the form as it was sent)."""
        form = self.form_sent()
        try:
            now = await self.revision()
            if now is None:
                raise HTTPError(409, NO_FILE)
            changes = changes_of(table, table_in(now.text, table), form)
            text = change(now.text, *changes)
        except NotANumber as problem:
            self.error = self.words("{field} must be a whole number.", field=self.words(POLICY_NAMES[problem.name]))
            self.set_status(400)
            return False, form
        except ReasonAlone as problem:
            field = self.words(POLICY_NAMES[problem.name])
            self.error = self.words("{field}: a reason is read only beside on or off. Choose one.", field=field)
            self.set_status(400)
            return False, form
        except SettingsError as problem:
            self.error = self.words("Not saved: {problem}", problem=self.said_of(problem))
            self.set_status(409)
            return False, form
        if not changes:
            return True, form
        if await self.save(text, based_on, table, said(changes)):
            return True, form
        return False, await self._over_theirs(table, form) if self.is_late else form

    def form_sent(self) -> RulesForm:
        return form_sent(lambda name: self.field(name, 2000), self.get_arguments)

    def managed_by(self, facts: Facts | None) -> str:
        """Who decides which groups people are in, in the reader's language; empty: whoever may do it here."""
        if facts is None or facts.managed_groups is None:
            return ""
        return {
            "ldap": self.words("the directory (LDAP)"),
            "oidc": self.words("the log-in provider (OpenID Connect)"),
            "pam": self.words("the groups of the hub's machine (PAM)"),
        }.get(facts.login, facts.login)

    def said_of(self, problem: SettingsError) -> str:
        """In the reader's language where the words are known."""
        code = self.words.phrase(problem.code)
        return str(problem) if code == problem.code else f"{self.words.phrase(problem.name)}: {code}"

    async def _over_theirs(self, table: str, form: RulesForm) -> RulesForm:
        """What was typed, over what somebody else has saved meanwhile: sent again, it takes nothing of theirs back."""
        now = await self.revision()
        try:
            seen = json.loads(self.field("seen", LONGEST_TABLE))
            typed = changes_of(table, seen, form)
            return form_of(table_in(change(now.text, *typed), table)) if now else form
        except (SettingsError, Unclear, ValueError, TypeError, KeyError, AttributeError):
            return form  # whoever sent it has no page of ours

    async def rules(self, table: str, inherited: Allowed, form: RulesForm | None = None) -> dict[str, Any]:
        """What the form's template needs. `inherited`: what counts where this table says nothing."""
        try:
            now, locked = await self.revision(), await self.locked()
            said_here = table_in(now.text, table) if now else {}
        except SettingsError as problem:  # whoever comes to block somebody has to be able to
            now, said_here = None, {}
            locked = self.words(BROKEN, problem=self.said_of(problem))
        policy = self.desk.policy_file.current()
        state = await self.desk.live.known()
        facts = await self.desk.facts.now()
        sent_on = form is not None and not self.is_late
        models = sorted({model.id for server in state.servers for model in server.models} if state else ())
        return {
            "form": form or form_of(said_here),
            "labels": POLICY_NAMES,
            "alone": table.startswith("users."),
            "seen": self.get_body_argument("seen", "")[:LONGEST_TABLE] if sent_on else json.dumps(said_here),
            "inherited": {
                "tokens_per_day": inherited.quota.per_day,
                "tokens_per_month": inherited.quota.per_month,
                "requests_per_minute": inherited.requests_per_minute,
                "max_tokens": inherited.max_tokens,
                "max_running": inherited.max_running,
                "max_waiting": inherited.max_waiting,
            },
            "based_on": self.based_on(now),
            "locked": locked,
            "choices": {
                "models": models,
                "modes": ["ask", "edit", "agent"],
                "destinations": [each.key for each in policy.destinations],
                "profiles": [each.name for each in facts.profiles] if facts else sorted(policy.profiles),
            },
            "profiles": None if facts is None else {each.name: each for each in facts.profiles},
        }


def table_in(text: str, table: str) -> dict[str, Any]:
    """`default`, `groups.NAME` or `users.NAME` of a policy's text; empty when it says nothing. Raises SettingsError."""
    values: Any = read_toml(text, "CELLAR_POLICY")
    kind, _, name = table.partition(".")
    found = values.get(kind, {})
    table_found: dict[str, Any] = found.get(name, {}) if name else found
    return table_found


class DefaultPage(PolicyPage):
    """What everybody may."""

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        saved, form = await self.save_rules("default", self.field("based_on"))
        if saved:
            self.done("policy/default", "Saved. It counts within seconds.")
        else:
            await self._show(form)

    async def again(self, *path: str) -> None:
        await self._show(self.form_sent())

    async def _show(self, form: RulesForm | None = None) -> None:
        self.show("default.html", **await self.rules("default", NO_POLICY.for_("", ()), form))


class FilePage(PolicyPage):
    """The policy file as it is written, for whoever would rather type, and its history."""

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        text = self._sent()
        if len(text) > LONGEST_TEXT:
            raise HTTPError(413, "The policy file is too large.")
        if await self.save(text, self.field("based_on"), "file", {"lines": text.count("\n")}):
            self.done("policy", "Saved. It counts within seconds.")
        else:
            await self._show(text)

    async def again(self, *path: str) -> None:
        await self._show(self._sent())

    def _sent(self) -> str:
        return str(self.get_argument("text", "", strip=False)).replace("\r\n", "\n")

    async def _show(self, typed: str | None = None) -> None:
        now = await self.shown_revision()
        is_lost = await asyncio.to_thread(lambda: self.book.is_lost)
        if is_lost and not self.book.path.exists():
            self.error = ""  # `locked` says it
        is_good = now is not None and await asyncio.to_thread(self._is_good, now.text)
        self.show(
            "policy.html",
            now_there=now,
            is_good=is_good,
            based_on=self.based_on(now),
            text=typed if typed is not None else now.text if now else "",
            differs=_difference(now.text, typed) if now and typed is not None else (),
            history=(await asyncio.to_thread(self.book.history))[:SHOWN] if self.desk.settings.policy else [],
            is_lost=is_lost,
            locked=await self.locked(),
        )

    def _is_good(self, text: str) -> bool:
        """Else `error` says why not."""
        try:
            check_text(text, "CELLAR_POLICY")
        except SettingsError as problem:
            self.error = self.error or self.words(BROKEN, problem=self.said_of(problem))
            return False
        return True


class RevisionPage(PolicyPage):
    """One revision of the policy: what it changed, and going back to it."""

    async def get(self, number: str) -> None:
        history = await asyncio.to_thread(self.book.history) if self.desk.settings.policy else []
        place = next((place for place, each in enumerate(history) if each.id == number), None)
        if place is None:
            raise HTTPError(404)
        before = history[place + 1].text if place + 1 < len(history) else ""
        is_lost = await asyncio.to_thread(lambda: self.book.is_lost)
        now = history[0]
        self.show(
            "revision.html",
            revision=history[place],
            is_now=place == 0 and not is_lost,
            is_lost=is_lost,
            based_on=GONE if is_lost else now.id,
            differs=_difference(before, history[place].text),
            would_differ=[] if is_lost else _difference(now.text, history[place].text),
            locked="" if is_lost else await self.locked(),
        )

    async def post(self, number: str) -> None:
        """Back to it."""
        history = await asyncio.to_thread(self.book.history) if self.desk.settings.policy else []
        revision = next((each for each in history if each.id == number), None)
        if revision is None:
            raise HTTPError(404)
        if await self.save(revision.text, self.field("based_on"), "file", {"back_to": number}):
            self.done("policy", "The policy is again what it was then.")
        else:
            await self.get(number)


def _difference(before: str, after: str) -> list[tuple[str, str]]:
    """Lines of a unified difference, each with its sign."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return [(line[:1], line[1:]) for line in list(lines)[2:]]
