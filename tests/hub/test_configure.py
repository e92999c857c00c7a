"""JupyterHub's configuration: what is on, what is off, and that JupyterHub knows every name of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cellar.settings import SettingsError
from cellar_hub.configure import configure, console_address, culler
from cellar_hub.culler import Culler, arbiter
from cellar_hub.login import LocalLogin, Login
from cellar_hub.renaming import without_unchanged_name
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.workspace import CellarSpawner
from jupyterhub.app import JupyterHub
from jupyterhub.auth import Authenticator
from jupyterhub.proxy import ConfigurableHTTPProxy
from nativeauthenticator import NativeAuthenticator
from traitlets.config import Config

SETTINGS = HubSettings.from_env(
    {
        "CONFIGPROXY_AUTH_TOKEN": "proxy-0123456789abcdef",
        "CELLAR_GATEWAY_TOKEN": "gateway-0123456789abcdef",
        "CELLAR_COMMANDS_TOKEN": "commands-0123456789abcdef",
        "CELLAR_WORKSPACE_IMAGES": "data=cellar-workspace:1",
        "CELLAR_ADMINS": "admin, kim",
        "CELLAR_PUBLIC_URL": "https://hub.example.org",
        "CELLAR_SUBDOMAIN_HOST": "https://hub.example.org",
    }
)


def configured(settings: HubSettings = SETTINGS) -> Any:
    c = Config()
    configure(c, settings)
    return c


def test_every_name_is_one_that_jupyterhub_knows() -> None:
    classes = {
        "JupyterHub": JupyterHub,
        "Authenticator": Authenticator,
        "NativeAuthenticator": NativeAuthenticator,
        "ConfigurableHTTPProxy": ConfigurableHTTPProxy,
        "Spawner": CellarSpawner,
        "DockerSpawner": CellarSpawner,
        "CellarSpawner": CellarSpawner,
        "Login": Login,
    }
    for section, values in configured().items():
        traits = classes[section].class_traits(config=True)
        assert set(values) <= set(traits), section


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql+psycopg://hub:pass-0123@db:port/hub", "has a port that is no number"),
        ("postgresql+psycopg://hub:pass-0123@word@db/hub", "has more than one @"),
        ("postgresql+psycopg://hub:pass-0123@db", "names no database"),
        ("postgresql://hub:pass-0123@db/hub", "begins with 'postgresql'; it may be sqlite or "),
        ("sqlite://data/hub.db", "must be sqlite:///FILE"),
        ("pass-0123", "is no address of a database"),
    ],
)
def test_an_address_of_a_database_that_is_none_is_refused_by_name_and_not_repeated(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^CELLAR_HUB_DATABASE_URL {problem}") as refused:
        configured(replace(SETTINGS, database=url))
    assert "pass-0123" not in str(refused.value)


def test_jupyterhub_ends_with_the_settings_name_and_no_traceback(tmp_path: Path) -> None:
    file = Path(__file__).resolve().parents[2] / "hub_config" / "jupyterhub_config.py"
    env = {"PATH": os.environ["PATH"], "CELLAR_DATA": str(tmp_path), "CELLAR_HUB_DATABASE_URL": "mysql://db/hub"}
    env |= {"CONFIGPROXY_AUTH_TOKEN": "proxy-0123456789abcdef", "CELLAR_GATEWAY_TOKEN": "gateway-0123456789abcdef"}
    env["CELLAR_WORKSPACE_IMAGES"] = "cellar-workspace:1"
    command = [sys.executable, "-m", "jupyterhub", "-f", str(file)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Cellar Hub does not start: CELLAR_HUB_DATABASE_URL begins with 'mysql'" in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_gets_in_who_was_not_let_in() -> None:
    c = configured()
    assert c.Authenticator.allow_all is False and c.Authenticator.allow_existing_users is True
    assert c.NativeAuthenticator.enable_signup is False and c.NativeAuthenticator.open_signup is False
    assert c.JupyterHub.authenticator_class is LocalLogin and c.Authenticator.manage_groups is False
    assert c.Authenticator.admin_users == {"admin", "kim"}


def test_a_hub_that_ends_leaves_workspaces_and_proxy_alone() -> None:
    c = configured()
    assert c.JupyterHub.cleanup_servers is False and c.JupyterHub.cleanup_proxy is False
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.ConfigurableHTTPProxy.api_url.startswith("http+unix://")


def test_every_user_holds_what_a_workspaces_token_asks_for() -> None:
    c = configured()
    (user,) = (role for role in c.JupyterHub.load_roles if role["name"] == "user")
    asked = set(c.Spawner.server_token_scopes) - {"users:activity!user", "access:servers!server"}
    assert asked == {"custom:llm:chat", "access:services!service=cellar"} and asked < set(user["scopes"])


def test_every_role_of_a_service_has_its_service() -> None:
    c = configured()
    services = {service["name"] for service in c.JupyterHub.services}
    roles = {name for role in c.JupyterHub.load_roles for name in role.get("services", [])}
    assert services == {"keeper", "culler", "commands", "cellar"} and roles == services - {"cellar", "commands"}
    assert not any("admin" in role["name"] for role in c.JupyterHub.load_roles)


def test_a_culler_never_looks_more_narrowly_than_workspaces_report() -> None:
    assert "--timeout=600" in culler(replace(SETTINGS, idle_timeout=60))
    assert "--timeout=3600" in culler(SETTINGS)
    c = configured(replace(SETTINGS, idle_timeout=0))
    assert "culler" not in {service["name"] for service in c.JupyterHub.services}
    assert "--max-age=600" in culler(replace(SETTINGS, idle_timeout=0, max_age=600))


def test_nobody_is_idle_before_a_hub_that_was_away_has_heard_of_everybody() -> None:
    assert "--grace=600" in culler(SETTINGS)
    assert configured().Spawner.environment == {"JUPYTERHUB_ACTIVITY_INTERVAL": "300"}
    clock = iter([1000.0, 1599.0, 1601.0, 1601.0])
    is_idle = arbiter(600, lambda: next(clock))
    for inactive, idle in ((9999, False), (3599, False), (3600, True)):
        assert is_idle(inactive=timedelta(seconds=inactive), inactive_limit=3600, server={}) is idle
    built = Culler(grace=600).cull_arbiter_hook
    assert not built(inactive=timedelta(days=1), inactive_limit=3600, server={})


def test_only_what_a_workspace_reports_itself_is_activity() -> None:
    assert configured().JupyterHub.last_activity_interval == 0


def test_a_wrong_profile_file_stops_the_hub_and_not_the_first_user(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text("[a]\ncpus = 1\n")
    with pytest.raises(SettingsError, match=r"a\.memory must be given"):
        configured(replace(SETTINGS, profiles=file))


def test_subdomains_bring_cookies_that_one_user_cannot_set_for_another() -> None:
    assert configured().JupyterHub.cookie_host_prefix_enabled is True
    plain = configured(replace(SETTINGS, subdomain_host=""))
    assert "cookie_host_prefix_enabled" not in plain.JupyterHub


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"name": "kim", "admin": true}', {"admin": True}),
        (b'{"name": "kim"}', {}),
        (b'{"name": "lee", "admin": true}', {"name": "lee", "admin": True}),
        (b'{"admin": true}', {"admin": True}),
    ],
)
def test_an_unchanged_name_is_taken_out_of_a_patch(body: bytes, left: dict[str, Any]) -> None:
    assert json.loads(without_unchanged_name(body, "kim")) == left


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'"kim"', b"\xff"])
def test_a_body_that_is_no_patch_stays_as_it_is(body: bytes) -> None:
    assert without_unchanged_name(body, "kim") == body


def test_the_hubs_pages_lead_to_the_console_where_it_is() -> None:
    token = replace(SETTINGS, console_token="console-0123456789abcdef")
    assert console_address(SETTINGS) == ""
    assert console_address(replace(token, subdomain_host="")) == "/services/console/"
    apart = replace(token, subdomain_host="https://hub.example.org:8443", base_path="/j/")
    assert console_address(apart) == "https://console--service.hub.example.org:8443/j/services/console/"
