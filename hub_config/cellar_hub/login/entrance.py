"""What every kind of log-in has in common, before and after a password is compared.

`Login` stands before one of JupyterHub's authenticators (`ways` says which), whose `authenticate` compares a name and a
password, or redeems what a provider has sent. What is ours:

- Nobody gets in who waits for approval or is blocked (`book`), and not only at the log-in: JupyterHub asks
  `refresh_user` again after `auth_refresh_age` seconds, for cookies and, with `auth_refresh_strict`, for tokens, and
  before each start of a workspace.
- Wrong passwords make the next try wait (`throttle`), and log-ins are compared in turn (`checks`), at the page and at
  the API that makes tokens.
- Each attempt is told to the audit (`post`), without waiting for it.
- A name that is nobody's takes as long as a wrong password, a refusal as long as a comparison, and all of them half a
  second where a comparison is quicker: who measures learns no names. Who waits for approval is told what everybody is
  told: else whoever asks for an account would learn by its password whether the name was free.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.utils import maybe_future, new_token
from sqlalchemy.exc import SQLAlchemyError
from tornado.web import HTTPError
from traitlets import Any as AnyTrait
from traitlets import Integer

from cellar_hub.address import client_address
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.homes import Homes

from . import admin, administrators, api, facts, groups
from .attempts import UNKNOWN, hidden
from .book import Book
from .browsers import browser_of, keep_browser
from .checks import MOST_OF_ONE, THREADS, Checks, Crowded
from .pages import LoginPage
from .post import Post
from .refusals import AWAY, CROWDED, DIRECTORY_AWAY, NO_USER, TOO_MANY, Refused
from .remembered import Remembered
from .rights import Rights
from .throttle import Throttle

UNTOLD = "untold-logins.json"
NAMES_KEY = "login-names.key"
LONGEST_NAME = 255  # characters that the hub's database keeps
PAUSE = 0.5  # seconds that not getting in takes at least
CROWDED_SECONDS, AWAY_SECONDS = 5, 60
NAMING = ("Failed login for", "PAM A", "username:", "Failed to bind", "No response looking up", "Looking up")
"""How lines begin in which others write down what was typed as a name, which may be a password."""


class Away(Exception):
    """Whoever has the passwords does not answer; in words of the audit."""


class Login(Authenticator):  # type: ignore[misc]  # it ships no types
    hub_settings: Any = AnyTrait(help="The HubSettings of this installation").tag(config=True)
    most_waiting = Integer(MOST_OF_ONE, help="Log-ins from one address that wait for their turn").tag(config=True)

    kind = "local"
    at_once = THREADS
    offers_signup = False
    """Whether the log-in page says where one asks for an account."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings: HubSettings = self.hub_settings
        self._secret = own_secret(settings.data / NAMES_KEY)
        self.book = Book(self.db, self.kind == "local")
        self.homes = Homes(self.db, settings)
        self.checks = Checks(self.at_once, of_one=self.most_waiting)
        self._remembered = Remembered(self.db)
        self.throttle = Throttle(self._remembered.rows())
        where, token = settings.gateway_operations, settings.gateway_token
        self.post = Post(where, token, settings.pool, settings.data / UNTOLD, self.log)
        self.rights = Rights(self.db, where, token, settings.pool, self.log)
        self.log.addFilter(_is_without_name)

    def validate_username(self, username: str) -> bool:
        """Also names that an admin gives through the hub's API: of any script, no longer than its database takes, and
        nothing in them that a terminal or a page would obey (control and direction marks, line ends)."""
        is_one = username.isprintable() and len(username) <= LONGEST_NAME
        return is_one and bool(super().validate_username(username))

    def get_handlers(self, app: Any) -> list[Any]:
        """Asked for by the hub that serves pages, once, and by no other program of JupyterHub (`jupyterhub token`)."""
        loop = asyncio.get_running_loop()
        self._telling = loop.create_task(self.post.keep_telling())
        self._revoking = loop.create_task(self.rights.keep_telling())
        return [
            *self.own_handlers(app),
            *admin.HANDLERS,
            *administrators.HANDLERS,
            *api.HANDLERS,
            *facts.HANDLERS,
            *groups.HANDLERS,
        ]

    def own_handlers(self, app: Any) -> list[Any]:
        """Of the kind of log-in."""
        return [(r"/login", LoginPage)]

    async def compare(self, handler: Any, name: str, fields: dict[str, Any]) -> Any:
        """What JupyterHub's authenticator says: a name or a model, or None. Within the address's turn."""
        return await maybe_future(super().authenticate(handler, fields))

    def is_known(self, name: str) -> bool:
        """Whether the audit may say the name, because it is somebody's."""
        return self.book.state(name) is not None

    async def authenticate(self, handler: Any, data: Any) -> Any:
        """JupyterHub's model of the user, or None. Raises HTTPError."""
        fields = data if isinstance(data, dict) else {}
        given, password = fields.get("username"), fields.get("password")
        if not isinstance(given, str) or not isinstance(password, str):
            raise HTTPError(400, "A log-in is a name and a password")  # nobody has tried one
        name: str = self.normalize_username(given)
        client = self.address_of(handler)
        subject = hidden(name[:LONGEST_NAME], self._secret)
        try:
            return await self._admit(handler, name, fields, client, subject)
        except Crowded:
            self.post.note("refused", subject, client, "too many at once")
            raise Refused(503, CROWDED, CROWDED_SECONDS) from None
        except Away as away:
            self.post.note("refused", name if self.is_known(name) else subject, client, str(away))
            raise Refused(503, DIRECTORY_AWAY, AWAY_SECONDS) from None
        except SQLAlchemyError as error:
            self.db.rollback()
            self.post.note("refused", subject, client, "the hub's database is away")
            self.log.error("log-in: the database does not answer: %s", type(error).__name__)  # its words hold the name
            raise Refused(503, AWAY, AWAY_SECONDS) from None

    async def _admit(self, handler: Any, name: str, fields: Any, client: str, subject: str) -> Any:
        key = subject.removeprefix(UNKNOWN)
        # not every database takes every character, and no name is as long as what may be sent
        is_name = name.isprintable() and 0 < len(name) <= LONGEST_NAME
        shown = name if is_name and self.is_known(name) else subject
        barred = ""

        async def compare() -> Any:
            nonlocal barred
            found = await self.compare(handler, name if is_name else "", fields)
            barred = "" if found is None else self._barred(self._model(found)["name"])
            return None if barred else found  # the right password of a closed account is counted as a wrong one

        found, seconds = await self.try_password(key, browser_of(handler, key) or client, compare)
        if found is not None:
            return await self._let_in(handler, key, found, client)
        if barred:
            self.post.note("refused", shown, client, barred)
        elif not seconds:
            self.post.note("failed", shown, client, self._why(name, shown == subject))
        if seconds:
            if not barred:
                self.post.note("refused", shown, client, "too many wrong passwords")
            raise Refused(429, TOO_MANY, seconds)
        return None

    async def try_password(self, key: str, place: str, compare: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
        """What `compare` finds, in its turn and if it may be asked, or None; and the seconds that are told then, after
        which the next one may. `key`: the name's hash. Raises Crowded and what `compare` raises."""
        waits = self.throttle.waits(key, place, time.time())
        found = None
        if waits.may:
            known = self.throttle.knows(key, place, time.time())
            with self.throttle.trying(key, place):
                async with self.checks.turn(place, known):
                    begun = time.monotonic()
                    found = await compare()
                if found is None:
                    await asyncio.sleep(PAUSE - (time.monotonic() - begun))
            if found is None:
                self.throttle.failed(key, place, time.time())
        else:
            await asyncio.sleep(PAUSE)
        self._remembered.keep(*self.throttle.changed())
        return found, waits.seconds

    def _why(self, name: str, is_nobodys: bool) -> str:
        if is_nobodys:
            return "unknown name"
        return "waits for approval" if self.book.state(name) == "waiting" else "wrong password"

    def _model(self, found: Any) -> dict[str, Any]:
        """JupyterHub's, of what was found; its name as it is kept."""
        model = dict(found) if isinstance(found, dict) else {"name": found}
        return model | {"name": str(self.normalize_username(model["name"]))}

    def _barred(self, name: str) -> str:
        """Why nobody gets in by that name, in words of the audit; or nothing."""
        return {"waiting": "waits for approval", "blocked": "blocked"}.get(str(self.book.state(name)), "")

    async def _let_in(self, handler: Any, key: str, found: Any, client: str) -> Any:
        """Whoever gave the right password, if they may come in. Raises Refused, which says why not."""
        model = self._model(found)
        name = model["name"]
        if not self.validate_username(name):
            self.post.note("refused", hidden(name[:LONGEST_NAME], self._secret), client, "no name of a user")
            return None
        if barred := self._barred(name):
            self.post.note("refused", name, client, barred)
            return None
        # asked again by JupyterHub, whose answer is not told to us
        for asks in (self.check_blocked_users, self.check_allowed):
            if not await maybe_future(asks(name, model)):
                self.post.note("refused", name, client, "no user of the hub")
                raise Refused(403, NO_USER)
        if browser := browser_of(handler, key):
            self.throttle.excuse(key, browser)
        keep_browser(handler, key)
        self.throttle.succeeded(key, client, time.time())
        self._remembered.keep(*self.throttle.changed())
        self.post.note("succeeded", name, client)
        return model

    def check_blocked_users(self, username: str, authentication: Any = None) -> bool:
        return not self._barred(username) and bool(super().check_blocked_users(username, authentication))

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """By an administrator's word, or by what the kind of log-in goes by."""
        return self.book.is_named(username) or bool(await maybe_future(super().check_allowed(username, authentication)))

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Whether the user's account, if there is one, may be used."""
        return not self._barred(user.name)

    def end_sessions(self, user: Any) -> None:
        """In all browsers, whoever sits there. Tokens that were made to be kept stay. The caller commits."""
        user.cookie_id = new_token()
        for token in list(user.api_tokens):
            if token.session_id:
                self.db.delete(token)

    def delete_user(self, user: Any) -> None:
        """By JupyterHub's own API, too: nobody comes back who was removed, and nobody is known who is new. Raises
        HTTPError while a workspace starts or stops: it would live on beside the next user of that name."""
        if any(spawner.pending for spawner in user.spawners.values()):
            raise HTTPError(400, "%s", f"The workspace of {user.name} is on its way: again in a minute")
        super().delete_user(user)
        self.book.remove(user.name)
        self.homes.forget(user.name)
        self.forget_failures(user.name)

    def key_of(self, name: str) -> str:
        """By which the throttle counts it."""
        return hidden(name[:LONGEST_NAME], self._secret).removeprefix(UNKNOWN)

    def forget_failures(self, name: str) -> None:
        self.throttle.forget(self.key_of(name))
        self._remembered.keep(*self.throttle.changed())

    def remember(self) -> None:
        """What the throttle counted, together with what else was written to the hub's session."""
        self._remembered.keep(*self.throttle.changed())
        self.db.commit()

    def note_signup(self, handler: Any, name: str, refused: str = "") -> None:
        shown = name if not refused or self.is_known(name) else hidden(name, self._secret)
        self.post.note("signup", shown, self.address_of(handler), refused and f"refused: {refused}")

    def note_refusal(self, handler: Any, reason: str) -> None:
        """Of somebody who has no name yet."""
        self.post.note("refused", "", self.address_of(handler), reason)

    def note_deed(self, handler: Any, deed: str, actor: str, name: str) -> None:
        self.post.tell(deed, actor, name, self.address_of(handler))

    def address_of(self, handler: Any) -> str:
        """Whose request it is; tornado's `remote_ip` is what a client's own X-Real-IP says."""
        request, settings = handler.request, self.hub_settings
        peer = request.connection.context.address[0]
        forwarded = request.headers.get("X-Forwarded-For", "")
        return client_address(peer, forwarded, settings.pool, settings.reverse_proxies)


def own_secret(file: Path) -> str:
    """Made once, in the hub's data: whoever has the gateway's, where the audit is, cannot try names against it."""
    with suppress(FileExistsError), open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as made:
        made.write(secrets.token_hex(32))
    return file.read_text()


def _is_without_name(record: logging.LogRecord) -> bool:
    """`post` says the same without it."""
    return not str(record.msg).startswith(NAMING)
