"""JupyterHub's own calls about one user, where they would leave the hub without an administrator, or let somebody else
than one remove one: refused as the accounts API (`api`) refuses it. Each looks at who is asking first.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.users import UserAPIHandler
from jupyterhub.scopes import needs_scope
from tornado.web import HTTPError

from .book import Book

ONLY_ADMINISTRATORS = "Only administrators change an administrator's account"


def keep_one(book: Book, name: str) -> None:
    """Raises HTTPError where nobody would administer the hub any more who may log in."""
    if book.is_last_admin(name):
        raise HTTPError(409, "%s", f"{name} is the last administrator: make another one first")


class OneUser(UserAPIHandler):  # type: ignore[misc]  # it ships no types
    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def patch(self, user_name: str) -> None:
        wanted: Any = self.get_json_body()
        if isinstance(wanted, dict) and wanted.get("admin") is False and self.current_user.admin:
            keep_one(self.authenticator.book, user_name)  # of others JupyterHub refuses it
        await super().patch(user_name)

    @needs_scope("delete:users")  # type: ignore[untyped-decorator]
    async def delete(self, user_name: str) -> None:
        user = self.find_user(user_name)
        if user is not None and user.admin:
            if not self.current_user.admin:
                raise HTTPError(403, ONLY_ADMINISTRATORS)
            keep_one(self.authenticator.book, user_name)
        await super().delete(user_name)


HANDLERS = [(r"/api/users/([^/]+)", OneUser)]
