"""Log-in with passwords that are not the hub's: what all kinds of it have in common, and those of the machine (PAM).

Design note. Whom JupyterHub's authenticators let in is not asked: three rules in three words would be three chances of
letting everybody in. They say whose password it was and which groups that person is in; who comes in stands in
CELLAR_LOGIN_NAMES and CELLAR_LOGIN_GROUPS, or is named by an administrator (`cellar-hub users add`). Somebody who left
a group is out at the next log-in, a day later at most; `cellar-hub users block` is at once.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
from collections.abc import Iterable
from typing import Any

from jupyterhub.auth import Authenticator, PAMAuthenticator

from .attempts import SUCCEEDED, Kind
from .entrance import Login
from .membership import Membership, Said

AT_ONCE = 16  # questions to a directory, most of whose time is waiting


def is_askable(name: str, password: str) -> bool:
    """Whether a directory is asked at all: several let in whoever has no password, and none has such characters."""
    return bool(name and password) and not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in password)


class Directory(Login):
    at_once = AT_ONCE

    def get_handlers(self, app: Any) -> list[Any]:
        if self.manage_groups:
            self._membership = Membership(self.db, self._tell_groups, self.log)
        return list(super().get_handlers(app))

    def _tell_groups(self, name: str, said: Said) -> None:
        self.post.tell_call(Kind(SUCCEEDED, name, "", "", "user.groups", "hub", said), True)

    def groups_of(self, model: dict[str, Any]) -> set[str]:
        """Names of the directory's groups that the person is in, of those that the settings name."""
        raise NotImplementedError

    def completed(self, found: Any) -> Any:
        """What the authenticator said, with the groups that shall be the hub's."""
        if found is None:
            return None
        model = dict(found) if isinstance(found, dict) else {"name": found}
        groups = self.groups_of(model)
        model["cellar_groups"] = groups
        if self.manage_groups:
            model["groups"] = sorted(groups & set(self.hub_settings.hub_groups))
        return model

    async def check_allowed(self, username: str, authentication: Any = None) -> bool:
        settings = self.hub_settings
        named = username in settings.login_names or username in self.admin_users or self.book.is_named(username)
        return named or bool((authentication or {}).get("cellar_groups", set()) & set(settings.login_groups))

    def add_user(self, user: Any) -> None:
        """JupyterHub's own would want an account of this machine for everybody."""
        Authenticator.add_user(self, user)


class PamLogin(Directory, PAMAuthenticator):  # type: ignore[misc]  # it ships no types
    kind = "pam"

    async def compare(self, handler: Any, name: str, fields: dict[str, Any]) -> Any:
        if not is_askable(name, fields["password"]):
            return None
        typed = {"username": name, "password": fields["password"]}
        return self.completed(await PAMAuthenticator.authenticate(self, None, typed))

    async def refresh_user(self, user: Any, handler: Any = None, **more: Any) -> Any:
        """Also whether they may come in still: the machine's groups are asked without a password."""
        if not await super().refresh_user(user, handler, **more):
            return False
        model = await asyncio.to_thread(self.completed, user.name)
        if not await self.check_allowed(user.name, model):
            return False
        return {"name": user.name, "groups": model["groups"]} if self.manage_groups else True

    def groups_of(self, model: dict[str, Any]) -> set[str]:
        try:
            entry = pwd.getpwnam(model["name"])
        except KeyError:  # somebody whom PAM knows and this machine does not
            return set()
        return set(_names(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def _names(numbers: Iterable[int]) -> Iterable[str]:
    for number in numbers:
        try:
            yield grp.getgrgid(number).gr_name
        except KeyError:
            continue
