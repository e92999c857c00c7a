"""What is in an image: packages of Debian, Python and npm, found in its layers while they are taken apart.

Of a layer only the files are kept that say it: a later layer may replace or remove them (an image layer removes a path
by a file called `.wh.NAME` beside it, and a whole folder's content by `.wh..wh..opq`).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from cellar_offline.building import metadata
from cellar_offline.building.metadata import Package

DPKG = "var/lib/dpkg/status"
METADATA = re.compile(r"(?:.*/)?[^/]+\.dist-info/METADATA")
NPM = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/@]+/package\.json")
LARGEST = 16 << 20  # bytes of a file that is read for this
REMOVED, EMPTIED = ".wh.", ".wh..wh..opq"

Finding = dict[str, Any]
"""{"packages": {PATH: [[kind, name, version, licence]...]}, "removed": [PATH...]}: JSON, for the journal."""


def of_layer(path: Path) -> Finding:
    """What a layer (a tar, uncompressed) adds and removes. tarfile.TarError when it is none."""
    packages: dict[str, list[list[str]]] = {}
    removed: list[str] = []
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./").lstrip("/")
            last = PurePosixPath(name).name
            if last == EMPTIED:
                removed.append(str(PurePosixPath(name).parent))
            elif last.startswith(REMOVED):
                removed.append(str(PurePosixPath(name).with_name(last[len(REMOVED) :] or "-")))
            elif member.isfile() and member.size <= LARGEST and (found := _read(archive, member, name)):
                packages[name] = [[each.kind, each.name, each.version, each.licence] for each in found]
    return {"packages": packages, "removed": removed}


def of_image(layers: Iterable[Finding]) -> tuple[Package, ...]:
    """Of all its layers, bottom first; each package once."""
    there: dict[str, list[list[str]]] = {}
    for layer in layers:
        for gone in layer["removed"]:
            there = {path: each for path, each in there.items() if path != gone and not path.startswith(gone + "/")}
        there |= layer["packages"]
    return tuple(sorted({Package(*each) for found in there.values() for each in found}))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> list[Package]:
    if name != DPKG and not METADATA.fullmatch(name) and not NPM.fullmatch(name):
        return []
    stream = archive.extractfile(member)
    text = stream.read().decode("utf-8", errors="replace") if stream else ""
    if name == DPKG:
        return metadata.of_dpkg(text)
    if name.endswith("package.json"):
        return [found] if (found := metadata.of_npm(text)) else []
    try:
        return [metadata.of_metadata(text)]
    except ValueError:
        return []  # half a package is no package
