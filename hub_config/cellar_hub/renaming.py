"""Keeps JupyterHub from losing a user's name, or from giving them another.

Defect of JupyterHub 5.5 and 6.1.1: `PATCH /hub/api/users/NAME` with an unchanged `name` in its body sets the name to
NULL and answers 200; its own admin page sends exactly that when only the admin box is ticked. The guard takes an
unchanged name out of the body before the handler sees it. Where the defect is mended it changes nothing.

Design note. Another name is refused. Everything that belongs to a user goes by it: the volume with their files, the
account with their password, quota and usage in the books, and the audit, which may not be rewritten. JupyterHub would
change its own table alone: the person would come back to an empty home, with a fresh quota and a log-in that does not
work, and whoever gets the old name would get the old files. Volumes could be found by the hub's number of the user, but
numbers begin anew with a new database, and then open somebody else's files. So a person gets a new user, and an
administrator copies the files (docs/hub.md).
"""

from __future__ import annotations

import functools
import json
from typing import Any

from jupyterhub.apihandlers.users import UserAPIHandler
from tornado.web import HTTPError

_GUARDED = "_cellar_guarded"
REFUSED = (
    "Users keep their names: files, log-in, quota and audit go by them. Make a new user, and copy the files to it: "
    "docs/hub.md says how."
)


def without_unchanged_name(body: bytes, name: str) -> bytes:
    """The body of a PATCH without a `name` that says what is so already; any other body stays as it is. Pure."""
    try:
        data = json.loads(body)
    except ValueError:
        return body
    if not isinstance(data, dict) or data.get("name") != name:
        return body
    return json.dumps({key: value for key, value in data.items() if key != "name"}).encode()


def names_anew(body: bytes) -> bool:
    """Whether a PATCH says a name at all, after `without_unchanged_name`. Pure."""
    try:
        data = json.loads(body)
    except ValueError:
        return False
    return isinstance(data, dict) and "name" in data


def guard_names() -> None:
    """Mend `UserAPIHandler` in this process; once is enough, twice does no harm."""
    patch = UserAPIHandler.patch
    if getattr(patch, _GUARDED, False):
        return

    @functools.wraps(patch)
    async def guarded(self: Any, user_name: str) -> Any:
        self.request.body = without_unchanged_name(self.request.body, user_name)
        if names_anew(self.request.body):
            raise HTTPError(400, "%s", REFUSED)
        return await patch(self, user_name)

    setattr(guarded, _GUARDED, True)
    UserAPIHandler.patch = guarded
