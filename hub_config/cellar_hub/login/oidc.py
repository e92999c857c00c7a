"""Log-in by a provider of OpenID Connect: no password comes here, what comes back from the provider is redeemed.

It is the address alone that is throttled: on the way back nobody has a name yet. Each attempt costs the provider a
question, too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthCallbackHandler
from sqlalchemy.exc import SQLAlchemyError
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

from .checks import Crowded
from .directories import Directory
from .entrance import AWAY_SECONDS, CROWDED_SECONDS, PAUSE
from .pages import render_login, say
from .refusals import AWAY, CROWDED, DIRECTORY_AWAY, NO_USER, NOT_VOUCHED, TOO_MANY, Refused

NOBODY = ""  # whose log-in it is, before the provider has said so


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
    callback_handler = Callback

    def own_handlers(self, app: Any) -> list[Any]:
        return [*super().own_handlers(app), *GenericOAuthenticator.get_handlers(self, app)]

    async def authenticate(self, handler: Any, data: Any = None, **_: Any) -> Any:
        if data is not None:
            raise HTTPError(400, "Passwords are the provider's here")
        client, begun = self.address_of(handler), time.monotonic()
        try:
            if seconds := self.throttle.waits_at(client, time.time()):
                self.note_refusal(handler, "too many attempts")
                await asyncio.sleep(PAUSE - (time.monotonic() - begun))
                raise Refused(429, TOO_MANY, seconds)
            async with self.checks.turn(client):
                found = await self._redeem(handler, client)
            model = await self._let_in(NOBODY, self.completed(found), client)
        except Crowded:
            self.note_refusal(handler, "too many at once")
            raise Refused(503, CROWDED, CROWDED_SECONDS) from None
        except SQLAlchemyError:
            self.db.rollback()
            raise Refused(503, AWAY, AWAY_SECONDS) from None
        if model is None:
            raise Refused(403, NO_USER)
        return model

    async def _redeem(self, handler: Any, client: str) -> Any:
        """Who it is, by the provider's word. Raises Refused."""
        try:
            found = await GenericOAuthenticator.authenticate(self, handler)
        except (HTTPError, HTTPClientError, OSError) as error:
            if getattr(error, "code", getattr(error, "status_code", 599)) >= 500:
                self.log.error("the provider cannot be asked: %s", error)
                self.note_refusal(handler, "the provider is away")
                raise Refused(503, DIRECTORY_AWAY, AWAY_SECONDS) from None
            found = None
        if found is None:
            self.throttle.failed_at(client, time.time())
            self.remember()
            self.post.note("failed", "", client, "the provider vouches for nobody")
            raise Refused(403, NOT_VOUCHED)
        return found

    def groups_of(self, model: dict[str, Any]) -> set[str]:
        claims = (model.get("auth_state") or {}).get(self.user_auth_state_key) or {}
        groups = claims.get(self.hub_settings.oidc_groups_claim) if isinstance(claims, dict) else None
        return {each for each in groups if isinstance(each, str)} if isinstance(groups, list) else set()

    def is_known(self, name: str) -> bool:
        return bool(name) and super().is_known(name)
