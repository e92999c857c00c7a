"""`preflight`: can this machine carry the release, before or after it is loaded? Each failure with its cure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellar_offline import room, site
from cellar_offline.checks import DOUBT, WELL, WRONG, Check
from cellar_offline.engine import Engine, EngineError
from cellar_offline.gpu import gpu
from cellar_offline.images import Images, check_store
from cellar_offline.machine import machine, port
from cellar_offline.manifest import Manifest
from cellar_offline.media import Media
from cellar_offline.progress import size
from cellar_offline.release import Root, Unusable
from cellar_offline.target import Target

OLDEST = (20, 10)
LIMITS = {"MemoryLimit": "memory", "PidsLimit": "processes", "CpuCfsQuota": "processor time"}
POOL = "10.213.0.0/16"


def preflight(
    root: Root, engine: Engine, manifest: Manifest, target: Target, preset: str, media: Media | None
) -> Iterator[Check]:
    """Checks as they are made; `media` where the bundle is not loaded yet: then its disk space, too."""
    yield from machine(manifest, target)
    here = site.Site(root, engine)
    try:
        info = engine.info()
    except EngineError as error:
        yield Check("Docker", WRONG, str(error), "Docker 20.10 or newer, from your distribution's own mirror.")
        info = {}
    if info:
        yield from docker(info)
        yield _compose()
    if media is not None and info:
        yield from disks(root, manifest, media, engine)
    yield from gpu(target, preset, info)
    yield from ports(here, bool(info))
    yield pool(here.settings().get("CELLAR_WORKSPACE_POOL") or POOL, _routes(Path("/proc/net/route")))


def docker(info: dict[str, Any]) -> Iterator[Check]:
    """The engine's version, and what keeps workspaces apart. `info` is `docker info`'s."""
    version = str(info.get("ServerVersion") or "0")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    cure = "Docker 20.10 or newer, from your distribution's own mirror."
    yield Check("Docker", WELL if numbers >= OLDEST else WRONG, version, cure)
    try:
        check_store(info)
    except EngineError as error:
        yield Check("Docker's images", WRONG, "kept in containerd", str(error))
    lost = [words for name, words in LIMITS.items() if info.get(name) is False]
    cure = (
        "The kernel must give Docker these cgroup controllers: cgroup_enable=memory at its command line, then restart."
    )
    yield Check(
        "limits of workspaces", WRONG if lost else WELL, f"no limit of {', '.join(lost)}" if lost else "work", cure
    )
    options = " ".join(map(str, info.get("SecurityOptions") or ()))
    cure = "A kernel with seccomp, and no --seccomp-profile=unconfined in Docker's options."
    good = "name=seccomp" in options and "profile=unconfined" not in options
    yield Check("system calls of workspaces", WELL if good else WRONG, "filtered" if good else "not filtered", cure)
    good = "apparmor" in options or "selinux" in options
    cure = "AppArmor or SELinux would be a second wall around containers; Cellar's own walls do not need it."
    yield Check("AppArmor or SELinux", WELL if good else DOUBT, "at work" if good else "neither", cure)
    how = "isolated bridges" if numbers >= (28, 0) else "bridges without an address of this machine"
    yield Check("networks of workspaces", WELL, f"{how}; the hub proves them before each start")


def _compose() -> Check:
    try:
        return Check("Docker Compose", WELL, " ".join(site.compose_program()))
    except Unusable as error:
        return Check("Docker Compose", WRONG, "missing", str(error))


def disks(root: Root, manifest: Manifest, media: Media, engine: Engine) -> Iterator[Check]:
    """What is still to be loaded, against what is free, on the disk of releases and on Docker's own."""
    there = {file.sha256 for release in root.all() for file in release.manifest.files}
    files = {file.sha256: file.size for file in manifest.files}
    needed = sum(count for name, count in files.items() if name not in there)
    place = root.path
    while not place.exists():
        place = place.parent
    wants = [("the release's files", place, needed)]
    try:
        images = Images(manifest, media, engine)
        if manifest.images and images.folder.exists():
            wants.append(("images", images.folder, images.needed()))
    except EngineError as error:
        yield Check("disk of images", WRONG, str(error), "See Docker, above.")
    try:
        room.require(wants)
        words = ", ".join(f"{size(count)} needed in {folder}" for _, folder, count in wants)
        yield Check("disk", WELL, words)
    except Unusable as error:
        yield Check("disk", WRONG, str(error), "Or a larger disk.")


def ports(here: site.Site, engine: bool) -> Iterator[Check]:
    settings = here.settings()
    try:
        running = here.running() if engine else {}
    except EngineError:
        running = {}
    listen = settings.get("CELLAR_LISTEN") or "127.0.0.1"
    yield port("port", listen, settings.get("CELLAR_PORT") or "8000", "proxy" in running)
    if "tls" in here.overlays():
        for name, default in (("CELLAR_TLS_PORT", "443"), ("CELLAR_HTTP_PORT", "80")):
            yield port(name, "0.0.0.0", settings.get(name) or default, "tls" in running)


def pool(text: str, routes: list[ipaddress.IPv4Network]) -> Check:
    """Whether the addresses of workspaces' networks are somebody else's."""
    what = "addresses of workspaces"
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        return Check(what, WRONG, str(error), "Mend CELLAR_WORKSPACE_POOL in .env.")
    taken = [each for each in routes if each.prefixlen and each.overlaps(network) and not each.subnet_of(network)]
    cure = "Choose a range that nobody in the building uses: CELLAR_WORKSPACE_POOL in .env."
    words = f"{network} overlaps {', '.join(map(str, taken))}, to which this machine has a route" if taken else text
    return Check(what, WRONG if taken else WELL, words, cure)


def _routes(table: Path) -> list[ipaddress.IPv4Network]:
    """Of /proc/net/route, whose addresses are hexadecimal in this machine's byte order."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
        pairs = [(bytes.fromhex(row[1])[::-1], bytes.fromhex(row[7])[::-1]) for row in rows]
        return [ipaddress.IPv4Network((address, str(ipaddress.IPv4Address(mask)))) for address, mask in pairs]
    except (OSError, ValueError, IndexError):
        return []
