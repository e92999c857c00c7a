"""The whole proof: an empty engine in the seal, the bundle's stack in it, a user's journey, an idle while, a report.

The stack is started by the same `up` as a site's, from a root and with settings of its own: what the bundle is, not
what a site has set, is proven, and nothing of a running site is touched. Its start-up probe tests the isolation of
workspaces, which the seal opens on purpose, so that it is told to warn (CELLAR_PROBE).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellar_offline import imagelist, room
from cellar_offline.engine import Engine as Docker
from cellar_offline.proving import namespaces, report
from cellar_offline.proving.controls import Round
from cellar_offline.proving.journey import travel
from cellar_offline.proving.namespaces import Unsealed
from cellar_offline.proving.report import Counted, Findings
from cellar_offline.proving.seal import Resident, Seal
from cellar_offline.release import Release, Root
from cellar_offline.site import Site
from cellar_offline.starting import up

SITE = "cellar-proof"
SETTINGS = {
    "CELLAR_SITE": SITE,
    "CELLAR_PORT": "8000",
    "CELLAR_LISTEN": "127.0.0.1",
    "CELLAR_PROBE": "warn",
    "COMPOSE_HTTP_TIMEOUT": "300",
}
"""Of the stack that is proven; beside what the bundle's own .env.example says."""
FOREIGN = ("CELLAR_", "VLLM_", "COMPOSE_", "DOCKER_", "OVERLAYS")
"""Beginnings of variables that are a site's own: none of them reaches the stack that is proven."""

Bring = Callable[[Root], Release]
"""Has the release's images in the engine that DOCKER_HOST names, and its files somewhere; the root is the proof's."""


@dataclass(frozen=True)
class Wanted:
    """`work` is an empty folder with room for all images; `pictures` is where a page is kept that got stuck."""

    work: Path
    pictures: Path
    idle: int
    overlays: Sequence[str] | None = None


def prove(wanted: Wanted, bring: Bring, say: Callable[[str], None]) -> dict[str, Any]:
    """The report (report.make). Unsealed, and what `bring` and `up` raise, where there is nothing to report on."""
    began = time.time()
    with Seal(wanted.work) as seal, _inside(seal):
        say("the seal is closed, an engine runs in it")
        root = Root(wanted.work / "root")
        release = bring(root)
        image = prove_image(release)
        site = Site(root, Docker())
        base = up(site, release, wanted.overlays, say)
        path = "/" + base.split("/", 3)[3]
        controlled: list[tuple[Round, list[Resident]]] = []

        def control() -> None:
            say("once more the controls: all containers that run, the browser's too")
            controlled.append(seal.control())

        steps = travel(seal.engine, image, SITE, path, wanted.idle, wanted.pictures, say, control)
        if not controlled:  # the journey got stuck
            control()
        last, there = controlled[0]
        counted = Counted(*seal.settle())
        first = seal.first_control()
        return report.make(
            Findings(
                bundle=release.manifest.title,
                bundle_id=release.id,
                signed_by=release.signed_by,
                engine=seal.engine.docker("version", "--format", "{{.Server.Version}}").strip(),
                began=began,
                ended=time.time(),
                idle=wanted.idle,
                residents=list(seal.residents.values()),
                ledger=seal.ledger,
                first=first,
                last=last,
                there_at_the_end=there,
                counted=counted,
                journey=steps,
                own_names=frozenset(seal.own_names()),
            )
        )


@contextlib.contextmanager
def _inside(seal: Seal) -> Iterator[None]:
    """This thread, and every program that it starts, in the seal and with its engine."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            del os.environ[name]
    named = {name: seal.engine.environment[name] for name in ("PATH", "DOCKER_HOST", "DOCKER_SOCKET")}
    os.environ.update({**named, **SETTINGS})
    try:
        namespaces.enter(seal.inside)
        yield
    finally:
        namespaces.enter(home)
        os.close(home)
        os.environ.clear()
        os.environ.update(before)


def prove_image(release: Release) -> str:
    """The reference of the image with the browser. Unsealed when the bundle has none."""
    rows = imagelist.parse((release.path / imagelist.PATH).read_bytes())
    found = [row.image for row in rows if row.starts == "prove"]
    if not found:
        raise Unsealed("The bundle has no image with a browser for the proof.")
    return found[0]


def require_room(release: Release, work: Path) -> None:
    """Unusable where the images, as a file and unpacked, would fill the disk: a site may run on it."""
    layers = {name for image in release.manifest.images for name in image.layers}
    needed = 2 * sum(release.manifest.blob(name).size for name in layers)
    room.require([("the images of the proof", work, needed)], "--work")


def copy_images(release: Release, environment: Mapping[str, str]) -> None:
    """From the engine that `environment` names to the one that DOCKER_HOST names. Unsealed."""
    ids = [image.id for image in release.manifest.images]
    saving = subprocess.Popen(["docker", "save", *ids], stdout=subprocess.PIPE, env=dict(environment))
    loaded = subprocess.run(["docker", "load", "--quiet"], stdin=saving.stdout, capture_output=True, text=True)
    if saving.stdout is not None:
        saving.stdout.close()
    if saving.wait() != 0 or loaded.returncode != 0:
        raise Unsealed(f"The images could not be copied into the seal: {loaded.stderr.strip()[-500:]}")
