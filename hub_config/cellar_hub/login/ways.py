"""Which kind of log-in there is, and JupyterHub's settings for it; the settings were checked before (`check_login`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from cellar.settings import SettingsError

from cellar_hub.settings import HubSettings

from .discovery import check_ca, is_safe

NEEDED = {
    "ldap": (("CELLAR_LDAP_SERVER", "ldap_server"),),
    "oidc": (
        ("CELLAR_PUBLIC_URL", "public_url"),
        ("CELLAR_OIDC_CLIENT_ID", "oidc_client"),
        ("CELLAR_OIDC_CLIENT_SECRET", "oidc_secret"),
    ),
}
BY_HAND = (
    ("CELLAR_OIDC_AUTHORIZE_URL", "oidc_authorize_url"),
    ("CELLAR_OIDC_TOKEN_URL", "oidc_token_url"),
    ("CELLAR_OIDC_USERINFO_URL", "oidc_userinfo_url"),
)
"""What a provider says of itself, where CELLAR_OIDC_ISSUER names it."""


def check_login(settings: HubSettings) -> None:
    """Raises SettingsError for what this kind of log-in lacks."""
    if settings.login == "local":
        return
    if not (settings.login_groups or settings.login_names):
        raise SettingsError(
            "CELLAR_LOGIN_GROUPS", f"or CELLAR_LOGIN_NAMES must say who is let in, with CELLAR_LOGIN={settings.login}"
        )
    for variable, field in NEEDED.get(settings.login, ()):
        if not getattr(settings, field):
            raise SettingsError(variable, f"must be set, with CELLAR_LOGIN={settings.login}")
    if settings.login == "ldap":
        _check_ldap(settings)
    if settings.login == "oidc":
        _check_oidc(settings)


def _check_ldap(settings: HubSettings) -> None:
    if bool(settings.ldap_user_dn) == bool(settings.ldap_user_base):
        raise SettingsError("CELLAR_LDAP_USER_DN", "or CELLAR_LDAP_USER_BASE must be set, and one of them alone")
    if settings.ldap_user_dn and settings.ldap_user_dn.count("{username}") != 1:
        raise SettingsError("CELLAR_LDAP_USER_DN", "must have {username} where the name stands, once")
    if settings.ldap_user_dn.replace("{username}", "").count("{"):
        raise SettingsError("CELLAR_LDAP_USER_DN", "may have no other { than that of {username}")
    if (settings.login_groups or settings.hub_groups) and not settings.ldap_group_base:
        raise SettingsError("CELLAR_LDAP_GROUP_BASE", "must be set: groups are looked for below it")
    if bool(settings.ldap_bind_dn) != bool(settings.ldap_bind_password):
        raise SettingsError("CELLAR_LDAP_BIND_PASSWORD", "and CELLAR_LDAP_BIND_DN must both be set, or neither")
    if settings.ldap_tls == "off" and settings.ldap_server.startswith("ldaps:"):
        raise SettingsError("CELLAR_LDAP_TLS", "cannot be off with ldaps://")
    check_ca(settings.ldap_ca, "CELLAR_LDAP_CA")


def _check_oidc(settings: HubSettings) -> None:
    check_ca(settings.oidc_ca, "CELLAR_OIDC_CA")
    if settings.oidc_issuer and not is_safe(settings.oidc_issuer):
        raise SettingsError("CELLAR_OIDC_ISSUER", "must be an address of https")
    for variable, field in BY_HAND:
        address = getattr(settings, field)
        if settings.oidc_issuer and address:
            raise SettingsError(variable, "must be empty where CELLAR_OIDC_ISSUER is set: the provider says it")
        if not settings.oidc_issuer and not address:
            raise SettingsError(variable, "must be set, or CELLAR_OIDC_ISSUER, with CELLAR_LOGIN=oidc")
        if address and not is_safe(address):
            raise SettingsError(variable, "must be an address of https: the hub's secret and people's tokens go there")


def set_login(c: Any, settings: HubSettings) -> None:
    """The authenticator, and what it is told."""
    c.Login.hub_settings = settings
    c.Authenticator.allow_existing_users = settings.login == "local"
    c.Authenticator.manage_groups = settings.login != "local" and bool(settings.hub_groups)
    {"local": _set_local, "pam": _set_pam, "ldap": _set_ldap, "oidc": _set_oidc}[settings.login](c, settings)


def _set_local(c: Any, settings: HubSettings) -> None:
    from .native import LocalLogin

    c.JupyterHub.authenticator_class = LocalLogin
    login = c.NativeAuthenticator
    login.enable_signup = False  # nobody gets in whom no administrator has approved: the page for it is ours
    login.open_signup = False
    login.allowed_failed_logins = 0  # it locks accounts, in memory; ours makes wait, and remembers


def _set_pam(c: Any, settings: HubSettings) -> None:
    from .directories import AT_ONCE, PamLogin

    c.JupyterHub.authenticator_class = PamLogin
    c.PAMAuthenticator.service = settings.pam_service
    c.PAMAuthenticator.executor_threads = AT_ONCE
    c.PAMAuthenticator.check_account = True


def _set_ldap(c: Any, settings: HubSettings) -> None:
    import ssl

    from ldapauthenticator.ldapauthenticator import TlsStrategy

    from .ldap import LdapLogin, group_dn

    c.JupyterHub.authenticator_class = LdapLogin
    address = urlsplit(settings.ldap_server)
    login = c.LDAPAuthenticator
    login.server_address, login.server_port = address.hostname, address.port
    login.tls_strategy = TlsStrategy.on_connect if address.scheme == "ldaps" else TlsStrategy.before_bind
    if settings.ldap_tls == "off":
        login.tls_strategy = TlsStrategy.insecure
    login.tls_kwargs = {"validate": ssl.CERT_REQUIRED, "version": ssl.PROTOCOL_TLS_CLIENT}
    if settings.ldap_ca is not None:
        login.tls_kwargs["ca_certs_file"] = str(settings.ldap_ca)
    login.valid_username_regex = r"^[a-z0-9][.a-z0-9_@-]*$"
    if settings.ldap_user_dn:
        login.bind_dn_template = [settings.ldap_user_dn]
    else:
        login.lookup_dn = True
        login.user_search_base = settings.ldap_user_base
        login.user_attribute = login.lookup_dn_user_dn_attribute = settings.ldap_user_attribute
    if settings.ldap_bind_dn:
        login.lookup_dn_search_user = settings.ldap_bind_dn
        login.lookup_dn_search_password = settings.ldap_bind_password
    # those that are looked at; who may come in is not decided by it
    login.allowed_groups = [group_dn(name, settings) for name in (*settings.login_groups, *settings.hub_groups)]


def _set_oidc(c: Any, settings: HubSettings) -> None:
    from .oidc import OidcLogin

    c.JupyterHub.authenticator_class = OidcLogin
    login = c.GenericOAuthenticator
    login.login_service = settings.oidc_name
    login.client_id, login.client_secret = settings.oidc_client, settings.oidc_secret
    login.oauth_callback_url = f"{settings.public_url}{settings.base_path}hub/oauth_callback"
    login.authorize_url = settings.oidc_authorize_url
    login.token_url = settings.oidc_token_url
    login.userdata_url = settings.oidc_userinfo_url
    login.scope = list(settings.oidc_scopes)
    login.username_claim = settings.oidc_username_claim
    login.enable_pkce = True
