"""The log-in page, which says why somebody does not get in and keeps what they typed as their name; and the page where
one asks for an account.

Whoever asks gets the same answer, after the same work, whether the name is taken or not. So what bounds the number of
sign-ups counts those of taken names, too.
"""

from __future__ import annotations

import time
from typing import Any

import bcrypt
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler
from sqlalchemy.exc import SQLAlchemyError

from cellar_hub.accounts import LONGEST_NOTE, Unusable, check_password, parse_name, parse_note

from .checks import Crowded
from .refusals import AWAY, CROWDED, ODD_PASSWORD, OFTEN, TWO_PASSWORDS, WRONG, WRONG_OR_WAITING, Refused

LONGEST_SHOWN = 255  # characters of what was typed as a name
TRY_AGAIN = 60  # seconds, where nobody knows better


def say(handler: Any, refused: Refused) -> None:
    """The answer's status, and when to try again."""
    handler.set_status(refused.status_code)
    for header, value in refused.headers.items():
        handler.set_header(header, value)


async def render_login(handler: Any, problem: str) -> Any:
    """The log-in page at another place than its own."""
    login = handler.authenticator
    return await handler.render_template(
        "login.html",
        next="",
        username="",
        login_error=problem,
        login_url=handler.settings["login_url"],
        authenticator_login_url=login.login_url(handler.hub.base_url),
        authenticator=login,
        custom_html="",
        xsrf=handler.xsrf_token.decode("ascii"),
    )


def chosen_password(handler: Any, name: str) -> bytes:
    """The password that somebody of that name has chosen for themselves and typed twice, as bcrypt takes it. Raises
    Unusable."""
    password = handler.get_body_argument("password", "", strip=False)
    if password != handler.get_body_argument("again", "", strip=False):
        raise Unusable(TWO_PASSWORDS)
    content = check_password(password).encode("utf-8", "surrogatepass")
    small = password.lower()
    is_common = handler.authenticator.is_password_common(small) or (len(name) > 3 and name in small)
    if is_common or b"\0" in content:
        raise Unusable(ODD_PASSWORD)
    return content


def as_sentence(problem: str) -> str:
    return problem[:1].upper() + problem[1:]


class LoginPage(LoginHandler):  # type: ignore[misc]  # it ships no types
    async def post(self) -> None:
        # names without spaces around them; a password may begin or end with one
        typed = {name: self.get_argument(name, strip=name == "username") for name in self.request.body_arguments}
        typed.pop("_xsrf", None)
        name = typed.get("username", "")[:LONGEST_SHOWN]
        try:
            user = await self.login_user(typed)
        except Refused as refused:
            say(self, refused)
            self.finish(await self._render(login_error=refused.text, username=name))
            return
        if user is None:
            self.set_status(403)
            problem = WRONG_OR_WAITING if self.authenticator.offers_signup else WRONG
            self.finish(await self._render(login_error=problem, username=name))
            return
        self._jupyterhub_user = user
        self.redirect(self.get_next_url(user))


class SignUpPage(BaseHandler):  # type: ignore[misc]  # it ships no types
    async def get(self) -> None:
        if self.current_user is not None:
            self.redirect(self.hub.base_url)
            return
        self.finish(await self._page())

    async def post(self) -> None:
        name, note = self.get_body_argument("username", ""), self.get_body_argument("note", "")
        try:
            await self._ask(name, note)
        except Unusable as problem:
            self.set_status(400)
            self.finish(await self._page(str(problem), name, note))
        except Refused as refused:
            say(self, refused)
            self.finish(await self._page(refused.text, name, note))
        else:
            self.finish(await self._page(is_done=True))

    async def _ask(self, name: str, note: str) -> None:
        """Raises Unusable for what cannot be an account's, and Refused."""
        login = self.authenticator
        account, wish = parse_name(name), parse_note(note)
        password = chosen_password(self, account)
        client, settings = login.address_of(self), login.hub_settings
        try:
            if not login.throttle.signs_up(client, settings.signups_of_one, time.time()):
                raise Refused(429, OFTEN, 3600)
            if why := login.no_room(client):
                raise Refused(503, why, 3600)
            digest = await login.checks.run(client, lambda: bcrypt.hashpw(password, bcrypt.gensalt()))
            files = await login.homes.files(account)
            # checked again, as others came meanwhile; and no name is free that is to be an administrator's, or that
            # still has the files of somebody who was removed
            is_free = account not in login.admin_users and files not in ("earlier", "theirs")
            is_free = is_free and not login.no_room(client)
            is_new = is_free and login.book.ask(account, digest, wish, client)
            if not is_new:
                login.asked_in_vain(client)
            login.remember()
        except Refused as refused:
            login.remember()
            login.note_signup(self, account, refused.text)
            raise
        except Crowded:
            raise Refused(503, CROWDED, TRY_AGAIN) from None
        except SQLAlchemyError:
            self.db.rollback()
            raise Refused(503, AWAY, TRY_AGAIN) from None
        login.note_signup(self, account, "" if is_new else "the name is taken")

    async def _page(self, problem: str = "", name: str = "", note: str = "", is_done: bool = False) -> Any:
        return await self.render_template(
            "signup.html",
            signup_error=as_sentence(problem),
            typed_name=name[:LONGEST_SHOWN],
            typed_note=note[: 2 * LONGEST_NOTE],
            longest_note=LONGEST_NOTE,
            is_done=is_done,
            login_url=self.settings["login_url"],
            xsrf=self.xsrf_token.decode("ascii"),
        )
