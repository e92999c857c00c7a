"""Docker behind the socket filter: the engine, isolation, the workspaces' images, the forwarders that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from ..settings import HubSettings
from ..spawner import names
from ..spawner.probe import Probe, engine_warnings, untried
from . import versions
from .findings import Failed

DOCKER = (DockerException, RequestException)


@contextmanager
def client_of(host: str) -> Iterator[docker.APIClient]:
    try:
        client = docker.APIClient(base_url=host, version="auto", timeout=20)
    except DOCKER as error:
        raise Failed(f"does not answer at {host}: {str(error)[:200]}") from None
    try:
        yield client
    finally:
        client.close()


def engine(host: str) -> str:
    with client_of(host) as client:
        try:
            found = str(client.version()["Version"])
        except DOCKER as error:
            raise Failed(f"does not answer at {host}: {str(error)[:200]}") from None
    warnings = "".join(f"; {each.text}" for each in engine_warnings(found))
    return f"engine {found} through {host}{warnings}"


def isolation(settings: HubSettings) -> str:
    """The probe of the hub's start once more, from inside of two containers. When it passes, workspaces may start."""
    with client_of(settings.docker) as client:
        try:
            found = Probe(client, settings).run()
        except DOCKER as error:
            raise Failed(f"could not be tried: {str(error)[:300]}") from None
    if wrong := [each.text for each in found if each.level == "fail"]:
        raise Failed("; ".join(wrong))
    untried(settings).unlink(missing_ok=True)
    warnings = "".join(f"; {each.text}" for each in found)
    return f"workspaces reach hub, proxy and gateway, and nothing else{warnings}"


def image(settings: HubSettings, name: str) -> str:
    """That it is here, and what it holds belongs to what runs here."""
    with client_of(settings.docker) as client:
        try:
            number = str(client.inspect_image(name)["Id"])
            inside = Probe(client, settings).versions(number, versions.SHARED)
        except DOCKER as error:
            raise Failed(f"{name} cannot be started: {str(error)[:200]}") from None
    return f"{number[:19]}, {versions.of_image(name, inside)}"


def forwarders(settings: HubSettings) -> str:
    with client_of(settings.docker) as client:
        try:
            running = client.containers(filters={"label": f"{names.SITE}={settings.site}"})
        except DOCKER as error:
            raise Failed(f"could not be listed: {str(error)[:200]}") from None
    status = {each["Labels"].get(names.FORWARDER, ""): str(each["Status"]) for each in running}
    for number in map(str, range(1, settings.forwarders + 1)):
        if number not in status:
            raise Failed(f"number {number} does not run: its users' destinations are closed")
        if "unhealthy" in status[number]:
            raise Failed(f"number {number} runs and does not look any more: {status[number]}")
    return f"{settings.forwarders} run"
