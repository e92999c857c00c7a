"""Log-in by a provider of OpenID Connect: no password comes here, what comes back from the provider is redeemed.

It is the place alone that is throttled: a browser in which somebody has logged in, or else the address. On the way back
nobody has a name yet, so that there is none to count by; and the passwords that somebody could try are typed at the
provider, which counts them. What is counted are made-up answers, each of which costs the provider a question.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler
from sqlalchemy.exc import SQLAlchemyError
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

from cellar_hub.accounts import Unusable

from .browsers import browser_of
from .checks import Crowded
from .directories import Directory
from .discovery import Distrusted, carefully, discover
from .entrance import AWAY_SECONDS, CROWDED_SECONDS, PAUSE
from .pages import render_login, say
from .refusals import AWAY, CROWDED, DIRECTORY_AWAY, NO_USER, NOT_VOUCHED, ODD_PROVIDER, TOO_MANY, Refused
from .throttle import DAY, HOUR
from .vouched import LONGEST, Vouched

NOBODY = ""  # whose log-in it is, before the provider has said so
NO_ANSWER = (LookupError, TypeError, ValueError, AttributeError)  # of one that is not as the standard has it
BELIEVED, AGAIN = HOUR, 5.0  # seconds after which the provider is asked anew where it is; where it could not be asked
TRUSTED = 7 * DAY  # seconds after which tokens of somebody whom the provider has not vouched for any more stop working


class Start(OAuthLoginHandler):  # type: ignore[misc]  # it ships no types
    """Sends the browser to the provider; where the hub does not know where that is, the log-in page says so."""

    async def get(self) -> None:
        try:
            await self.authenticator.find_provider(self)
        except Refused as refused:
            say(self, refused)
            self.finish(await render_login(self, refused.text))
        else:
            super().get()


class Callback(OAuthCallbackHandler):  # type: ignore[misc]  # it ships no types
    """Where the provider sends the browser. Who does not get in sees the log-in page, and why."""

    async def get(self) -> None:
        try:
            await super().get()
        except HTTPError as error:
            refused = error if isinstance(error, Refused) else Refused(403, NOT_VOUCHED)
            if refused is not error:
                self.authenticator.note_refusal(self, "the provider vouches for nobody")
            say(self, refused)
            self.finish(await render_login(self, refused.text))


class OidcLogin(Directory, GenericOAuthenticator):  # type: ignore[misc]  # it ships no types
    kind = "oidc"
    login_handler = Start
    callback_handler = Callback

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.hub_settings
        self.vouched = Vouched(self.db, settings.oidc_issuer or settings.oidc_userinfo_url)
        self._one_by_one = asyncio.Lock()
        self._finding = asyncio.Lock()
        self._look_again = float("-inf")
        self._odd: tuple[str, str, int] | None = None
        self._knows = False

    def own_handlers(self, app: Any) -> list[Any]:
        return [*super().own_handlers(app), *GenericOAuthenticator.get_handlers(self, app)]

    async def find_provider(self, handler: Any) -> None:
        """What the configured issuer says of itself, now and then. Raises Refused."""
        async with self._finding:
            if self.hub_settings.oidc_issuer and time.monotonic() >= self._look_again:
                self._odd = await self._look(self.hub_settings.oidc_issuer)
                self._look_again = time.monotonic() + (AGAIN if self._odd else BELIEVED)
        if self._odd:
            reason, text, seconds = self._odd
            self.note_refusal(handler, reason)
            raise Refused(503, text, seconds)

    async def _look(self, issuer: str) -> tuple[str, str, int] | None:
        """What is wrong with it: for the audit, for the page, and for how long. One that is away is where it was."""
        try:
            found = await discover(issuer, self.hub_settings.oidc_ca)
        except Distrusted as problem:
            self.log.error("the provider is not believed: %s", problem)
            return "the provider is not believed", ODD_PROVIDER, 0
        except (HTTPClientError, OSError) as error:
            self.log.error("the provider cannot be asked where it is: %s", error)
            return None if self._knows else ("the provider is away", DIRECTORY_AWAY, AWAY_SECONDS)
        self.authorize_url, self.token_url, self.userdata_url = found.authorize, found.token, found.userinfo
        self.vouched.also, self._knows = found.userinfo, True
        return None

    async def fetch(self, req: Any, *args: Any, **kwargs: Any) -> Any:
        """Everything that is asked of the provider."""
        return await super().fetch(carefully(req, self.hub_settings.oidc_ca), *args, **kwargs)

    async def authenticate(self, handler: Any, data: Any = None, **_: Any) -> Any:
        if data is not None:
            raise HTTPError(400, "Passwords are the provider's here")
        client, begun = self.address_of(handler), time.monotonic()
        try:
            place = browser_of(handler, NOBODY) or client
            if seconds := self.throttle.waits_at(place, time.time()):
                self.note_refusal(handler, "too many attempts")
                await asyncio.sleep(PAUSE - (time.monotonic() - begun))
                raise Refused(429, TOO_MANY, seconds)
            async with self.checks.turn(place, known=place != client):
                await self.find_provider(handler)
                found = await self._redeem(handler, client, place)
            async with self._one_by_one:  # of two people of one name the second is another person
                model = await self._admit_person(handler, self.completed(found), client)
        except Crowded:
            self.note_refusal(handler, "too many at once")
            raise Refused(503, CROWDED, CROWDED_SECONDS) from None
        except SQLAlchemyError:
            self.db.rollback()
            raise Refused(503, AWAY, AWAY_SECONDS) from None
        if model is None:
            raise Refused(403, NO_USER)
        return model

    async def _admit_person(self, handler: Any, model: Any, client: str) -> Any:
        """Raises Refused also where the name is another person's."""
        name = self.normalize_username(model["name"])
        subject = str(self._claims(model).get("sub") or "")[:LONGEST]
        if self.validate_username(name) and self.vouched.is_another(name, subject):
            self.post.note("refused", name, client, "another person had this name")
            raise Refused(403, NO_USER)
        admitted = await self._let_in(handler, NOBODY, model, client)
        if admitted is not None:
            self.vouched.keep(name, subject, time.time())
            self.db.commit()
        return admitted

    async def refresh_user(self, user: Any, handler: Any = None, **more: Any) -> bool:
        """A session ends in a day, tokens do not: those of somebody who does not come any more."""
        last = self.vouched.last(user.name)
        is_trusted = last is None or time.time() - last < TRUSTED
        return is_trusted and await super().refresh_user(user, handler, **more)

    def forget_failures(self, name: str) -> None:
        super().forget_failures(name)
        self.vouched.forget(name)
        self.db.commit()

    def user_info_to_username(self, user_info: Any) -> str:
        """Raises Unusable, in words of the audit. An address is as good as the provider's word that it is theirs: at
        many anybody may write down whose they like."""
        claim = self.username_claim
        name = user_info.get(claim)
        if not isinstance(name, str) or not name:
            raise Unusable("the provider says no name")
        if claim == "email" and user_info.get("email_verified") is not True:
            raise Unusable("the provider has not verified the address")
        return name

    async def _redeem(self, handler: Any, client: str, place: str) -> Any:
        """Who it is, by the provider's word. Raises Refused."""
        try:
            found = await GenericOAuthenticator.authenticate(self, handler)
        except Unusable as problem:
            self.note_refusal(handler, str(problem))
            raise Refused(403, NO_USER) from None
        except (HTTPError, HTTPClientError, OSError, *NO_ANSWER) as error:
            code = getattr(error, "code", getattr(error, "status_code", 599))
            if code >= 500 or 300 <= code < 400:  # a redirect, that leads away from it, is no answer
                said = error if isinstance(error, (HTTPClientError, OSError)) else type(error).__name__
                self.log.error("the provider cannot be asked: %s", said)  # others say what it answered, tokens and all
                self.note_refusal(handler, "the provider is away")
                raise Refused(503, DIRECTORY_AWAY, AWAY_SECONDS) from None
            found = None
        if found is None:
            self.throttle.failed_at(place, time.time())
            self.remember()
            self.post.note("failed", "", client, "the provider vouches for nobody")
            raise Refused(403, NOT_VOUCHED)
        return found

    def groups_of(self, model: dict[str, Any]) -> set[str]:
        groups = self._claims(model).get(self.hub_settings.oidc_groups_claim)
        return {each for each in groups if isinstance(each, str)} if isinstance(groups, list) else set()

    def _claims(self, model: dict[str, Any]) -> dict[str, Any]:
        claims = (model.get("auth_state") or {}).get(self.user_auth_state_key)
        return claims if isinstance(claims, dict) else {}

    def is_known(self, name: str) -> bool:
        return bool(name) and super().is_known(name)
