"""`cellar-hub check`, the doctor: whether what belongs together works together, from where it is asked.

In the hub's container it looks at the hub, its database, Docker behind the filter and the workspaces' images; in the
gateway's at the books, the hub as the gateway sees it, and each model server, answers that stream included; in a
forwarder's at every destination of the policy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.utils
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from urllib.parse import urljoin

import docker
import httpx
from cellar.settings import SettingsError
from docker.errors import DockerException
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from ..destinations import Destination, Network
from ..forwarder.__main__ import own_networks
from ..forwarder.server import CONNECT
from ..forwarder.targets import NotAllowed, addresses_of
from ..gateway.models import ModelServer, one_server, parse_models
from ..policyfile import PolicyFile
from ..settings import ForwarderSettings, GatewaySettings, HubSettings
from ..spawner import names
from ..spawner.probe import Probe, engine_warnings, untried
from ..store import Store, StoreDown
from .hubapi import HubApi, HubRefused

PACKAGES = ("jupyter-cellar", "jupyterhub", "dockerspawner", "starlette", "uvicorn", "sqlalchemy")
SKEW = 5.0  # seconds that two clocks may differ


class Failed(Exception):
    """A check that found something wrong; the message says what, and what helps."""


Check = Callable[[], str]


def run(_options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Print a line for each check; exit status 1 when one failed. Raises SettingsError."""
    failures = 0
    for name, check in checks(env):
        try:
            print(f"ok    {name}: {check()}")
        except (Failed, SettingsError, HubRefused, StoreDown) as problem:
            failures += 1
            print(f"FAIL  {name}: {problem}")
    print("Everything works together." if not failures else f"{failures} checks failed.")
    return 1 if failures else 0


def checks(env: Mapping[str, str]) -> Iterator[tuple[str, Check]]:
    yield "versions", lambda: ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    if env.get("CONFIGPROXY_AUTH_TOKEN"):
        yield from _of_hub(HubSettings.from_env(env), env)
    if env.get("VLLM_BASE_URL") or env.get("CELLAR_MODELS"):
        yield from _of_gateway(GatewaySettings.from_env(env), env)
    if env.get("CELLAR_FORWARDER_NUMBER"):
        yield from _of_forwarder(ForwarderSettings.from_env(env))


# --- the hub's side


def _of_hub(settings: HubSettings, env: Mapping[str, str]) -> Iterator[tuple[str, Check]]:
    url = env.get("CELLAR_HUB_API_URL") or f"http://127.0.0.1:8081{settings.base_path}hub/api"
    hub = HubApi(url, settings.commands_token)
    yield "hub", lambda: f"JupyterHub {hub.ask('GET', '/')['version']} answers, {len(hub.users())} users"
    yield "hub's database", lambda: _database(settings.database or f"sqlite:///{settings.data}/jupyterhub.sqlite")
    yield "clock", lambda: _clock(url)
    yield "Docker", lambda: _engine(settings.docker)
    for label, image in settings.images.items():
        yield f"image {label}", partial(_image, settings.docker, image)
    yield "isolation", lambda: _isolation(settings)
    yield "gateway", lambda: _answers(f"{settings.gateway_operations}/healthz")
    if settings.forwarders:
        yield "forwarders", lambda: _forwarders(settings)


def _database(url: str) -> str:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
            return engine.dialect.name
    except SQLAlchemyError as error:
        raise Failed(f"does not answer: {type(error).__name__}") from None
    finally:
        engine.dispose()


def _clock(url: str) -> str:
    """This machine's clock against the hub's: tokens and quotas go by time."""
    try:
        with urllib.request.urlopen(url + "/", timeout=10) as answer:
            there = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (OSError, TypeError, ValueError):
        raise Failed("the hub tells no time") from None
    if abs(there - time.time()) > SKEW:
        raise Failed(f"differs from the hub's by {there - time.time():.0f} s: switch on time synchronisation (NTP)")
    return "agrees with the hub's"


def _client(host: str) -> docker.APIClient:
    try:
        return docker.APIClient(base_url=host, version="auto", timeout=20)
    except DockerException as error:
        raise Failed(f"does not answer at {host}: {str(error)[:200]}") from None


def _engine(host: str) -> str:
    client = _client(host)
    found = str(client.version()["Version"])
    client.close()
    warnings = "".join(f"; {each.text}" for each in engine_warnings(found))
    return f"engine {found} through {host}{warnings}"


def _isolation(settings: HubSettings) -> str:
    """The probe of the hub's start once more, from inside of two containers. When it passes, workspaces may start."""
    client = _client(settings.docker)
    try:
        found = Probe(client, settings).run()
    except DockerException as error:
        raise Failed(f"could not be tried: {str(error)[:300]}") from None
    finally:
        client.close()
    if wrong := [each.text for each in found if each.level == "fail"]:
        raise Failed("; ".join(wrong))
    untried(settings).unlink(missing_ok=True)
    warnings = "".join(f"; {each.text}" for each in found)
    return f"workspaces reach hub, proxy and gateway, and nothing else{warnings}"


def _forwarders(settings: HubSettings) -> str:
    client = _client(settings.docker)
    try:
        running = client.containers(filters={"label": f"{names.SITE}={settings.site}"})
    except DockerException as error:
        raise Failed(f"could not be listed: {str(error)[:200]}") from None
    finally:
        client.close()
    status = {each["Labels"].get(names.FORWARDER, ""): str(each["Status"]) for each in running}
    for number in map(str, range(1, settings.forwarders + 1)):
        if number not in status:
            raise Failed(f"number {number} does not run: its users' destinations are closed")
        if "unhealthy" in status[number]:
            raise Failed(f"number {number} runs and does not look any more: {status[number]}")
    return f"{settings.forwarders} run"


def _image(host: str, name: str) -> str:
    client = _client(host)
    try:
        return str(client.inspect_image(name)["Id"])[:19]
    except DockerException as error:
        raise Failed(f"{name} cannot be started: {str(error)[:200]}") from None
    finally:
        client.close()


def _answers(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return f"answers {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            raise Failed(f"{url} answers {error.code}: {error.read(300).decode(errors='replace')}") from None
    except OSError as error:
        raise Failed(f"{url} does not answer: {error}") from None


# --- the gateway's side


def _of_gateway(settings: GatewaySettings, env: Mapping[str, str]) -> Iterator[tuple[str, Check]]:
    yield "books", lambda: _books(settings)
    hub = HubApi(settings.hub_api_url, settings.token)
    yield "hub, as the gateway sees it", lambda: f"JupyterHub {hub.ask('GET', '/')['version']}"
    yield "clock", lambda: _clock(settings.hub_api_url)
    for server in _model_servers(settings, env):
        yield f"model server {server.base_url}", partial(asyncio.run, _model(server))


def _model_servers(settings: GatewaySettings, env: Mapping[str, str]) -> list[ModelServer]:
    if settings.models is None:
        table = one_server(settings.base_url, settings.api_key)
    else:
        try:
            content = settings.models.read_text()
        except OSError as error:
            raise SettingsError("CELLAR_MODELS", f"{settings.models} cannot be read: {error.strerror}") from None
        table = parse_models(content, f"CELLAR_MODELS ({settings.models})", env)
    return list({row.server.base_url: row.server for row in table.rows}.values())


def _books(settings: GatewaySettings) -> str:
    store = Store.open(settings.database)
    asyncio.run(store.close())
    return f"{settings.database.split(':')[0]} can be written"


async def _model(server: ModelServer) -> str:
    """It lists models, and a short answer comes in pieces, not in one at its end."""
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=headers) as client:
        try:
            listed = (await client.get(f"{server.base_url}/models")).raise_for_status().json()["data"]
            name = listed[0]["id"]
            body = {
                "model": name,
                "stream": True,
                "max_tokens": 24,
                "messages": [{"role": "user", "content": "Count."}],
            }
            times = []
            async with client.stream("POST", f"{server.base_url}/chat/completions", json=body) as answer:
                answer.raise_for_status()
                async for piece in answer.aiter_bytes():
                    times.append(time.monotonic())
                    del piece
        except (httpx.HTTPError, KeyError, IndexError, json.JSONDecodeError) as error:
            raise Failed(f"does not answer as a model server does: {type(error).__name__} {str(error)[:150]}") from None
    if len(times) < 3:
        raise Failed("an answer comes in one piece: something in between buffers it (proxy_buffering off in nginx)")
    return f"{name} answers in {len(times)} pieces within {times[-1] - times[0]:.1f} s"


# --- a forwarder's side


def _of_forwarder(settings: ForwarderSettings) -> Iterator[tuple[str, Check]]:
    yield "gateway, as the forwarder sees it", lambda: _answers(urljoin(settings.report_url, "/healthz"))
    policy = PolicyFile(settings.policy).current()
    for each in policy.destinations:
        yield f"destination {each.key}", partial(asyncio.run, _destination(each, own_networks(settings)))


async def _destination(wanted: Destination, own: Sequence[Network]) -> str:
    """Whether a server is there; nothing is said to it."""
    host, port = wanted.to
    try:
        async with asyncio.timeout(CONNECT):
            for address in await addresses_of(host, own):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(address, port)
                    writer.close()
                    return f"{address} port {port} answers"
    except NotAllowed as error:
        raise Failed(f"{host} leads to the hub's own side ({error}), and is refused") from None
    except TimeoutError:
        raise Failed(f"{host} port {port} does not answer within {CONNECT:.0f} s") from None
    except OSError as error:
        raise Failed(f"{host}: {error.strerror or error}") from None
    raise Failed(f"{host} port {port} refuses the connection")
