"""Checks of the machine itself: platform, processor, memory, clock, glibc, ports, the programs that are needed."""

from __future__ import annotations

import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from cellar_offline import wheels
from cellar_offline.checks import DOUBT, WELL, WRONG, Check
from cellar_offline.loading import this_platform
from cellar_offline.manifest import Manifest
from cellar_offline.target import Target

GIB = 1 << 30
NEEDED_FLAGS = ("sse4_2", "popcnt")  # x86-64-v2: numpy and pyarrow are built for it
FAST_FLAGS = ("avx2", "fma")  # what a model on the processor is computed with


def machine(manifest: Manifest, target: Target) -> Iterator[Check]:
    yield _platform(manifest)
    yield _python(manifest)
    yield from _processor(embedded=not target.preset)
    yield _memory(target)
    yield _clock(manifest)
    yield _glibc(manifest)
    yield _openssh()


def _platform(manifest: Manifest) -> Check:
    here = this_platform()
    good = here == manifest.platform
    return Check("platform", WELL if good else WRONG, here, f"The bundle is for {manifest.platform}: take another one.")


def _python(manifest: Manifest) -> Check:
    here = ".".join(map(str, sys.version_info[:2]))
    if not manifest.python or here == manifest.python:
        return Check("Python", WELL, here)
    return Check(
        "Python",
        DOUBT,
        f"{here} here, wheels for {manifest.python}",
        f"Images bring their own. Only to install the bundle's wheels on this machine: Python {manifest.python}.",
    )


def _processor(embedded: bool, cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Check]:
    if platform.machine() != "x86_64":
        return
    flags = next((line.split(":", 1)[1].split() for line in _lines(cpuinfo) if line.startswith("flags")), [])
    lost = [flag for flag in NEEDED_FLAGS if flag not in flags]
    slow = [flag for flag in FAST_FLAGS if flag not in flags]
    if lost:
        cure = "Set the virtual machine's processor to `host` (or x86-64-v3); a machine from before 2010 cannot do it."
        yield Check("processor", WRONG, f"without {', '.join(lost)}", cure)
    elif slow and embedded:
        cure = "The embedded model needs them to be of use: set the virtual machine's processor to `host`."
        yield Check("processor", DOUBT, f"without {', '.join(slow)}", cure)
    else:
        yield Check("processor", WELL, "has the instructions that are needed")


def _memory(target: Target, meminfo: Path = Path("/proc/meminfo")) -> Check:
    kib = next((int(line.split()[1]) for line in _lines(meminfo) if line.startswith("MemTotal")), 0)
    here = kib * 1024 / GIB
    good = here >= 0.95 * target.memory_gib  # a machine sold with 16 GiB shows a little less
    cure = f"This release needs {target.memory_gib:g} GiB, and CELLAR_WORKSPACE_MEMORY (4 GiB) for each workspace more."
    return Check("memory", WELL if good else WRONG, f"{here:.1f} GiB", cure)


def _clock(manifest: Manifest) -> Check:
    now = datetime.now(timezone.utc)
    built = datetime.strptime(manifest.built, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    words = now.strftime("%Y-%m-%d %H:%M UTC")
    if now < built:
        cure = "Quotas, tokens and the audit go by the clock. Set it (timedatectl set-time), or give it a time server."
        return Check("clock", WRONG, f"{words}, which is before the bundle was built ({manifest.built})", cure)
    return Check("clock", WELL, words)


def _glibc(manifest: Manifest) -> Check:
    _, version = platform.libc_ver()
    names = [file.path.rpartition("/")[2] for file in manifest.files if file.kind == "wheel"]
    wanted = max((wheels.glibc(name) for name in names), default=0)
    minor = version.partition(".")[2].partition(".")[0]
    if not minor.isdigit() or int(minor) >= wanted:
        return Check("glibc", WELL, version or "another C library")
    cure = "Images bring their own. Only to install the bundle's wheels on this machine itself: a newer distribution."
    return Check("glibc", DOUBT, f"{version}, and some wheels want 2.{wanted}", cure)


def _openssh() -> Check:
    good = shutil.which("ssh-keygen") is not None
    cure = "It checks signatures. On Debian: apt-get install openssh-client; on Red Hat: dnf install openssh"
    return Check("ssh-keygen", WELL if good else WRONG, "is here" if good else "is missing", cure)


def port(what: str, listen: str, number: str, ours: bool) -> Check:
    """Whether the stack may listen there; `ours`: it does already."""
    if ours:
        return Check(what, WELL, f"{number} is this site's own")
    if not number.isdigit() or not 0 < int(number) < 65536:
        return Check(what, WRONG, f"{number} is not a port number", "Mend it in .env.")
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((listen, int(number)))
        except OSError as error:
            cure = f"`ss -ltnp 'sport = :{number}'` says who has it; or choose another port or address in .env."
            return Check(what, WRONG, f"{listen}:{number} cannot be had: {error.strerror}", cure)
    return Check(what, WELL, f"{listen}:{number} is free")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
