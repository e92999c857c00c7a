"""What every page has: who looks, in which language, an answer that nobody frames, an error that says what to do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cellar.settings import SettingsError
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jupyterhub.services.auth import HubOAuth, HubOAuthenticated, UserNotAllowed
from tornado.web import HTTPError, RequestHandler, stream_request_body

from cellar_hub.accounts import Unusable
from cellar_hub.hubapi import HubRefused
from cellar_hub.store import StoreDown

from . import ADMIN, charts
from .desk import Desk
from .hub import HubSays, epoch, user_path
from .terms import FEATURE_NAMES, FIELD_NAMES, deed, details
from .words import COOKIE, LANGUAGES, Words, chosen_language

FOLDER = Path(__file__).parent
BELIEVED = 5
"""Seconds for which the hub's word about a token counts when a page is only read."""
PATIENCE = 10.0
"""Seconds for which the hub may think about who somebody is; its own library would wait for five minutes."""
MOST_READ = 256 * 1024 * 1024
"""Bytes that are read of what is too large; whoever sends more gets no answer."""
MENU = ("overview", "users", "groups", "usage", "audit", "models", "announcements")
"""An administrator's pages."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

STALE = "This form is of another session. Load its page again, and send it once more."

log = logging.getLogger(__name__)


def make_environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "bars": charts.bars,
        "line": charts.line,
        "pages": MENU,
        "deed": deed,
        "details": details,
        "feature_names": FEATURE_NAMES,
    }
    found.filters["epoch"] = epoch
    found.filters["segment"] = lambda name: quote(name, safe="")
    return found


def static_version() -> str:
    """So that a browser asks anew for what a new release has changed."""
    digest = hashlib.sha256()
    for each in sorted((FOLDER / "static").iterdir()):
        digest.update(each.read_bytes())
    return digest.hexdigest()[:12]


class Page(HubOAuthenticated, RequestHandler):  # type: ignore[misc]  # jupyterhub ships no types
    """Handlers of the console. `needs_admin`: everybody else gets a 403, in words."""

    needs_admin = True
    nav = ""
    """Which entry of the menu this page is."""

    # -- who looks --------------------------------------------------------------------------------------------------

    def initialize(self) -> None:
        self.desk: Desk = self.settings["desk"]
        self.hub_auth: HubOAuth = self.settings["hub_auth"]
        self.error = ""
        self.told = ""  # said on this answer, and kept nowhere
        self.secret = ""  # behind it, to be copied
        self.doubt = ""  # of what was done, that which nobody has confirmed
        self.is_stale = False
        self.words = Words(
            chosen_language(self.request.headers.get("Accept-Language", ""), self.get_cookie(COOKIE)),
            self.desk.settings.time_zone,
        )

    def get_current_user(self) -> dict[str, Any] | None:
        """As `prepare` has learned it; nothing is asked here, where one cannot wait."""
        found: dict[str, Any] | None = getattr(self, "_who", None)
        return found

    def check_xsrf_cookie(self) -> None:
        """A form of this console whose session is another one by now is not obeyed, but shown again with what was typed
        (`again`). Raises HTTPError for all others: a page elsewhere must not fill our forms in."""
        try:
            super().check_xsrf_cookie()
        except HTTPError:
            if not self.is_ours:
                raise
            self.is_stale = True

    @property
    def is_ours(self) -> bool:
        """Whether a page of this origin has sent the form, as its browser says."""
        origin = self.request.headers.get("Origin", "")
        return self.request.method == "POST" and urlsplit(origin).netloc == self.request.host != ""

    async def prepare(self) -> None:
        if self.request.method == "POST":  # what changes something is decided by what the hub says now
            self.hub_auth.cache.clear()
        self._who = await self._identified()
        if self._who is None:
            if self.request.method == "GET" and self.request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
                self.redirect(self.get_login_url())
                return
            raise HTTPError(403, "Your session has ended. Load the page again, and log in.")
        if self.needs_admin and not self.is_admin:
            raise HTTPError(403, "This page is for administrators.")
        if self.is_stale:  # what is answered here goes to no handler
            self.set_status(403)
            self.error = self.words(
                "The session of this form has ended: nothing is done yet. What you typed stands below."
            )
            await self.again(*self.path_args)

    async def again(self, *path: str) -> None:
        """The page with its form as it was sent, where it has one that is worth it."""
        self.error = ""
        raise HTTPError(403, STALE)

    async def _identified(self) -> dict[str, Any] | None:
        try:
            found = await asyncio.wait_for(self.hub_auth.get_user(self, sync=False), PATIENCE)
        except TimeoutError:
            raise HubSays(0, "no answer") from None
        except HTTPError as problem:
            if problem.status_code == 400:  # an address that cannot be read
                raise
            raise HubSays(0 if problem.status_code >= 500 else problem.status_code, str(problem.log_message)) from None
        if found is None or found.get("kind", "user") != "user":
            return None
        try:
            checked: dict[str, Any] | None = self.check_hub_user(found)
        except UserNotAllowed:
            raise HTTPError(403, "Your account may not use these pages.") from None
        return checked

    @property
    def name(self) -> str:
        """Of whoever looks."""
        assert self._who is not None
        return str(self._who["name"])

    @property
    def is_admin(self) -> bool:
        return self._who is not None and ADMIN in self._who.get("scopes", ())

    @property
    def token(self) -> str:
        found: str = self.hub_auth.get_token(self) or ""
        return found

    async def ask_hub(self, method: str, path: str, body: Any = None, **params: str | int | list[str]) -> Any:
        """With the token of whoever looks. Raises HubSays."""
        return await self.desk.hub.ask(self.token, method, path, body, params or None)

    async def revoke_tokens(self, name: str) -> tuple[str, dict[str, str]]:
        """Those that the form names; what to say of it. The one by which the hub is asked goes last. Raises HubSays."""
        asked_with = (self._who or {}).get("token_id")
        tokens = sorted(dict.fromkeys(self.get_arguments("token") or [""]), key=lambda each: each == asked_with)
        heard = True
        for token in tokens:
            async with self.desk.watching(self.name, "token.revoke", name, {"token": token[:255]}):
                await self.ask_hub("DELETE", user_path(name, "tokens", token))
            heard = heard and await self.desk.forget_token(token)  # one that hangs is asked once
        if not heard:
            self.doubt = self.words("the gateway was not told, and may believe them for 30 seconds more")
        if len(tokens) == 1:
            return "The token is revoked.", {}
        return "{n} tokens are revoked.", {"n": str(len(tokens))}

    # -- what they sent ---------------------------------------------------------------------------------------------

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Of the address (`name` is None) or of a form. Raises HTTPError."""
        try:
            return value.decode()
        except UnicodeDecodeError:
            if name is None:
                raise HTTPError(404) from None
            raise HTTPError(400, "This address or form cannot be read.") from None

    def field(self, name: str, longest: int = 255) -> str:
        """Of the form or the address; empty when it is not there."""
        return str(self.get_argument(name, ""))[:longest]

    def number_field(self, name: str, default: int = 0, most: int = 10**6) -> int:
        value = self.field(name, 12)
        return min(int(value), most) if value.isascii() and value.isdecimal() else default

    # -- what they get ----------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        for name, value in (
            ("Content-Security-Policy", POLICY),
            ("X-Frame-Options", "DENY"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ):
            self.set_header(name, value)
        self.clear_header("Server")

    def show(self, template: str, **more: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.rendered(template, **more))

    def rendered(self, template: str, **more: Any) -> str:
        environment: Environment = self.settings["environment"]
        return environment.get_template(template).render(
            {
                "t": self.words,
                "base": self.settings["base"],
                "hub": self.settings["hub_base"],
                "static_version": self.settings["static_version"],
                "who": self._who_or_nobody(),
                "is_admin": self.is_admin if hasattr(self, "_who") else False,
                "nav": self.nav,
                "now": time.time(),
                "xsrf": self.xsrf_token.decode() if getattr(self, "_who", None) else "",
                "flash": self.told or (self._taken_flash() if getattr(self, "_who", None) else ""),
                "secret": self.secret,
                "doubt": self.doubt,  # which the line above may have found
                "error": self.error,
                "languages": LANGUAGES,
                "here": self.request.uri,
                **more,
            }
        )

    def _who_or_nobody(self) -> Mapping[str, Any]:
        return getattr(self, "_who", None) or {"name": ""}

    def done(self, where: str, message: str, **names: object) -> None:
        """After a change: go there, and say it there."""
        self.hub_auth.cache.clear()  # it may have been this page's own token that was taken away
        said = [message, {key: str(value)[:300] for key, value in names.items()}, self.doubt[:300]]
        text = json.dumps(said, ensure_ascii=False)  # a cookie has 4 kB
        self.set_secure_cookie(
            "cellar-flash", text, expires_days=None, max_age=60, path=self.settings["base"], httponly=True
        )
        self.redirect(self.settings["base"] + where.lstrip("/"), status=303)

    def _taken_flash(self) -> str:
        kept = self.get_secure_cookie("cellar-flash")
        if not kept or self.request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
            return ""
        self.clear_cookie("cellar-flash", path=self.settings["base"])
        text, names, *more = json.loads(kept)
        self.doubt = "".join(more)
        return self.words(text, **names)

    def refusal(self, says: HubSays | HubRefused | Unusable) -> str:
        """Why the hub has not done it, in the reader's language where the words are known."""
        if getattr(says, "status", None) == 0:
            return self.words("The hub does not answer. Please try again in a moment.")
        return self.words("The hub refused: {reason}", reason=self.words.phrase(self.words.term("reason", str(says))))

    # -- when it fails ----------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **more: Any) -> None:
        """A file that breaks off is no whole file: its reader has to see that, so the connection ends with it."""
        if self._headers_written:
            self.log_exception(*more.get("exc_info", (None, None, None)))
            self.request.connection.stream.close()  # type: ignore[union-attr] # HTTP/1 has one
        else:
            super().send_error(status_code, **more)

    def write_error(self, status_code: int, **more: Any) -> None:
        """In the language of whoever looks; never what an exception says of its inside."""
        cause = more.get("exc_info", (None, None, None))[1]
        words = self.words
        if isinstance(cause, StoreDown):
            status_code, text = 503, words("Cellar's database does not answer. Please try again in a moment.")
        elif isinstance(cause, HubSays):
            status_code = {0: 503, 404: 404}.get(cause.status, 502)
            text = words("There is no such page.") if status_code == 404 else self.refusal(cause)
        elif isinstance(cause, SettingsError):
            text = str(cause)
        elif isinstance(cause, HTTPError) and "xsrf" in str(cause.log_message).lower():
            text = words(STALE)
        elif isinstance(cause, HTTPError) and cause.log_message and status_code < 500:
            text = words(cause.log_message)
        elif status_code == 404:
            text = words("There is no such page.")
        else:
            text = words("Something went wrong here. The console's log says what.")
        self.set_status(status_code)
        self.show("error.html", status=status_code, text=text, typed=self._typed(), again=False)

    def _typed(self) -> list[tuple[str, str]]:
        """(name, text) of the fields of a form that came to nothing: whoever filled it in can take them along. What a
        page elsewhere has sent is not shown."""
        sent = self.request.body_arguments if self.is_ours else {}
        return [
            (self.words(FIELD_NAMES[name]), value.decode(errors="replace"))
            for name, values in sent.items()
            for value in values
            if name in FIELD_NAMES and value.strip()
        ]

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        if isinstance(value, HTTPError | StoreDown | HubSays | TimeoutError):
            log.info("%s %s: %s", self.request.method, self.request.path, value)
        else:  # tornado's own words hold the query, in which people and what they searched for stand
            log.error("a page failed", exc_info=(kind, value, trace), extra={"path": self.request.path[:200]})


@stream_request_body
class TooLarge(Page):
    """Whatever sends more than a form may hold. What it sends is read, because a proxy that cannot send it says its own
    error, and it is kept nowhere."""

    def check_xsrf_cookie(self) -> None:
        """It stands in what is not read."""

    async def prepare(self) -> None:
        self.request.connection.set_max_body_size(MOST_READ)  # type: ignore[union-attr] # HTTP/1 has one

    def data_received(self, chunk: bytes) -> None:
        pass

    async def post(self, *_: str) -> None:
        raise HTTPError(413, "What was sent is too large: these pages take 5 MB at most.")

    get = put = patch = delete = post


class Missing(Page):
    """Everything that is no page."""

    needs_admin = False

    async def get(self) -> None:
        raise HTTPError(404)


def cookie_secret(token: str) -> bytes:
    """The same after a restart, so that nobody is logged out by one; and no way back to the token."""
    return hmac.digest(token.encode(), b"cellar console cookies", "sha256")
