"""Which checks are asked where. A place is known by the variables that its service is given.

In the hub's container: the hub, its database, Docker behind the filter, the workspaces' images, the gateway. In the
gateway's: the books, the hub as the gateway sees it, each model server. In the proxy's: whether answers stream through
it, and through nginx where that stands before it. In a forwarder's: every destination of the policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import httpx
from cellar.settings import SettingsError

from ..destinations import Destination
from ..forwarder.__main__ import own_networks
from ..gateway.models import ModelRow, ModelTable, one_server, parse_models
from ..gateway.transport import make_http, make_transport, make_verify
from ..hubapi import HubApi
from ..policyfile import PolicyFile
from ..settings import ForwarderSettings, GatewaySettings, HubSettings
from ..spawner.profiles import check_bounds, profiles_of
from . import answers, clocks, databases, engine, streams, versions
from .findings import Check
from .settings import ProxySettings

Checks = Iterator[tuple[str, Check]]
Asks = Callable[[httpx.AsyncClient], Awaitable[str]]


def checks(env: Mapping[str, str]) -> Checks:
    """Name and check; none where no service of the hub's side runs. Raises SettingsError."""
    places: tuple[tuple[str, Callable[[], Checks]], ...] = (
        ("CELLAR_PROXY_URL", lambda: of_proxy(ProxySettings.from_env(env))),
        ("CONFIGPROXY_AUTH_TOKEN", lambda: of_hub(HubSettings.from_env(env), env)),
        ("CELLAR_FORWARDER_NUMBER", lambda: of_forwarder(ForwarderSettings.from_env(env))),
        ("CELLAR_MODELS", lambda: of_gateway(GatewaySettings.from_env(env), env)),
        ("VLLM_BASE_URL", lambda: of_gateway(GatewaySettings.from_env(env), env)),
    )
    for variable, found in places:
        if env.get(variable):
            yield "versions", versions.here
            yield from found()
            return


def of_hub(settings: HubSettings, env: Mapping[str, str]) -> Checks:
    url = env.get("CELLAR_HUB_API_URL") or f"http://127.0.0.1:8081{settings.base_path}hub/api"
    hub = HubApi(url, settings.commands_token, settings.pool)
    yield "hub", lambda: f"{versions.of_hub(hub.ask('GET', '/')['version'])} answers, {len(hub.users())} users"
    yield "hub's database", lambda: databases.hubs(settings.database_url)
    yield "clock", lambda: clocks.of_hub(url)
    if settings.database_url.startswith("postgresql"):
        yield "clock of the hub's database", lambda: clocks.of_database(settings.database_url)
    yield "Docker", lambda: engine.engine(settings.docker)
    for label, image in settings.images.items():
        yield f"image {label}", partial(engine.image, settings, image)
    yield "policy", lambda: _policy(settings.policy)
    yield "profiles", lambda: _profiles(settings)
    if settings.login != "local":
        from . import logins  # what it imports is there for hubs

        yield "log-in", lambda: logins.settled(settings)
    yield "isolation", lambda: engine.isolation(settings)
    yield "gateway", lambda: versions.of_service(f"{settings.gateway_operations}/healthz")
    if settings.console_token:
        yield (
            "console",
            lambda: versions.of_service(f"{settings.console_url}{settings.base_path}services/console/alive"),
        )
    if settings.forwarders:
        yield "forwarders", lambda: engine.forwarders(settings)


def of_gateway(settings: GatewaySettings, env: Mapping[str, str]) -> Checks:
    hub = HubApi(settings.hub_api_url, settings.token, settings.pool)
    yield "books", lambda: databases.books(settings.database)
    yield "policy", lambda: _policy(settings.policy)
    yield "hub, as the gateway sees it", lambda: versions.of_hub(hub.ask("GET", "/")["version"])
    yield "clock", lambda: clocks.of_hub(settings.hub_api_url)
    if settings.database.startswith("postgresql"):
        yield "clock of the books", lambda: clocks.of_database(settings.database)
    if settings.redis_url:
        from . import shared  # what it imports is there for gateways

        yield "Redis", lambda: asyncio.run(shared.answers(settings.redis_url, settings.pool))
    table = _table(settings, env)
    for row in _rows(table):
        server = row.server
        name = f"model server {server.base_url}"
        wanted = [each.model for each in table.rows if each.model and each.server == server]
        yield name, partial(_as_the_gateway_asks, settings, partial(streams.of_model, row, wanted))
        yield f"clock of {name}", partial(_as_the_gateway_asks, settings, partial(clocks.of_model_server, server))


def _policy(path: Path | None) -> str:
    """As it stands on the disk: a running service goes on with the last good one."""
    policy = PolicyFile(path).current()
    if path is None:
        return "CELLAR_POLICY is not set; nobody is limited"
    parts = ((policy.groups, "groups"), (policy.users, "users"), (policy.announcements, "announcements"))
    return ", ".join(f"{len(each)} {name}" for each, name in parts)


def _profiles(settings: HubSettings) -> str:
    found = profiles_of(settings)
    check_bounds(found, settings)
    return ", ".join(each.name for each in found)


def _rows(table: ModelTable) -> list[ModelRow]:
    """One of each server, for an answer where one of its models gives any."""
    found: dict[str, ModelRow] = {}
    for row in sorted(table.rows, key=lambda row: not {"chat", "completion"} & set(row.roles)):
        found.setdefault(row.server.base_url, row)
    return list(found.values())


def _table(settings: GatewaySettings, env: Mapping[str, str]) -> ModelTable:
    if settings.models is None:
        return one_server(settings.base_url, settings.api_key)
    try:
        content = settings.models.read_text()
    except OSError as error:
        raise SettingsError("CELLAR_MODELS", f"{settings.models} cannot be read: {error.strerror}") from None
    return parse_models(content, f"CELLAR_MODELS ({settings.models})", env)


def _as_the_gateway_asks(settings: GatewaySettings, asks: Asks) -> str:
    """With its authorities, and its distrust of names."""

    async def ask() -> str:
        transport = make_transport(make_verify(settings.ca_bundle), settings.pool)
        async with make_http(transport) as http:
            return await asks(http)

    return asyncio.run(ask())


def of_proxy(settings: ProxySettings) -> Checks:
    yield "streaming through the proxy", lambda: asyncio.run(streams.through(settings.url, settings))
    if tls := settings.tls_url:
        yield "streaming through nginx", lambda: asyncio.run(streams.through(tls, settings))


def of_forwarder(settings: ForwarderSettings) -> Checks:
    yield "gateway, as the forwarder sees it", lambda: answers.answers(urljoin(settings.report_url, "/healthz"))
    policy = PolicyFile(settings.policy).current()
    for each in policy.destinations:
        yield f"destination {each.key}", partial(_destination, each, settings)


def _destination(wanted: Destination, settings: ForwarderSettings) -> str:
    return asyncio.run(answers.destination(wanted, own_networks(settings)))
