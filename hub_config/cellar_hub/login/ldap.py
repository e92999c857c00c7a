"""Log-in with the passwords of a directory, LDAP: asked in threads, for a bounded time.

Where the hub may look for people (CELLAR_LDAP_USER_BASE or CELLAR_LDAP_BIND_DN), it looks again now and then at whoever
is logged in: who left the directory, or the groups that are let in, is out then. A directory that is away throws nobody
out.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPBindError, LDAPException
from ldap3.core.tls import Tls
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn
from ldapauthenticator import LDAPAuthenticator
from ldapauthenticator.ldapauthenticator import TlsStrategy
from traitlets import Integer

from .directories import Directory, is_askable
from .entrance import AWAY_SECONDS, Away

CONNECTING, ANSWERING = 5, 15  # seconds that a directory may take


class LdapLogin(Directory, LDAPAuthenticator):  # type: ignore[misc]  # it ships no types
    kind = "ldap"
    look_again = Integer(600, help="Seconds after which the directory is asked again about a user").tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looked: dict[str, float] = {}  # when the directory last said that they may be here
        self._away_until = 0.0
        self._may_look = self.lookup_dn or bool(self.lookup_dn_search_user)

    async def compare(self, handler: Any, name: str, fields: dict[str, Any]) -> Any:
        """In a thread: the authenticator waits for the directory, and the hub with it."""
        if not is_askable(name, fields["password"]):
            return None
        typed = {"username": name, "password": fields["password"]}

        def ask() -> Any:
            return asyncio.run(LDAPAuthenticator.authenticate(self, None, typed))

        try:
            found = await asyncio.get_running_loop().run_in_executor(self.checks.threads, ask)
        except LDAPException as error:
            self.log.error("the directory cannot be asked: %s", type(error).__name__)
            raise Away("the directory is away") from None
        return self.completed(found)

    async def refresh_user(self, user: Any, handler: Any = None, **more: Any) -> Any:
        if not await super().refresh_user(user, handler, **more):
            return False
        again = max(self._away_until, self._looked.get(user.name, 0.0) + self.look_again)
        if not self._may_look or time.monotonic() < again:
            return True
        try:
            model = await asyncio.get_running_loop().run_in_executor(self.checks.threads, self._look, user.name)
        except LDAPException as error:
            self.log.warning("the directory cannot be asked about a user: %s", type(error).__name__)
            self._away_until = time.monotonic() + AWAY_SECONDS  # else everybody's requests wait for it, one by one
            return True
        if not await self.check_allowed(user.name, model):
            return False
        self._looked[user.name] = time.monotonic()
        return {"name": user.name, "groups": model["groups"]} if self.manage_groups else True

    def _look(self, name: str) -> Any:
        """What a log-in would say of their groups, without a password. Raises LDAPException."""
        uid, entry = self.resolve_username(name) if self.lookup_dn else (name, self._place_of(name))
        found: list[str] = []
        if entry:
            connection = self.get_connection(self.lookup_dn_search_user, self.lookup_dn_search_password)
            if connection is None:
                raise LDAPBindError
            filters = self.group_search_filter.format(userdn=escape_filter_chars(entry), uid=escape_filter_chars(uid))
            found = [
                group
                for group in self.allowed_groups or ()
                if connection.search(group, filters, search_scope=ldap3.BASE, attributes=self.group_attributes)
            ]
            connection.unbind()
        return self.completed({"name": name, "auth_state": {"ldap_groups": found}})

    def _place_of(self, name: str) -> str:
        found: str = self.bind_dn_template[0].format(username=escape_rdn(name))
        return found

    def get_connection(self, userdn: str, password: str) -> Any:
        """As the authenticator's, with a bound on how long the directory may take. Raises LDAPException: also where the
        hub itself may not look for people, which is nobody's wrong password."""
        on_connect = self.tls_strategy == TlsStrategy.on_connect
        is_insecure = self.tls_strategy == TlsStrategy.insecure
        server = ldap3.Server(
            self.server_address,
            port=self.server_port,
            use_ssl=on_connect,
            tls=None if is_insecure else Tls(**self.tls_kwargs),
            connect_timeout=CONNECTING,
            get_info=ldap3.NONE,
        )
        bind = ldap3.AUTO_BIND_NO_TLS if on_connect or is_insecure else ldap3.AUTO_BIND_TLS_BEFORE_BIND
        try:
            return ldap3.Connection(
                *(server, userdn, password),
                auto_bind=bind,
                auto_referrals=False,  # whomever the directory refers to is told no password
                receive_timeout=ANSWERING,
            )
        except LDAPBindError:
            if self.lookup_dn and userdn == self.lookup_dn_search_user:
                raise
            return None

    def groups_of(self, model: dict[str, Any]) -> set[str]:
        found = (model.get("auth_state") or {}).get("ldap_groups", [])
        settings = self.hub_settings
        return {name for name in (*settings.login_groups, *settings.hub_groups) if group_dn(name, settings) in found}


def group_dn(name: str, settings: Any) -> str:
    return f"cn={escape_rdn(name)},{settings.ldap_group_base}"
