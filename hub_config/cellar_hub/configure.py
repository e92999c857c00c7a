"""All of JupyterHub's configuration, from HubSettings. Works with JupyterHub 5.5 and 6.1.

What each setting is for stands beside it. Nobody may log in unless an administrator made or approved their account.
"""

from __future__ import annotations

import datetime
import logging
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.auth import Authenticator
from jupyterhub.services.service import Service
from jupyterhub.utils import subdomain_hook_idna

from cellar_hub.console import CONSOLE, SCOPES
from cellar_hub.hubdatabase import bring_up_to_date
from cellar_hub.login.facts import FACTS
from cellar_hub.login.watching import watch
from cellar_hub.login.ways import set_login
from cellar_hub.pages import TEMPLATES, template_vars
from cellar_hub.policy import Announced
from cellar_hub.policyfile import PolicyFile
from cellar_hub.reconnecting import database_options, keep_connected
from cellar_hub.renaming import guard_names
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.workspace import CellarSpawner
from cellar_hub.startup import check_settings

HUB_PORT = 8081
SERVICE = "cellar"
"""The gateway as a service of the hub: <hub>/services/cellar/"""
LLM = "custom:llm:chat"
ACCESS = f"access:services!service={SERVICE}"
REPORTS = 300  # seconds between a workspace's reports of its activity; a tenth more or less
GRACE = 2 * REPORTS  # seconds after the hub's start in which each workspace has reported
LOOKS = 60  # seconds between two looks at who is idle, at least
DAY = 24 * 3600


def configure(c: Any, settings: HubSettings) -> None:
    """Set everything on JupyterHub's config object `c`. Raises SettingsError, as `check_settings` does, and for a
    database that this release cannot use."""
    check_settings(settings)
    bring_up_to_date(settings.database_url)
    guard_names()
    keep_connected()
    _hub(c, settings)
    _proxy(c, settings)
    _logins(c, settings)
    _rights(c, settings)
    _services(c, settings)
    _workspaces(c, settings)


def _hub(c: Any, settings: HubSettings) -> None:
    hub = c.JupyterHub
    hub.hub_bind_url = f"http://0.0.0.0:{HUB_PORT}"
    hub.hub_connect_url = settings.hub_url
    c.Spawner.hub_connect_url = f"http://hub:{HUB_PORT}"  # the name that workspaces have for it
    hub.base_url = settings.base_path
    hub.db_url = settings.database_url
    hub.db_kwargs = database_options(hub.db_url)
    hub.cookie_secret_file = str(settings.data / "jupyterhub_cookie_secret")
    if settings.public_url:
        hub.public_url = settings.public_url + settings.base_path
    if settings.subdomain_host:
        hub.subdomain_host = settings.subdomain_host
        if urlsplit(settings.subdomain_host).scheme == "https":
            hub.cookie_host_prefix_enabled = True  # one user's page cannot set cookies for another's
    hub.cookie_max_age_days = 1
    hub.token_expires_in_max_seconds = 90 * DAY  # no key for ever
    hub.cleanup_servers = False  # a hub that restarts leaves workspaces alone
    hub.init_spawners_timeout = 10  # after that, workspaces are looked at while logins go on
    hub.concurrent_spawn_limit = settings.concurrent_starts
    hub.active_server_limit = settings.max_workspaces
    hub.activity_resolution = 60
    hub.last_activity_interval = 0  # what the proxy saw does not count: a forgotten page talks for ever
    hub.authenticate_prometheus = True
    hub.template_paths = [str(TEMPLATES)]  # English and Korean
    hub.template_vars = template_vars() | {
        "cellar_announcements": announced(CellarSpawner.watch(settings).policy),
        "cellar_console": console_address(settings),
        "cellar_passwords": settings.login == "local",  # whether people have one here, and may change it
    }
    hub.log_level = getattr(logging, settings.log_level.upper())  # JupyterHub does not know the word WARNING


def console_address(settings: HubSettings) -> str:
    """For browsers; empty when there is no console. With an origin for each workspace services have one, too."""
    if not settings.console_token:
        return ""
    host = settings.subdomain_host
    if host:
        parts = urlsplit(host)
        name = subdomain_hook_idna(CONSOLE, parts.hostname or "", "service")  # as JupyterHub names it by default
        host = f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port else "")
    return f"{host}{settings.base_path}services/{CONSOLE}/"


def announced(policy: PolicyFile) -> Callable[[Any], tuple[Announced, ...]]:
    """For pages: whoever looks (JupyterHub's user; None: nobody yet) -> what is to be told now."""

    def to(user: Any) -> tuple[Announced, ...]:
        return policy.current().announced(datetime.datetime.now(datetime.UTC), "users" if user else "all")

    return to


def _proxy(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.bind_url = f"http://:8000{settings.base_path}"
    c.JupyterHub.cleanup_proxy = False
    c.ConfigurableHTTPProxy.should_start = False  # a container of its own: it lives on while the hub restarts
    c.ConfigurableHTTPProxy.api_url = settings.proxy_api
    c.ConfigurableHTTPProxy.auth_token = settings.proxy_token


def _logins(c: Any, settings: HubSettings) -> None:
    set_login(c, settings)
    c.JupyterHub.tornado_settings = {"log_function": watch}
    c.Authenticator.allow_all = False
    c.Authenticator.admin_users = set(settings.admins)
    c.Authenticator.delete_invalid_users = False
    c.Authenticator.enable_auth_state = False
    c.Authenticator.auth_refresh_age = 30  # seconds after which a blocked user's cookies and tokens stop working
    c.Authenticator.refresh_pre_spawn = True
    if hasattr(Authenticator, "auth_refresh_strict"):  # JupyterHub 5.5 is strict, and has no setting for it
        c.Authenticator.auth_refresh_strict = True


def _rights(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.custom_scopes = {
        LLM: {"description": "Ask the language models through the gateway"},
        FACTS: {"description": "Read what the hub's settings say of profiles and groups"},
    }
    # JupyterHub drops a scope that a token asks for and its user lacks, without a word: all users have these
    pages = [f"access:services!service={CONSOLE}"] if settings.console_token else []
    c.JupyterHub.load_roles = [
        {"name": "user", "description": "Their own workspace, and the models", "scopes": ["self", LLM, ACCESS, *pages]},
        {
            "name": "keeper",
            "description": "Keeps workspaces' networks, volumes and routes in order",
            "scopes": ["list:users", "read:users:groups", "read:servers", "proxy"],
            "services": ["keeper"],
        },
        {
            "name": "culler",
            "description": "Stops workspaces that nobody uses",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["culler"],
        },
    ]
    if settings.console_token:
        reads = {"name": CONSOLE, "description": "What its pages offer", "scopes": [FACTS], "services": [CONSOLE]}
        c.JupyterHub.load_roles.append(reads)


def _services(c: Any, settings: HubSettings) -> None:
    gateway: dict[str, Any] = {
        "name": SERVICE,
        "url": settings.gateway_url,
        "api_token": settings.gateway_token,
        "display": False,
        "oauth_no_confirm": True,
    }
    keeper = [
        *(sys.executable, "-m", "cellar_hub.spawner"),
        *("--site", settings.site, "--docker", settings.docker, "--pool", str(settings.pool)),
        *("--data", str(settings.data), "--volume-grace-days", str(settings.volume_grace)),
        *("--start-timeout", str(settings.start_timeout)),
    ]
    if settings.policy is not None and settings.forwarders:
        keeper += ["--policy", str(settings.policy)]
        keeper += ["--forwarders", str(settings.forwarders), "--leases", str(settings.leases)]
    if Service.class_traits().get("timeout"):  # JupyterHub 6: a gateway that is down must not hold up the hub's start
        gateway["timeout"] = 3
    services: list[dict[str, Any]] = [{"name": "keeper", "command": keeper, "display": False}]
    if settings.idle_timeout or settings.max_age:
        services.append({"name": "culler", "command": culler(settings), "display": False})
    if settings.commands_token:
        # no scope lets a service make somebody an administrator (`users add --admin`): JupyterHub asks for `admin`
        commands = {"name": "commands", "api_token": settings.commands_token, "admin": True, "display": False}
        services.append(commands)
    if settings.console_token:
        console: dict[str, Any] = {
            "name": CONSOLE,
            "url": settings.console_url,
            "api_token": settings.console_token,
            "display": False,  # pages/templates/page.html links to it
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": list(SCOPES),
        }
        if Service.class_traits().get("timeout"):
            console["timeout"] = 3
        services.append(console)
    c.JupyterHub.services = [*services, gateway]  # in this order they are started


def culler(settings: HubSettings) -> list[str]:
    """The idle culler's command. What is activity is decided in the workspace, which reports it (cellar_last_activity,
    kernels that are busy; after a pause at once); with less than two reports' time somebody would be stopped between
    them."""
    timeout = max(settings.idle_timeout, 2 * REPORTS) if settings.idle_timeout else 10 * 365 * DAY
    return [
        *(sys.executable, "-m", "cellar_hub.culler"),
        f"--timeout={timeout}",
        f"--grace={GRACE}",
        f"--max-age={settings.max_age}",
        f"--cull-every={max(LOOKS, min(600, timeout // 4))}",
        "--cull-users=False",
    ]


def _workspaces(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.spawner_class = CellarSpawner
    c.JupyterHub.allow_named_servers = False
    c.CellarSpawner.hub_settings = settings
    spawner = c.Spawner
    spawner.start_timeout = settings.start_timeout
    spawner.http_timeout = 60
    spawner.poll_interval = 60
    spawner.consecutive_failure_limit = 0  # failed starts do not end the hub
    spawner.disable_user_config = True  # a user's files do not configure the server that guards them
    spawner.default_url = "/lab"
    spawner.environment = {"JUPYTERHUB_ACTIVITY_INTERVAL": str(REPORTS)}
    spawner.server_token_scopes = ["users:activity!user", "access:servers!server", LLM, ACCESS]
    c.DockerSpawner.remove = True
    c.DockerSpawner.pull_policy = "never"
    c.DockerSpawner.allowed_images = {}  # an image is chosen with a profile, never by name
    c.DockerSpawner.use_internal_ip = True
