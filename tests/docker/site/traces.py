"""Where a word that was in a question or an answer has left a trace."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping

from cellar_hub.spawner import names

from tests.docker.site.installation import SERVICES, Installation

METRICS = """
import json, os, urllib.request as r
gateway = r.Request("http://gateway-control:8090/metrics")
token = {"Authorization": "token " + os.environ["CELLAR_COMMANDS_TOKEN"]}
base = os.environ.get("CELLAR_BASE_PATH") or "/"
hub = r.Request(f"http://hub-control:8081{base}hub/metrics", headers=token)
print(json.dumps("".join(r.urlopen(each, timeout=10).read().decode() for each in (gateway, hub))))
"""
DELETED = 2
"""The kind of a change to a container's layer."""


def hub_side(site: Installation, *more: str) -> dict[str, str]:
    """Its containers by service; `more`: services of overlays."""
    return {service: site.service(service) for service in (*SERVICES, *more)}


def in_logs(site: Installation, word: str, containers: Mapping[str, str]) -> list[str]:
    """The containers whose logs have it."""
    return [name for name, each in containers.items() if word.encode() in site.client.logs(each)]


def in_volumes(site: Installation, word: str, containers: Mapping[str, str]) -> tuple[list[str], int]:
    """The files of volumes that have it, and how many files were read."""
    found, looked = [], 0
    for service, container in containers.items():
        for mount in site.client.inspect_container(container)["Mounts"]:
            if mount["Type"] != "volume":
                continue
            for name, content in files_of(site, container, mount["Destination"]):
                looked += 1
                if word.encode() in content:
                    found.append(f"{service}: {mount['Destination']}/{name}")
    return found, looked


def in_layers(site: Installation, word: str, containers: Mapping[str, str]) -> list[str]:
    """The files that containers have written beside their volumes, those in memory included."""
    found = []
    for service, container in containers.items():
        written = [each["Path"] for each in site.client.diff(container) or [] if each["Kind"] != DELETED]
        for path in written:
            found += [f"{service}: {n}" for n, content in files_of(site, container, path) if word.encode() in content]
        found += [f"{service}: {path}" for path in _in_memory(site, word, container)]
    return found


def _in_memory(site: Installation, word: str, container: str) -> Iterable[str]:
    """Files below /tmp, which Docker does not show from outside."""
    made = site.client.exec_create(container, ["grep", "-rlsF", "--", word, "/tmp"])
    said = site.client.exec_start(made["Id"]).decode()
    assert site.client.exec_inspect(made["Id"])["ExitCode"] in (0, 1, 2), said  # 2: some are another user's
    return said.splitlines()


def in_words(site: Installation, word: str) -> list[str]:
    """What hub and gateway answer whoever administrates or watches them."""
    metrics = site.inside(site.service("hub"), METRICS)
    assert "cellar_requests_total" in metrics and "jupyterhub_" in metrics
    said = {
        "metrics": metrics,
        "audit": site.command("audit", "export", "--format", "jsonl"),
        "users": site.command("users", "list"),
        "labels": str(site.client.containers(filters={"label": f"{names.SITE}={site.name}"})),
    }
    return [where for where, text in said.items() if word in text]


def files_of(site: Installation, container: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Every file below a path of a container."""
    chunks, _ = site.client.get_archive(container, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()
