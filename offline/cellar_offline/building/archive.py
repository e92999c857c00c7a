"""What `docker save` writes, taken apart as it comes: configurations and layers of images, each once.

Two layouts are about. Docker up to 24 writes `manifest.json` (last), `CONFIG.json` and a folder for each layer with
`layer.tar` in it, some of them links to others. Newer engines, and others' tools, write an OCI layout: `index.json`
and `blobs/sha256/...`, whose layers may be compressed. Newer engines write `manifest.json` beside it.

Sources: https://github.com/moby/docker-image-spec (v1.2), https://github.com/opencontainers/image-spec.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any, Generic, TypeVar

from cellar_offline.building.problems import CannotBuild

SMALL = 1 << 20  # bytes: what is kept in memory until manifest.json says what it is
MANIFEST, INDEX = "manifest.json", "index.json"
NAMED = ("io.containerd.image.name", "org.opencontainers.image.ref.name")

T = TypeVar("T")


@dataclass(frozen=True)
class Saved(Generic[T]):
    """One image. `config` is the bytes of its configuration; `layers`: what `keep` made of each, bottom first."""

    references: tuple[str, ...]
    config: bytes
    layers: tuple[T, ...]
    manifest_ids: tuple[str, ...] = ()  # "sha256:...": engines with containerd's store call it by its manifest

    @property
    def id(self) -> str:
        return f"sha256:{hashlib.sha256(self.config).hexdigest()}"

    @property
    def table(self) -> dict[str, Any]:
        """The configuration. CannotBuild."""
        try:
            found: dict[str, Any] = json.loads(self.config)
            found["rootfs"]["diff_ids"][:0]
        except (ValueError, KeyError, TypeError):
            raise CannotBuild(f"The configuration of {self.title} cannot be read.") from None
        return found

    @property
    def title(self) -> str:
        return self.references[0] if self.references else self.id

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Hex digits."""
        return tuple(str(each).removeprefix("sha256:") for each in self.table["rootfs"]["diff_ids"])

    @property
    def platform(self) -> str:
        return f"{self.table.get('os', '')}/{self.table.get('architecture', '')}"


def take_apart(stream: IO[bytes], keep: Callable[[str, IO[bytes]], T]) -> list[Saved[T]]:
    """The images in `stream`, which is read once from its beginning to its end. `keep(name, stream)` gets each file
    that may be a layer. CannotBuild when it is no such archive."""
    parts = _Parts[T](keep)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                parts.take(archive, member)
        while stream.read(1 << 16):
            pass  # whoever writes it must not find the pipe closed
    except tarfile.TarError as error:
        raise CannotBuild(f"What docker save wrote is damaged or cut off: {error}.") from None
    if MANIFEST in parts.small:
        ids = (
            {each.id: each.manifest_ids for each in _by_index(parts, read_layers=False)} if INDEX in parts.small else {}
        )
        return [_by_docker(parts, row, ids) for row in parts.json(MANIFEST)]
    if INDEX in parts.small:
        return _by_index(parts)
    raise CannotBuild(f"What docker save wrote has neither {MANIFEST} nor {INDEX}: it was cut off, or is none.")


class _Parts(Generic[T]):
    def __init__(self, keep: Callable[[str, IO[bytes]], T]) -> None:
        self.keep = keep
        self.small: dict[str, bytes] = {}
        self.kept: dict[str, T] = {}
        self.links: dict[str, str] = {}

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = posixpath.normpath(member.name)
        if member.issym():
            self.links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            self.links[name] = posixpath.normpath(member.linkname)
        elif member.isfile():
            content = archive.extractfile(member)
            assert content is not None
            if member.size <= SMALL:
                self.small[name] = content.read()
            else:
                self.kept[name] = self.keep(name, content)

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.bytes(name))
        except ValueError:
            raise CannotBuild(f"{name}, as docker save wrote it, cannot be read.") from None

    def bytes(self, name: str) -> bytes:
        found = self.small.get(self._real(name))
        if found is None:
            raise CannotBuild(f"What docker save wrote lacks {name}.")
        return found

    def layer(self, name: str) -> T:
        real = self._real(name)
        if real not in self.kept:
            self.kept[real] = self.keep(real, io.BytesIO(self.bytes(real)))
        return self.kept[real]

    def _real(self, name: str) -> str:
        name = posixpath.normpath(name)
        for _ in range(8):  # a link to a link is enough; one that leads to itself ends
            if name not in self.links:
                break
            name = self.links[name]
        return name


def _by_docker(parts: _Parts[T], row: Any, ids: dict[str, tuple[str, ...]]) -> Saved[T]:
    try:
        tags, config, layers = row["RepoTags"] or [], row["Config"], row["Layers"] or []
    except (KeyError, TypeError):
        raise CannotBuild(f"{MANIFEST}, as docker save wrote it, lacks an image's parts.") from None
    saved = Saved(tuple(tags), parts.bytes(config), tuple(parts.layer(name) for name in layers))
    return replace(saved, manifest_ids=ids.get(saved.id, ()))


def _by_index(parts: _Parts[T], read_layers: bool = True) -> list[Saved[T]]:
    found: list[Saved[T]] = []

    def walk(index: Any, names: tuple[str, ...], above: tuple[str, ...]) -> None:
        for row in index["manifests"]:
            notes = row.get("annotations") or {}
            path = _blob(row["digest"])
            if notes.get("vnd.docker.reference.type") or path not in parts.small:
                continue  # an attestation, which is no image; or of another platform, which this engine does not have
            own = tuple(notes[key] for key in NAMED if key in notes)[:1] or names
            ids = (*above, row["digest"])
            table = parts.json(path)
            if "manifests" in table:
                walk(table, own, ids)
            elif _blob(table["config"]["digest"]) in parts.small:
                layers = [_blob(each["digest"]) for each in table["layers"]] if read_layers else []
                config = parts.bytes(_blob(table["config"]["digest"]))
                found.append(Saved(own, config, tuple(map(parts.layer, layers)), ids))

    try:
        walk(parts.json(INDEX), (), ())
    except (KeyError, TypeError, AttributeError):
        raise CannotBuild(f"{INDEX}, as docker save wrote it, cannot be read.") from None
    return found


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"
