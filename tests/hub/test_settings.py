"""Settings: read strictly, named when wrong, explained."""

from __future__ import annotations

import dataclasses
import re

import pytest
from cellar.settings import SettingsError
from cellar_hub.settings import GatewaySettings, HubSettings, described

NEEDED = {
    "CONFIGPROXY_AUTH_TOKEN": "proxy-secret-0123456789",
    "CELLAR_GATEWAY_TOKEN": "gateway-secret-0123456789",
    "CELLAR_WORKSPACE_IMAGES": "data=cellar-workspace:1, big=cellar-workspace:2",
}


def test_the_defaults_and_the_three_that_must_be_given_are_enough() -> None:
    settings = HubSettings.from_env(NEEDED)
    assert settings.site == "cellar" and settings.idle_timeout == 3600
    assert settings.images == {"data": "cellar-workspace:1", "big": "cellar-workspace:2"}


def test_a_variable_that_is_set_to_nothing_is_not_set() -> None:
    assert HubSettings.from_env(NEEDED | {"CELLAR_IDLE_TIMEOUT": " "}).idle_timeout == 3600


@pytest.mark.parametrize("missing", NEEDED)
def test_what_must_be_given_is_asked_for_by_name(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing} must be set: "):
        HubSettings.from_env({name: value for name, value in NEEDED.items() if name != missing})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CELLAR_SITE", "Cellar!"),
        ("CELLAR_WORKSPACE_POOL", "10.213.0.0/29"),
        ("CELLAR_WORKSPACE_POOL", "8.8.0.0/16"),
        ("CELLAR_WORKSPACE_POOL", "10.213.0.1/16"),
        ("CELLAR_WORKSPACE_MEMORY", "4 GB"),
        ("CELLAR_WORKSPACE_MEMORY", "0G"),
        ("CELLAR_WORKSPACE_CPUS", "0"),
        ("CELLAR_WORKSPACE_CPUS", "nan"),
        ("CELLAR_WORKSPACE_PIDS", "1"),
        ("CELLAR_WORKSPACE_HOME", "home"),
        ("CELLAR_WORKSPACE_HOME", "/home/../etc"),
        ("CELLAR_WORKSPACE_IMAGES", "data=one,data=two"),
        ("CELLAR_WORKSPACE_IMAGES", "--privileged"),
        ("CELLAR_SHARED_VOLUMES", "/etc"),
        ("CELLAR_WHEELHOUSE_VOLUME", "wheels"),
        ("CELLAR_PUBLIC_URL", "hub.example.org"),
        ("CELLAR_PUBLIC_URL", "https://admin:secret@hub.example.org"),
        ("CELLAR_SUBDOMAIN_HOST", "https://10.0.0.1"),
        ("CELLAR_SUBDOMAIN_HOST", "https://[fd00::1]"),
        ("CELLAR_BASE_PATH", "jupyter"),
        ("CELLAR_PROBE", "none"),
        ("CELLAR_GATEWAY_TOKEN", "short"),
        ("CONFIGPROXY_AUTH_TOKEN", "with a blank 0123456789"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_the_variables_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} must "):
        HubSettings.from_env(NEEDED | {variable: value})


def test_the_hub_is_where_the_workspaces_origins_are_below() -> None:
    both = {"CELLAR_PUBLIC_URL": "https://hub.example.org", "CELLAR_SUBDOMAIN_HOST": "https://other.example.org"}
    with pytest.raises(SettingsError, match=r"^CELLAR_SUBDOMAIN_HOST must be the same as CELLAR_PUBLIC_URL"):
        HubSettings.from_env(NEEDED | both)


def test_secrets_are_not_shown() -> None:
    shown = repr(HubSettings.from_env(NEEDED | {"CELLAR_HUB_DATABASE_URL": "postgresql://hub:pass-0123@db/hub"}))
    assert "secret" not in shown and "pass-0123" not in shown


def test_every_setting_is_explained_under_a_name_of_its_own() -> None:
    found = list(described(HubSettings))
    assert len({variable for variable, _, _ in found}) == len(found) == len(dataclasses.fields(HubSettings))
    assert all(re.fullmatch(r"[A-Z_]+", variable) and help for variable, help, _ in found)


@pytest.mark.parametrize("kind", [GatewaySettings, HubSettings])
def test_no_secret_shows_when_settings_are_printed(kind: type[GatewaySettings] | type[HubSettings]) -> None:
    """A traceback or a log line may do that."""
    secret = "canary-secret-0123456789"
    names = {variable for variable, _, _ in described(kind)}
    secrets = {name: secret for name in names if name.endswith(("_TOKEN", "_API_KEY"))}
    urls = {name: f"redis://:{secret}@cache/0" for name in names if name.endswith(("DATABASE_URL", "REDIS_URL"))}
    assert len(secrets) + len(urls) >= 4
    assert secret not in repr(kind.from_env(NEEDED | {"VLLM_BASE_URL": "http://model/v1"} | secrets | urls))
