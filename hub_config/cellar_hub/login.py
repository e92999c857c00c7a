"""Log-in with local accounts, where a blocked account stops working at once, not at the next log-in.

NativeAuthenticator keeps the accounts. What is ours:

- It asks only at log-in whether an account may be used; a cookie of yesterday would go on. JupyterHub asks
  `refresh_user` again after `auth_refresh_age` seconds, for cookies and, with `auth_refresh_strict`, for tokens, and
  before each start of a workspace.
- An unknown name takes as long as a wrong password: who measures learns no names. bcrypt's quarter of a second is spent
  in a thread, so that nobody else's page waits for it.
- Its own pages were written for JupyterHub 5 (version 1.3 fails on 6.1, at the first log-in); the hub's log-in page is
  used, and accounts are made by `cellar-hub users`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import bcrypt
from jupyterhub.auth import Authenticator
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo

NOBODY = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt())
"""What the password of an unknown name is compared with."""
LONGEST = 72  # bytes of a password that bcrypt reads


def matches(password: str, digest: bytes) -> bool:
    """Whether it is the password; one that bcrypt would cut off or refuse is not."""
    content = password.encode()
    return bcrypt.checkpw(content[:LONGEST], digest) and len(content) <= LONGEST


class Login(NativeAuthenticator):  # type: ignore[misc]  # it ships no types
    def get_handlers(self, app: Any) -> list[Any]:
        handlers: list[Any] = Authenticator.get_handlers(self, app)
        return handlers

    async def authenticate(self, _handler: Any, data: dict[str, str]) -> str | None:
        """The user's name, or None. Wrong passwords in a row make the account wait, as configured."""
        name: str = self.normalize_username(data["username"])
        account = self.get_user(name)
        right = await asyncio.to_thread(matches, data["password"], account.password if account else NOBODY)
        if account is None or (self.allowed_failed_logins and self.is_blocked(name)):
            return None
        if right and account.is_authorized:
            self.successful_login(name)
            return name
        self.add_login_attempt(name)
        return None

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Whether the user's account, if there is one, may be used. The column is read anew from the database."""
        allowed = self.db.query(UserInfo.is_authorized).filter(UserInfo.username == user.name).first()
        return allowed is None or bool(allowed[0])
