"""Which kind of log-in there is, and what each lacks, said by name before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from cellar.settings import SettingsError
from cellar_hub.login import ways
from cellar_hub.settings import HubSettings

BASE = {
    "CONFIGPROXY_AUTH_TOKEN": "proxy-0123456789abcdef",
    "CELLAR_GATEWAY_TOKEN": "gateway-0123456789abcdef",
    "CELLAR_WORKSPACE_IMAGES": "data=cellar-workspace:1",
}
GROUP = {"CELLAR_LOGIN_GROUPS": "staff"}
LDAP = GROUP | {
    "CELLAR_LOGIN": "ldap",
    "CELLAR_LDAP_SERVER": "ldaps://ldap.example.org",
    "CELLAR_LDAP_USER_DN": "uid={username},ou=people,dc=example,dc=org",
    "CELLAR_LDAP_GROUP_BASE": "ou=groups,dc=example,dc=org",
}
OIDC = GROUP | {
    "CELLAR_LOGIN": "oidc",
    "CELLAR_PUBLIC_URL": "https://hub.example.org",
    "CELLAR_OIDC_CLIENT_ID": "cellar",
    "CELLAR_OIDC_CLIENT_SECRET": "secret-0123",
    "CELLAR_OIDC_AUTHORIZE_URL": "https://id.example.org/auth",
    "CELLAR_OIDC_TOKEN_URL": "https://id.example.org/token",
    "CELLAR_OIDC_USERINFO_URL": "https://id.example.org/me",
}

ISSUER = {name: value for name, value in OIDC.items() if not name.endswith("_URL") or "PUBLIC" in name} | {
    "CELLAR_OIDC_ISSUER": "https://id.example.org/"
}


def check(env: dict[str, str]) -> HubSettings:
    settings = HubSettings.from_env(BASE | env)
    ways.check_login(settings)
    return settings


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"CELLAR_LOGIN": "kerberos"}, "CELLAR_LOGIN must be one of local, pam, ldap, oidc"),
        ({"CELLAR_LOGIN": "pam"}, "CELLAR_LOGIN_GROUPS or CELLAR_LOGIN_NAMES must say who is let in"),
        (
            GROUP | {"CELLAR_LOGIN": "pam", "CELLAR_PAM_SERVICE": "../x"},
            "CELLAR_PAM_SERVICE must be the name of a file",
        ),
        (LDAP | {"CELLAR_LDAP_SERVER": ""}, "CELLAR_LDAP_SERVER must be set"),
        (LDAP | {"CELLAR_LDAP_SERVER": "http://x"}, "CELLAR_LDAP_SERVER must be ldaps://"),
        (LDAP | {"CELLAR_LDAP_SERVER": "ldap://u:pass-0123@x"}, "CELLAR_LDAP_SERVER must not hold a user"),
        (LDAP | {"CELLAR_LDAP_USER_DN": ""}, "CELLAR_LDAP_USER_DN or CELLAR_LDAP_USER_BASE"),
        (LDAP | {"CELLAR_LDAP_USER_BASE": "ou=x"}, "CELLAR_LDAP_USER_DN or CELLAR_LDAP_USER_BASE"),
        (LDAP | {"CELLAR_LDAP_USER_DN": "uid=x"}, "CELLAR_LDAP_USER_DN must have {username}"),
        (LDAP | {"CELLAR_LDAP_USER_DN": "uid={username},ou={x}"}, "CELLAR_LDAP_USER_DN may have no other {"),
        (LDAP | {"CELLAR_LDAP_GROUP_BASE": ""}, "CELLAR_LDAP_GROUP_BASE must be set"),
        (LDAP | {"CELLAR_LDAP_BIND_DN": "cn=hub"}, "CELLAR_LDAP_BIND_PASSWORD and CELLAR_LDAP_BIND_DN"),
        (LDAP | {"CELLAR_LDAP_TLS": "off"}, "CELLAR_LDAP_TLS cannot be off with ldaps"),
        (LDAP | {"CELLAR_LDAP_CA": "/nowhere"}, "CELLAR_LDAP_CA is no file"),
        (OIDC | {"CELLAR_PUBLIC_URL": ""}, "CELLAR_PUBLIC_URL must be set"),
        (OIDC | {"CELLAR_OIDC_CLIENT_SECRET": ""}, "CELLAR_OIDC_CLIENT_SECRET must be set"),
        (OIDC | {"CELLAR_OIDC_TOKEN_URL": ""}, "CELLAR_OIDC_TOKEN_URL must be set"),
        (OIDC | {"CELLAR_OIDC_USERINFO_URL": "nonsense"}, "CELLAR_OIDC_USERINFO_URL"),
        (
            OIDC | {"CELLAR_OIDC_TOKEN_URL": "http://id.example.org/token"},
            "CELLAR_OIDC_TOKEN_URL must be an address of",
        ),
        (OIDC | {"CELLAR_OIDC_ISSUER": "https://id.example.org"}, "CELLAR_OIDC_AUTHORIZE_URL must be empty"),
        (ISSUER | {"CELLAR_OIDC_ISSUER": "http://id.example.org"}, "CELLAR_OIDC_ISSUER must be an address of https"),
        (ISSUER | {"CELLAR_OIDC_ISSUER": "https://id.example.org/?x=1"}, "CELLAR_OIDC_ISSUER"),
        (ISSUER | {"CELLAR_OIDC_CA": "/nowhere"}, "CELLAR_OIDC_CA is no file"),
        (ISSUER | {"CELLAR_OIDC_CA": __file__}, "CELLAR_OIDC_CA has no certificate"),
        (LDAP | {"CELLAR_LDAP_CA": __file__}, "CELLAR_LDAP_CA has no certificate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_lacks_or_is_wrong_is_named(env: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check(env)
    assert str(refused.value).startswith(problem) and "pass-0123" not in str(refused.value)


@pytest.mark.parametrize(
    "env", [{}, GROUP | {"CELLAR_LOGIN": "pam"}, LDAP, OIDC, ISSUER], ids=["local", "pam", "ldap", "oidc", "issuer"]
)
def test_nobody_is_let_in_by_default_and_jupyterhub_knows_every_name(env: dict[str, str]) -> None:
    from traitlets.config import Config

    c: Any = Config()
    settings = check(env)
    ways.set_login(c, settings)
    kind = c.JupyterHub.authenticator_class
    assert kind.kind == settings.login
    assert c.Authenticator.allow_existing_users is (settings.login == "local")
    for section in set(c) - {"JupyterHub"}:
        assert set(c[section]) <= set(kind.class_traits(config=True)), section
    assert "allow_all" not in str(c)


def test_the_provider_is_called_as_it_calls_itself_with_the_slash_at_its_end() -> None:
    assert check(ISSUER).oidc_issuer == "https://id.example.org/"
