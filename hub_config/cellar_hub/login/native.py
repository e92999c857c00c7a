"""Log-in with local accounts: NativeAuthenticator keeps the passwords.

Its own pages were written for JupyterHub 5 (version 1.3 fails on 6.1, at the first log-in): the pages are ours.
bcrypt's quarter of a second is spent in threads of its own (`checks`), so that nobody else's page waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import Any

import bcrypt
from nativeauthenticator import NativeAuthenticator
from sqlalchemy.exc import SQLAlchemyError

from .browsers import browser_of
from .checks import Crowded
from .entrance import AWAY_SECONDS, CROWDED_SECONDS, Login
from .pages import SignUpPage
from .password import PasswordPage
from .refusals import AWAY, CROWDED, TOO_MANY, WRONG_OLD, Refused
from .throttle import DAY
from .waiting import refusal

NOBODY = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt())
"""What the password of an unknown name is compared with."""
LOOKS = 3600.0  # seconds between two looks at who has waited for too long
AT_ONCE = 200  # of them that are dropped at one look
LONGEST = 72  # bytes of a password that bcrypt reads


def matches(password: str, digest: bytes) -> bool:
    """Whether it is the password; one that bcrypt would cut off or refuse is not."""
    content = password.encode("utf-8", "surrogatepass")
    return bcrypt.checkpw(content[:LONGEST], digest) and len(content) <= LONGEST


class LocalLogin(Login, NativeAuthenticator):  # type: ignore[misc]  # it ships no types
    kind = "local"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offers_signup = self.hub_settings.signup == "on"
        self._in_vain: deque[tuple[float, str]] = deque()  # when, and from where a name was asked for that was not free

    def get_handlers(self, app: Any) -> list[Any]:
        self._dropping = asyncio.get_running_loop().create_task(self._keep_dropping())
        return list(super().get_handlers(app))

    async def _keep_dropping(self) -> None:
        while True:
            try:
                self.drop_overdue()
            except SQLAlchemyError as error:
                self.db.rollback()
                self.log.warning("sign-ups could not be looked at: %s", type(error).__name__)
            await asyncio.sleep(LOOKS)

    def drop_overdue(self) -> None:
        """Sign-ups that nobody has decided about in time: their names are free again, and their places."""
        days = self.hub_settings.signup_days
        for name, client in self.book.overdue(time.time() - days * DAY, AT_ONCE) if days else ():
            self.book.remove(name)
            self.post.tell("user.account.remove", "hub", name, client, f"nobody decided in {days} days")

    def no_room(self, client: str) -> str:
        """Why one more sign-up from there may not wait, or nothing. For a day a place is taken by a sign-up with a name
        that is not free, too: else whoever counts the places that are left would learn which it was."""
        while self._in_vain and time.time() - self._in_vain[0][0] > DAY:
            self._in_vain.popleft()
        waiting = [*self.book.waiting(), *(each for _, each in self._in_vain)]
        return refusal(waiting, client, self.hub_settings.signups_waiting)

    def asked_in_vain(self, client: str) -> None:
        self._in_vain.append((time.time(), client))

    def own_handlers(self, app: Any) -> list[Any]:
        signup = [(r"/signup", SignUpPage)] if self.offers_signup else []
        return [*super().own_handlers(app), *signup, (r"/password", PasswordPage)]

    async def compare(self, handler: Any, name: str, fields: dict[str, Any]) -> Any:
        digest = self.book.digest(name) if name else None
        check = partial(matches, fields["password"], NOBODY if digest is None else digest)
        right = await asyncio.get_running_loop().run_in_executor(self.checks.threads, check)
        may = digest is not None and self.book.state(name) != "waiting"  # and is answered like a name that is nobody's
        return name if right and may else None

    async def renew(self, handler: Any, user: Any, old: str, new: bytes) -> None:
        """Whoever knows the old password gets the new one, and all sessions end. Raises Refused."""
        name, client = user.name, self.address_of(handler)
        try:
            await self._renew(handler, user, old, new)
        except Refused as refused:
            reason = "wrong password" if refused.text == WRONG_OLD else "too many wrong passwords"
            self.post.note("password", name, client, reason)
            raise
        except Crowded:
            self.post.note("password", name, client, "too many at once")
            raise Refused(503, CROWDED, CROWDED_SECONDS) from None
        except SQLAlchemyError:
            self.db.rollback()
            self.post.note("password", name, client, "the hub's database is away")
            raise Refused(503, AWAY, AWAY_SECONDS) from None
        self.post.note("password", name, client)

    async def _renew(self, handler: Any, user: Any, old: str, new: bytes) -> None:
        key = self.key_of(user.name)
        place = browser_of(handler, key) or self.address_of(handler)
        before = self.book.digest(user.name)
        compare = partial(self.compare, handler, user.name, {"password": old})
        found, seconds = await self.try_password(key, place, compare)
        if found is None and seconds:
            raise Refused(429, TOO_MANY, seconds)
        # while it is made an administrator may have closed the account, or given it another password
        digest = found and await self.checks.run(place, lambda: bcrypt.hashpw(new, bcrypt.gensalt()), known=True)
        if not digest or before is None or not self.book.renew(user.name, before, digest):
            raise Refused(403, WRONG_OLD)
        self.end_sessions(user)
        self.db.commit()
        self.throttle.excuse(key, place)
        self.remember()

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        return self.book.state(username) == "allowed"
