"""Log-in with local accounts, where a blocked account stops working at once, not at the next log-in.

NativeAuthenticator asks only at log-in whether an account may be used; a cookie of yesterday would go on. JupyterHub
asks `refresh_user` again after `auth_refresh_age` seconds, for cookies and tokens alike, and before each start of a
workspace.
"""

from __future__ import annotations

from typing import Any

from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo


class Login(NativeAuthenticator):  # type: ignore[misc]  # it ships no types
    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Whether the user's account, if there is one, may be used. The column is read anew from the database."""
        allowed = self.db.query(UserInfo.is_authorized).filter(UserInfo.username == user.name).first()
        return allowed is None or bool(allowed[0])
