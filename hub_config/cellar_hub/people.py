"""What administrators do to people's accounts: the same at the command line and on the pages, in the same order, with
the same words in the audit.

What lets somebody in stands in the audit before it is done, or is not done. Whoever must be kept out is kept out first,
and told of afterwards. Synchronous.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

from .accounts import Unusable, Whose
from .hubapi import HubApi, HubRefused

ACCOUNTS = "/cellar/accounts"
PAGE = 500  # accounts that are asked for at once
ROUNDS = 5  # of taking tokens away
log = logging.getLogger("cellar.people")


class Done(str):
    """A part of what was done: a line as the command line says it; `text` and `names`, of which it is made, for whoever
    says it in another language."""

    __slots__ = ("names", "text")
    text: str
    names: dict[str, object]

    def __new__(cls, text: str, /, **names: object) -> Self:
        made = super().__new__(cls, text.format(**names))
        made.text, made.names = text, names
        return made


class Doubt(Done):
    """What nobody has confirmed."""

    __slots__ = ()


class Unseen(HubRefused):
    """The audit cannot take it."""


class Witness(Protocol):
    """Who tells the audit, and knows who acts."""

    def tell(self, action: str, subject: str, detail: dict[str, str], patience: float | None = None) -> None:
        """Returns when it is durable. `patience` in seconds. Raises Unseen."""

    def watching(self, action: str, subject: str, **detail: str) -> AbstractContextManager[None]:
        """Tell it before it is done: nothing is done unseen. A failure is told after it. Raises Unseen."""


@dataclass(frozen=True)
class Added:
    """`password`: one that the hub made, to be told once; else empty. `was_there`: there was such an account before."""

    name: str
    password: str
    was_there: bool


class People:
    """`gateway`: its second port, which is told whose tokens are worthless. All methods raise HubRefused."""

    def __init__(self, hub: HubApi, gateway: HubApi, witness: Witness) -> None:
        self.hub, self.gateway, self.witness = hub, gateway, witness

    def add(self, name: str, password: str | None = None, admin: bool = False, files: Whose | None = None) -> Added:
        """An account that may log in; one that was there gets the new password, and becomes an administrator's if
        asked. Without a password the hub makes one, where passwords are the hub's. `files`: whose those are that an
        earlier user of the name has left; without it the hub refuses with status 409 where there are some."""
        was_there = self.account(name) is not None
        said: dict[str, str] = {"files": files} if files else {}
        with self.witness.watching("user.add", name, admin="yes" if admin else "no", **said):
            wanted = {"name": name, "admin": admin} | ({"password": password} if password else {}) | said
            made = self.hub.ask("POST", ACCOUNTS, wanted)
        return Added(str(made["name"]), str(made.get("password", "")), was_there)

    def approve(self, name: str) -> None:
        """Of somebody who signed up. Raises Unusable when nobody of that name waits."""
        found = self.account(name)
        if found is None or found["state"] != "waiting":
            raise Unusable(f"{name} does not wait for approval" + (f": {found['state']}" if found else ""))
        with self.witness.watching("user.approve", name):
            self._set(name, "allowed")

    def unblock(self, name: str) -> None:
        with self.witness.watching("user.unblock", name):
            self._set(name, "allowed")

    def settle(self, name: str, files: Whose) -> None:
        """Whose the files are that an earlier user of the name has left, of somebody who has an account already."""
        with self.witness.watching("user.files", name, files=files):
            self.hub.ask("PATCH", self._path(name), {"files": files})

    def block(self, name: str) -> list[str]:
        """Close the account, take every token away, stop the workspace; what was done."""
        self._set(name, "blocked")
        done: list[str] = [Done("may not log in any more")]
        try:
            return self._shut_out(name, done)
        except HubRefused as refused:
            done.append(str(refused))
            raise
        finally:
            self._tell("user.block", name, done)

    def promote(self, name: str) -> None:
        """Make an administrator of somebody who may log in."""
        with self.witness.watching("user.promote", name):
            self.hub.ask("PATCH", self._path(name), {"admin": True})

    def demote(self, name: str) -> list[str]:
        """An administrator no longer, from their next request on; what was done. The hub refuses it of the last one
        who may log in."""
        said = self.hub.ask("PATCH", self._path(name), {"admin": False})
        done: list[str] = [Done("no administrator any more")]
        if said["by_settings"]:
            done.append(Doubt("CELLAR_ADMINS names them, and makes them one again at their next log-in"))
        self._tell("user.demote", name, done)
        return done

    def remove(self, name: str) -> list[str]:
        """A sign-up that is turned down, or an account with all that the hub keeps of them; what was done. Their files
        stay for as long as the site keeps those of users who are gone."""
        with self.witness.watching("user.remove", name):
            self.hub.ask("DELETE", self._path(name))
        done: list[str] = [Done("removed")]
        self._revoke(name, done)
        return done

    def account(self, name: str) -> dict[str, Any] | None:
        """name, state, since, note, files."""
        try:
            found: dict[str, Any] = self.hub.ask("GET", self._path(name))
        except HubRefused as refused:
            if refused.status == 404:
                return None
            raise
        return found

    def accounts(self, state: str = "", name_filter: str = "", offset: int = 0, limit: int = 100) -> dict[str, Any]:
        """total, kind, accounts: some of them, by name."""
        query = urlencode({"state": state, "name_filter": name_filter, "offset": offset, "limit": limit})
        found: dict[str, Any] = self.hub.ask("GET", f"{ACCOUNTS}?{query}")
        return found

    def listed(self) -> list[dict[str, Any]]:
        """All users of the hub and all who have an account, by name: JupyterHub's model of them, with `account`: the
        state of their account, or None."""
        found: dict[str, dict[str, Any]] = {
            user["name"]: user | {"account": None, "note": ""} for user in self.hub.users()
        }
        for each in self._all_accounts():
            name = each["name"]
            found[name] = found.get(name, {"name": name}) | {"account": each["state"], "note": each["note"]}
        return [found[name] for name in sorted(found)]

    def _all_accounts(self) -> Iterator[dict[str, Any]]:
        offset = 0
        while page := self.accounts(offset=offset, limit=PAGE)["accounts"]:
            yield from page
            offset += len(page)

    def _path(self, name: str) -> str:
        return f"{ACCOUNTS}/{quote(name, safe='')}"

    def _set(self, name: str, state: str) -> None:
        self.hub.ask("PATCH", self._path(name), {"state": state})

    def _tell(self, action: str, name: str, done: list[str]) -> None:
        try:
            self.witness.tell(action, name, {"done": ", ".join(done)}, patience=2.0)
        except Unseen as unseen:
            log.error("NOT in the audit: %s %s (%s): %s", action, name, ", ".join(done), unseen)
            done.append(Doubt("this is NOT in the audit"))

    def _shut_out(self, name: str, done: list[str]) -> list[str]:
        """Tokens first: with one, a workspace could be started again. What the hub refuses is raised when the rest is
        done."""
        refusals: list[HubRefused] = []
        taken = 0
        user = self._user(name)
        for _ in range(ROUNDS if user else 0):  # a program may make new ones, for as long as the hub believes its token
            tokens = (self.hub.ask("GET", f"{self.hub.user(name)}/tokens") or {}).get("api_tokens", [])
            if not tokens:
                break
            for token in tokens:
                taken += self._try(refusals, f"{self.hub.user(name)}/tokens/{token['id']}")
        done.append(Done("{n} tokens taken away", n=taken))
        for server in (user and self.hub.ask("GET", self.hub.user(name)).get("servers")) or {}:
            if self._try(refusals, f"{self.hub.user(name)}/{f'servers/{server}' if server else 'server'}"):
                done.append(
                    Done("workspace {name} is being stopped", name=server)
                    if server
                    else Done("workspace (the only one) is being stopped")
                )
        self._revoke(name, done)
        if refusals:
            raise refusals[0]
        return done

    def _user(self, name: str) -> dict[str, Any] | None:
        """None: the hub knows them not, or not yet."""
        try:
            found: dict[str, Any] = self.hub.ask("GET", self.hub.user(name))
        except HubRefused as refused:
            if refused.status == 404:
                return None
            raise
        return found

    def _revoke(self, name: str, done: list[str]) -> None:
        try:
            told = self.gateway.ask("POST", "/revoke", {"user": name}) or {}
            if unheard := told.get("unheard"):
                done.append(
                    Doubt("{n} of the gateways did not hear it, and believe tokens for 30 seconds more", n=unheard)
                )
        except HubRefused as refused:
            done.append(Doubt("the gateway was not told ({why}) and believes tokens for 30 seconds more", why=refused))

    def _try(self, refusals: list[HubRefused], path: str) -> bool:
        """Whether what is at `path` goes, or has gone meanwhile."""
        try:
            self.hub.ask("DELETE", path)
        except HubRefused as refused:
            if refused.status != 404:
                refusals.append(refused)
                return False
        return True
