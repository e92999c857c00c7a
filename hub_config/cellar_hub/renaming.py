"""Keeps JupyterHub from losing a user's name.

Defect of JupyterHub 5.5 and 6.1.1: `PATCH /hub/api/users/NAME` with an unchanged `name` in its body sets the name to
NULL and answers 200; its own admin page sends exactly that when only the admin box is ticked. The guard takes an
unchanged name out of the body before the handler sees it. Where the defect is mended it changes nothing.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from jupyterhub.apihandlers.users import UserAPIHandler

_GUARDED = "_cellar_guarded"


def without_unchanged_name(body: bytes, name: str) -> bytes:
    """The body of a PATCH without a `name` that says what is so already; any other body stays as it is. Pure."""
    try:
        data = json.loads(body)
    except ValueError:
        return body
    if not isinstance(data, dict) or data.get("name") != name:
        return body
    return json.dumps({key: value for key, value in data.items() if key != "name"}).encode()


def guard_names() -> None:
    """Mend `UserAPIHandler` in this process; once is enough, twice does no harm."""
    patch = UserAPIHandler.patch
    if getattr(patch, _GUARDED, False):
        return

    @functools.wraps(patch)
    async def guarded(self: Any, user_name: str) -> Any:
        self.request.body = without_unchanged_name(self.request.body, user_name)
        return await patch(self, user_name)

    setattr(guarded, _GUARDED, True)
    UserAPIHandler.patch = guarded
