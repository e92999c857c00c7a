"""Log-in with local accounts, where a blocked account stops working at once, not at the next log-in.

NativeAuthenticator keeps the accounts. What is ours:

- It asks only at log-in whether an account may be used; a cookie of yesterday would go on. JupyterHub asks
  `refresh_user` again after `auth_refresh_age` seconds, for cookies and, with `auth_refresh_strict`, for tokens, and
  before each start of a workspace.
- An unknown name takes as long as a wrong password: who measures learns no names. bcrypt's quarter of a second is spent
  in threads of its own (`checks`), so that nobody else's page waits for it.
- Each attempt, at the page and at the API that makes tokens, is told to the audit (`post`), without waiting for it.
- Its own pages were written for JupyterHub 5 (version 1.3 fails on 6.1, at the first log-in); the hub's log-in page is
  used, and accounts are made by `cellar-hub users`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
from jupyterhub.auth import Authenticator
from jupyterhub.utils import maybe_future
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from sqlalchemy.exc import SQLAlchemyError
from tornado.web import HTTPError
from traitlets import Any as AnyTrait
from traitlets import Integer

from cellar_hub.address import client_address
from cellar_hub.settings import HubSettings

from .attempts import Outcome, hidden
from .checks import MOST_OF_ONE, Checks, Crowded
from .post import Post

NOBODY = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt())
"""What the password of an unknown name is compared with."""
LONGEST = 72  # bytes of a password that bcrypt reads
CROWDED = "Too many people log in at this moment. Please try again in a few seconds."
AWAY = "The hub's database does not answer. Please try again in a minute."
UNTOLD = "untold-logins.json"
NAMES_KEY = "login-names.key"
LONGEST_NAME = 255  # characters that the hub's database keeps


def matches(password: str, digest: bytes) -> bool:
    """Whether it is the password; one that bcrypt would cut off or refuse is not."""
    content = password.encode("utf-8", "surrogatepass")
    return bcrypt.checkpw(content[:LONGEST], digest) and len(content) <= LONGEST


class Login(NativeAuthenticator):  # type: ignore[misc]  # it ships no types
    hub_settings: Any = AnyTrait(help="The HubSettings of this installation").tag(config=True)
    most_waiting = Integer(MOST_OF_ONE, help="Log-ins from one address that wait for their turn").tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings: HubSettings = self.hub_settings
        self._secret = own_secret(settings.data / NAMES_KEY)
        self._checks = Checks(of_one=self.most_waiting)
        where, token = settings.gateway_operations, settings.gateway_token
        self._post = Post(where, token, settings.pool, settings.data / UNTOLD, self.log)
        self.log.addFilter(_is_without_name)

    def validate_username(self, username: str) -> bool:
        """Also names that an admin gives through the hub's API: of any script, and nothing in them that a terminal or a
        page would obey (control and direction marks, line ends)."""
        return username.isprintable() and bool(super().validate_username(username))

    def get_handlers(self, app: Any) -> list[Any]:
        """Asked for by the hub that serves pages, once, and by no other program of JupyterHub (`jupyterhub token`)."""
        self._telling = asyncio.get_running_loop().create_task(self._post.keep_telling())
        handlers: list[Any] = Authenticator.get_handlers(self, app)
        return handlers

    async def authenticate(self, handler: Any, data: Any) -> str | None:
        """The user's name, or None. Wrong passwords in a row make the account wait, as configured. Raises HTTPError."""
        fields = data if isinstance(data, dict) else {}
        given, password = fields.get("username"), fields.get("password")
        if not isinstance(given, str) or not isinstance(password, str):
            raise HTTPError(400, "A log-in is a name and a password")  # nobody has tried one
        name: str = self.normalize_username(given)
        client = address_of(handler.request, self.hub_settings)
        subject = hidden(name[:LONGEST_NAME], self._secret)
        try:
            # not every database takes every character, and no name is as long as what may be sent
            account = self.get_user(name) if name.isprintable() and len(name) <= LONGEST_NAME else None
            subject = name if account else subject
            digest = account.password if account else NOBODY
            right = await self._checks.run(client, partial(matches, password, digest))
            outcome, reason = await self._judge(name, account is not None, right)
        except Crowded:
            self._post.note("refused", subject, client, "too many at once")
            raise HTTPError(503, CROWDED) from None
        except SQLAlchemyError as error:
            self.db.rollback()
            self._post.note("refused", subject, client, "the hub's database is away")
            self.log.error("log-in: the database does not answer: %s", type(error).__name__)  # its words hold the name
            raise HTTPError(503, AWAY) from None
        self._post.note(outcome, subject, client, reason)
        return name if outcome == "succeeded" else None

    async def _judge(self, name: str, is_known: bool, right: bool) -> tuple[Outcome, str]:
        if not is_known:
            return "failed", "unknown name"
        if self.allowed_failed_logins and self.is_blocked(name):
            return "refused", "too many wrong passwords"
        if not right:
            self.add_login_attempt(name)
            return "failed", "wrong password"
        if not self._is_authorized(name):
            self.add_login_attempt(name)
            return "refused", "blocked"
        self.successful_login(name)
        # asked again by JupyterHub, whose answer is not told to us
        for asks in (self.check_blocked_users, self.check_allowed):
            if not await maybe_future(asks(name, {"name": name})):
                return "refused", "no user of the hub"
        return "succeeded", ""

    def _is_authorized(self, name: str) -> bool | None:
        """None: there is no such account. The column is read anew from the database."""
        found = self.db.query(UserInfo.is_authorized).filter(UserInfo.username == name).first()
        return None if found is None else bool(found[0])

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Whether the user's account, if there is one, may be used."""
        return self._is_authorized(user.name) is not False


def own_secret(file: Path) -> str:
    """Made once, in the hub's data: whoever has the gateway's, where the audit is, cannot try names against it."""
    with suppress(FileExistsError), open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as made:
        made.write(secrets.token_hex(32))
    return file.read_text()


def address_of(request: Any, settings: HubSettings) -> str:
    """Whose request it is; tornado's `remote_ip` is what a client's own X-Real-IP says."""
    peer = request.connection.context.address[0]
    return client_address(peer, request.headers.get("X-Forwarded-For", ""), settings.pool, settings.reverse_proxies)


def _is_without_name(record: logging.LogRecord) -> bool:
    """JupyterHub writes down what was typed as a name, which may be a password; `post` says the same without it."""
    return not str(record.msg).startswith("Failed login for")
