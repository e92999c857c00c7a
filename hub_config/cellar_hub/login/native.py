"""Log-in with local accounts: NativeAuthenticator keeps the passwords.

Its own pages were written for JupyterHub 5 (version 1.3 fails on 6.1, at the first log-in): the pages are ours.
bcrypt's quarter of a second is spent in threads of its own (`checks`), so that nobody else's page waits for it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import bcrypt
from nativeauthenticator import NativeAuthenticator

from .entrance import Login
from .pages import SignUpPage

NOBODY = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt())
"""What the password of an unknown name is compared with."""
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

    def own_handlers(self, app: Any) -> list[Any]:
        signup = [(r"/signup", SignUpPage)] if self.offers_signup else []
        return [*super().own_handlers(app), *signup]

    async def compare(self, handler: Any, name: str, fields: dict[str, Any]) -> Any:
        digest = self.book.digest(name) if name else None
        check = partial(matches, fields["password"], NOBODY if digest is None else digest)
        right = await asyncio.get_running_loop().run_in_executor(self.checks.threads, check)
        may = digest is not None and self.book.state(name) != "waiting"  # and is answered like a name that is nobody's
        return name if right and may else None

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        return self.book.state(username) == "allowed"
