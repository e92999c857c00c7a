"""The accounts API of the hub, under <hub>/api/cellar/accounts: what the command line and the admin's pages do with
accounts, of every kind of log-in.

Authenticated as JupyterHub's own API is; all of it asks for the scope `admin:users`, of all users. What JupyterHub
keeps to administrators is kept here, too: nobody else makes one, or takes over the account of one. What the hub did is
told to the audit by the hub itself, with whoever asked for it; a client that tells the audit before it asks (`people`)
says who that was.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any, Literal, TypeVar

import bcrypt
import msgspec
from docker.errors import DockerException
from jupyterhub.apihandlers import APIHandler
from jupyterhub.roles import assign_default_roles
from jupyterhub.scopes import Scope
from jupyterhub.utils import maybe_future
from requests.exceptions import RequestException
from tornado.web import HTTPError

from cellar_hub.accounts import STATES, Unusable, Whose, check_password, parse_name
from cellar_hub.spawner.homes import Homes, InUse

from .administrators import ONLY_ADMINISTRATORS, keep_one
from .book import Account, Book

MOST = 1000  # accounts in one answer
CHOOSE = 'Say whose they are: "files": "theirs" (of this person) or "none" (of somebody else: they are deleted)'
NO_DOCKER = "Docker does not answer: nobody knows"
B = TypeVar("B")


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str | None = None
    admin: bool = False
    files: Whose | None = None


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """One of them."""

    state: Literal["allowed", "blocked"] | None = None
    files: Whose | None = None
    admin: bool | None = None


class AccountsHandler(APIHandler):  # type: ignore[misc]  # it ships no types
    """What both have in common."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.current_user is None or self.parsed_scopes.get("admin:users") is not Scope.ALL:
            raise HTTPError(403, "Accounts are for whoever has the scope admin:users")

    @property
    def book(self) -> Book:
        book: Book = self.authenticator.book
        return book

    @property
    def homes(self) -> Homes:
        homes: Homes = self.authenticator.homes
        return homes

    def body(self, kind: type[B]) -> B:
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise HTTPError(400, "%s", f"No such body: {error}") from None

    def say(self, what: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(what))

    def note(self, action: str, name: str) -> None:
        self.authenticator.note_deed(self, action, str(self.current_user.name), name)

    def may_change(self, name: str) -> Any:
        """The hub's user of that name, if there is one. Raises HTTPError: also of whom the settings name, and who is
        no administrator now: they become one at their next log-in."""
        user = self.find_user(name)
        is_admins = name in self.authenticator.admin_users or (user is not None and user.admin)
        if is_admins and not self.current_user.admin:
            raise HTTPError(403, ONLY_ADMINISTRATORS)
        return user

    async def settle(self, name: str, whose: Whose | None, is_new: bool) -> bool:
        """Whether files are to be given to the user of that name, who may have to be made before (`give`); what is
        nobody's any more is deleted here. Raises HTTPError."""
        found = await self.homes.files(name)
        if whose is None:
            if found == "earlier" and is_new:
                raise HTTPError(409, "%s", f"There are files of an earlier {name}. {CHOOSE}")
            return False
        if found == "unknown":
            raise HTTPError(503, "%s", f"{NO_DOCKER} whether there are files of an earlier {name}")
        if found == "theirs" and whose == "none":
            raise HTTPError(409, "%s", f"The files are {name}'s own: nothing is deleted")
        if found != "earlier" or whose == "theirs":
            return found == "earlier"
        try:
            await self.homes.remove(name)
        except InUse:
            raise HTTPError(409, "%s", f"A workspace of an earlier {name} is still there: again in a minute") from None
        except (DockerException, RequestException):
            raise HTTPError(503, "%s", f"{NO_DOCKER} whether the files of an earlier {name} are gone") from None
        self.note("user.files.remove", name)
        return False

    async def give(self, name: str) -> None:
        try:
            await self.homes.give(name)
        except (DockerException, RequestException):
            raise HTTPError(503, "%s", f"{NO_DOCKER} which files are {name}'s") from None
        self.note("user.files.give", name)

    def _meant(self, given: str) -> str:
        """As it is kept: else Chief would be blocked who is not allowed to be, under another spelling. Raises
        HTTPError."""
        return given if self.find_user(given) or self.book.find(given) else self._name(given)

    def _name(self, given: str) -> str:
        """As the hub keeps it. Raises HTTPError."""
        try:
            if self.authenticator.kind == "local":
                return parse_name(given)
            name: str = self.authenticator.normalize_username(given.strip())
            if not self.authenticator.validate_username(name):
                raise Unusable("this cannot be a name")
        except Unusable as problem:
            raise HTTPError(400, "%s", str(problem)) from None
        return name


class AccountList(AccountsHandler):
    def get(self) -> None:
        state, part = self.get_argument("state", ""), self.get_argument("name_filter", "")
        if state and state not in STATES:
            raise HTTPError(400, "%s", f"state must be one of {', '.join(STATES)}")
        offset, limit = self._number("offset", 0), min(MOST, self._number("limit", 100))
        names = self.get_arguments("name")[:MOST]
        total, found = self.book.listed(state, part, offset, limit, names)
        kind = self.authenticator.kind
        self.say({"total": total, "kind": kind, "accounts": [msgspec.to_builtins(each) for each in found]})

    async def post(self) -> None:
        wanted = self.body(NewAccount)
        if wanted.admin and not self.current_user.admin:
            raise HTTPError(403, "Only administrators make administrators")
        is_local = self.authenticator.kind == "local"
        name = self._name(wanted.name)
        self.may_change(name)
        made = digest = None
        if is_local:
            made = None if wanted.password else secrets.token_urlsafe(12)
            digest = await self._digest(wanted.password or made or "")
        elif wanted.password:
            raise HTTPError(400, "Passwords are the directory's here")
        gives = await self.settle(name, wanted.files, self.book.find(name) is None)
        user = self.find_user(name) or self.user_from_username(name)
        await maybe_future(self.authenticator.add_user(user))
        if gives:
            await self.give(name)
        if wanted.admin:  # in one commit with the account: nobody is one who has none
            user.admin = True
        assign_default_roles(self.db, entity=user)
        if digest is not None:
            self.authenticator.end_sessions(user)
        self.book.put(name, digest)
        self.authenticator.forget_failures(name)
        self.note("user.account.add", name)
        self.set_status(201)
        self.say({"name": name, "state": "allowed"} | ({"password": made} if made else {}))

    async def _digest(self, password: str) -> bytes:
        try:
            content = check_password(password).encode()
        except (Unusable, UnicodeError) as problem:
            raise HTTPError(400, "%s", str(problem) if isinstance(problem, Unusable) else "No such password") from None
        return await asyncio.to_thread(lambda: bcrypt.hashpw(content, bcrypt.gensalt()))

    def _number(self, name: str, otherwise: int) -> int:
        given = self.get_argument(name, str(otherwise))
        if not (given.isascii() and given.isdecimal() and len(given) < 10):
            raise HTTPError(400, "%s", f"{name} must be a whole number")
        return int(given)


class OneAccount(AccountsHandler):
    async def get(self, name: str) -> None:
        found = self._found(name)
        self.say(msgspec.to_builtins(found) | {"files": await self.homes.files(name)})

    async def patch(self, name: str) -> None:
        wanted, name = self.body(Change), self._meant(name)
        user = self.may_change(name)
        if [wanted.state, wanted.files, wanted.admin].count(None) != 2:
            raise HTTPError(400, "No such body: it must say state, files or admin")
        if wanted.state is not None:
            await self._set_state(name, user, wanted.state)
        elif wanted.admin is not None:
            self._set_admin(name, user, wanted.admin)
        elif user is None:
            self._found(name)
            raise HTTPError(409, "%s", f"{name} is no user of the hub yet")
        else:
            if await self.settle(name, wanted.files, False):
                await self.give(name)
            self.say({"name": name, "files": await self.homes.files(name)})

    async def _set_state(self, name: str, user: Any, state: str) -> None:
        if state == "blocked":
            if user is not None and user.name == self.current_user.name:
                raise HTTPError(400, "Nobody can block themselves")
            if user is None and self.authenticator.kind == "local":
                self._found(name)
            if user is not None:
                self.authenticator.end_sessions(user)
                user._auth_refreshed = None  # their next request asks the book
            self.book.block(name)
        else:
            self._found(name)
            if not self.book.allow(name):
                raise HTTPError(409, "%s", f"{name} has no password here: make an account of that name")
            if user is None and self.authenticator.kind == "local":  # a sign-up: from now on the hub knows them
                await maybe_future(self.authenticator.add_user(self.user_from_username(name)))
            self.authenticator.forget_failures(name)
        self.note(f"user.account.{'block' if state == 'blocked' else 'allow'}", name)
        self.say(msgspec.to_builtins(self._found(name)) | ({"left": _left(user)} if state == "blocked" else {}))

    def _set_admin(self, name: str, user: Any, admin: bool) -> None:
        """JupyterHub asks for it with each request; so it counts from the next one on."""
        if not self.current_user.admin:
            raise HTTPError(403, "Only administrators make administrators")
        if user is None:
            self._found(name)
            raise HTTPError(409, "%s", f"{name} is no user of the hub yet")
        if admin and not self.book.may_log_in(name):
            raise HTTPError(409, "%s", f"{name} may not log in: no administrator")
        if not admin:
            keep_one(self.book, name)
        user.admin = admin
        assign_default_roles(self.db, entity=user)
        self.db.commit()
        self.note(f"user.account.{'promote' if admin else 'demote'}", name)
        # whom the settings name becomes one again, at their next log-in and with the hub's next start
        self.say({"name": name, "admin": admin, "by_settings": name in self.authenticator.admin_users})

    async def delete(self, name: str) -> None:
        name = self._meant(name)
        user = self.may_change(name)
        if user is None:
            self._found(name)
        elif user.name == self.current_user.name:
            raise HTTPError(400, "Nobody can remove themselves")
        else:
            keep_one(self.book, name)
            self.book.block(name)  # they do not come back while their workspace stops
            for token in list(user.api_tokens):
                self.db.delete(token)
            self.db.commit()
            await self._remove_from_hub(user)
        self.book.remove(name)
        self.authenticator.forget_failures(name)
        self.note("user.account.remove", name)
        self.set_status(204)

    async def _remove_from_hub(self, user: Any) -> None:
        for server, spawner in list(user.spawners.items()):
            if spawner.active and not spawner.pending:
                await self.stop_single_user(user, server)
            if spawner.pending:
                raise HTTPError(
                    409, "%s", f"{user.name}'s workspace is on its way: blocked now, removed if asked again"
                )
        await maybe_future(self.authenticator.delete_user(user))
        await user.delete_spawners()
        self.users.delete(user)

    def _found(self, name: str) -> Account:
        found = self.book.find(name)
        if found is None:
            raise HTTPError(404, "%s", f"{name[:80]!r} has no account")
        return found


def _left(user: Any) -> dict[str, Any]:
    """What blocking somebody leaves to whoever asked for it: `people` takes it away."""
    if user is None:
        return {"tokens": 0, "workspaces": []}
    running = [name for name, spawner in user.spawners.items() if spawner.active]
    return {"tokens": len(user.api_tokens), "workspaces": running}


HANDLERS = [(r"/api/cellar/accounts", AccountList), (r"/api/cellar/accounts/([^/]+)", OneAccount)]
