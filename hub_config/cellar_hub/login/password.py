"""The page where somebody gives their own account a new password.

Whoever sits at a browser that was left open has the session and not the password: the old one is asked for, and tried
under the same rules as at a log-in. What is wrong with the new one is said before the old one is looked at, so that
this page says nothing about a password without counting it.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from tornado.web import authenticated

from cellar_hub.accounts import Unusable

from .pages import as_sentence, chosen_password, say
from .refusals import SAME_PASSWORD, Refused


class PasswordPage(BaseHandler):  # type: ignore[misc]  # it ships no types
    @authenticated
    async def get(self) -> None:
        self.finish(await self._page())

    @authenticated
    async def post(self) -> None:
        user = self.current_user
        try:
            old = self.get_body_argument("old", "", strip=False)
            new = chosen_password(self, user.name)
            if old.encode("utf-8", "surrogatepass") == new:
                raise Unusable(SAME_PASSWORD)
            await self.authenticator.renew(self, user, old, new)
        except Unusable as problem:
            self.set_status(400)
            self.finish(await self._page(str(problem)))
        except Refused as refused:
            say(self, refused)
            self.finish(await self._page(refused.text))
        else:
            # the one session that goes on has another name: who has copied the cookies of this browser is out, too
            self.set_session_cookie()
            self.set_login_cookie(user)
            self.finish(await self._page(is_done=True))

    async def _page(self, problem: str = "", is_done: bool = False) -> Any:
        return await self.render_template(
            "password.html",
            problem=as_sentence(problem),
            is_done=is_done,
            xsrf=self.xsrf_token.decode("ascii"),
        )
