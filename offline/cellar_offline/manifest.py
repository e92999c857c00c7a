"""manifest.json: what a bundle holds. The agreement between the side that builds and the sides that load and prove.

On media lie, in any number of folders, in any order:

    manifest.json  manifest.json.sig   the same on each medium, or on one
    cellar-offline.pyz  MANIFEST.md ... plain copies of files of the bundle, for people (`OUTSIDE`)
    chunks/<sha256>                    pieces of at most `chunk_size` bytes, named by what they hold

Chunks in their order make a blob, decoded where its encoding says so. A blob is a file, a layer of an image (the tar,
uncompressed: its hash is the layer's diff id) or an image's configuration (its hash is the image's id). Each is stored
once, whoever shares it.

A delta (`since`) lists everything that the release is made of, as a whole bundle does; a blob without chunks is one
that the loaded bundle `since` has. A layer may be left out only where an image of `since` has it on the same layers
below: Docker knows a layer by all that it stands on (`engine.chains`, `engine.lacking`), and releases keep none.

The id is the sha256 of everything else in the manifest, so that one id is one content. What is signed is the bytes of
manifest.json. Reading is strict: unknown, missing or repeated keys, a path that leads out, anything named twice or
hanging in the air is a `BadManifest`, and nothing of the bundle is touched.

Files of a release, by path:

    hub_config/compose/... hub_config/cellar_vllm/...   as they lie in the source: the compose files name each other
    hub_config/compose/images.json     which image is for which service or setting
    target.json                        what the target's checks go by (`target.py`)
    weights/NAME/...  wheels/...  docs/...  licences/...  cellar-offline.pyz  sbom.cdx.json  MANIFEST.md  MANIFEST.ko.md
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

FORMAT = "cellar-bundle-1"
NAME = "manifest.json"
SIGNATURE = "manifest.json.sig"
CHUNKS = "chunks"
OUTSIDE = ("cellar-offline.pyz", "MANIFEST.md", "MANIFEST.ko.md", "sbom.cdx.json")
"""Files of the bundle of which a plain copy may lie beside the manifest; `verify` compares them."""
KINDS = ("wheel", "weights", "config", "doc", "tool")
PLAIN, ZLIB = "plain", "zlib"
ENCODINGS = (PLAIN, ZLIB)
MODES = ("0644", "0755")
LARGEST_CHUNK = 256 << 20  # bytes: a chunk is checked in memory before any of it is believed
DIGITS = 20
LARGEST = 256 << 20  # bytes of a manifest that is read at all: some hundred thousand files
SHA256 = re.compile(r"[0-9a-f]{64}")
IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,254}")
CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")

T = TypeVar("T")


class BadManifest(ValueError):
    """The manifest cannot be believed; the message is for a person."""


@dataclass(frozen=True)
class Chunk:
    """A piece as it lies on a medium."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Blob:
    """What chunks make. `sha256` and `size` are those of the decoded bytes; no chunks: the bundle `since` has it."""

    sha256: str
    size: int
    encoding: str
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A file of the release; `sha256` is a blob's. Mode "0644" or "0755". `source`: where it is from, for people."""

    path: str
    sha256: str
    size: int
    mode: str
    kind: str
    source: str
    licence: str


@dataclass(frozen=True)
class Image:
    """A Docker image. `id` is "sha256:" and `config`, a blob; `layers` are blobs, bottom first, of its diff ids.

    `digest` is the registry's, "sha256:...", where it came from one.
    """

    name: str
    tag: str
    id: str
    digest: str | None
    config: str
    layers: tuple[str, ...]

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.tag}"


@dataclass(frozen=True)
class Manifest:
    """`built` is UTC, "2026-11-30T01:45:00Z"; `platform` "linux/amd64"; `python` the wheels', "3.11", or ""."""

    name: str
    version: str
    built: str
    platform: str
    python: str
    since: str | None
    chunk_size: int
    chunks: tuple[Chunk, ...]
    blobs: tuple[Blob, ...]
    files: tuple[File, ...]
    images: tuple[Image, ...]
    id: str = ""

    def sealed(self) -> Manifest:
        """The same with its id, checked as a reader will check it. BadManifest."""
        return parse(_dumped(replace(self, id=_id(_fields(self)))))

    def dump(self) -> bytes:
        """The bytes of manifest.json."""
        return _dumped(self)

    @property
    def title(self) -> str:
        """For people: name, version and the id's beginning."""
        return f"{self.name} {self.version} ({self.id[:12]})"

    def blob(self, sha256: str) -> Blob:
        """KeyError when there is none."""
        return self._blobs[sha256]

    @cached_property
    def _blobs(self) -> dict[str, Blob]:
        return {blob.sha256: blob for blob in self.blobs}


def parse(text: bytes) -> Manifest:
    """From the bytes of manifest.json. BadManifest."""
    if len(text) > LARGEST:
        raise BadManifest(f"The manifest has {len(text)} bytes; more than {LARGEST} are not read.")
    try:
        hooks: dict[str, Any] = {"parse_int": _whole, "parse_float": _refuse, "parse_constant": _refuse}
        table = json.loads(text.decode("utf-8"), object_pairs_hook=_once, **hooks)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadManifest):
            raise
        raise BadManifest(f"The manifest is not JSON: {error}.") from None
    if not isinstance(table, dict):
        raise BadManifest("The manifest is not a JSON object.")
    if table.get("format") != FORMAT:
        raise BadManifest(
            f"The manifest's format is {table.get('format')!r}; this program reads {FORMAT}. "
            "Use the cellar-offline.pyz that came with the bundle."
        )
    manifest = _manifest(table)
    rest = {key: value for key, value in table.items() if key != "id"}
    if manifest.id != _id(rest):
        raise BadManifest("The manifest's id is not that of its content: it was changed after it was built.")
    _check(manifest)
    return manifest


# --- writing


def _id(rest: Mapping[str, Any]) -> str:
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _fields(manifest: Manifest) -> dict[str, Any]:
    """All but the id, as JSON has it."""
    return {
        "format": FORMAT,
        "name": manifest.name,
        "version": manifest.version,
        "built": manifest.built,
        "platform": manifest.platform,
        "python": manifest.python,
        "since": manifest.since,
        "chunk_size": manifest.chunk_size,
        "chunks": [dict(vars(each)) for each in manifest.chunks],
        "blobs": [{**vars(each), "chunks": list(each.chunks)} for each in manifest.blobs],
        "files": [dict(vars(each)) for each in manifest.files],
        "images": [{**vars(each), "layers": list(each.layers)} for each in manifest.images],
    }


def _dumped(manifest: Manifest) -> bytes:
    table = {"format": FORMAT, "id": manifest.id, **_fields(manifest)}
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


# --- reading


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        keys = [key for key, _ in pairs]
        raise BadManifest(f"The manifest has a key twice: {next(key for key in keys if keys.count(key) > 1)!r}.")
    return table


def _whole(text: str) -> int:
    """Python before 3.11 takes hours over a number of megabytes."""
    return int(text) if len(text) <= DIGITS else _refuse(f"{text[:DIGITS]}...")


def _refuse(text: str) -> Any:
    raise BadManifest(f"The manifest has the number {text}; only whole numbers are in one.")


class _Row:
    """One object of the manifest, whose keys are taken one by one; a key that is left over is unknown."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise BadManifest(f"{where} is not an object.")
        self.rest = dict(value)
        self.where = where

    def _take(self, key: str) -> Any:
        if key not in self.rest:
            raise BadManifest(f"{self.where} has no {key!r}.")
        return self.rest.pop(key)

    def text(self, key: str, like: re.Pattern[str] | None = None) -> str:
        value = self._take(key)
        if not isinstance(value, str) or len(value) > 4096 or CONTROL.search(value) or not _encodes(value):
            raise BadManifest(f"{self.where}: {key!r} is not one line of text.")
        if like is not None and not like.fullmatch(value):
            raise BadManifest(f"{self.where}: {key!r} is {value!r}, which cannot be one.")
        return value

    def maybe(self, key: str, like: re.Pattern[str]) -> str | None:
        if key in self.rest and self.rest[key] is None:
            self.rest.pop(key)
            return None
        return self.text(key, like)

    def one_of(self, key: str, choices: Sequence[str]) -> str:
        value = self.text(key)
        if value not in choices:
            raise BadManifest(f"{self.where}: {key!r} is {value!r} and none of {', '.join(choices)}.")
        return value

    def number(self, key: str, least: int = 0, most: int = 1 << 50) -> int:
        value = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadManifest(f"{self.where}: {key!r} is {value!r} and not a number from {least} to {most}.")
        return value

    def rows(self, key: str, read: Callable[[_Row], T]) -> tuple[T, ...]:
        return tuple(self._done(_Row(each, f"{key}[{place}]"), read) for place, each in enumerate(self._list(key)))

    def hashes(self, key: str) -> tuple[str, ...]:
        found = self._list(key)
        if not all(isinstance(each, str) and SHA256.fullmatch(each) for each in found):
            raise BadManifest(f"{self.where}: {key!r} holds what is no sha256.")
        return tuple(found)

    def _list(self, key: str) -> list[Any]:
        value = self._take(key)
        if not isinstance(value, list):
            raise BadManifest(f"{self.where}: {key!r} is not a list.")
        return value

    @staticmethod
    def _done(row: _Row, read: Callable[[_Row], T]) -> T:
        made = read(row)
        row.end()
        return made

    def end(self) -> None:
        if self.rest:
            raise BadManifest(f"{self.where} has an unknown key: {min(self.rest)!r}.")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False
    return True


def _manifest(table: dict[str, Any]) -> Manifest:
    row = _Row(table, "The manifest")
    row.text("format")
    made = Manifest(
        id=row.text("id", SHA256),
        name=row.text("name", WORD),
        version=row.text("version", WORD),
        built=row.text("built", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")),
        platform=row.text("platform", re.compile(r"linux/[a-z0-9]{1,16}")),
        python=row.text("python", re.compile(r"(3\.\d{1,2})?")),
        since=row.maybe("since", SHA256),
        chunk_size=row.number("chunk_size", 1, LARGEST_CHUNK),
        chunks=row.rows("chunks", lambda each: Chunk(each.text("sha256", SHA256), each.number("size"))),
        blobs=row.rows("blobs", _blob),
        files=row.rows("files", _file),
        images=row.rows("images", _image),
    )
    row.end()
    return made


def _blob(row: _Row) -> Blob:
    return Blob(row.text("sha256", SHA256), row.number("size"), row.one_of("encoding", ENCODINGS), row.hashes("chunks"))


def _file(row: _Row) -> File:
    return File(
        path=_path(row.text("path"), row.where),
        sha256=row.text("sha256", SHA256),
        size=row.number("size"),
        mode=row.one_of("mode", MODES),
        kind=row.one_of("kind", KINDS),
        source=row.text("source"),
        licence=row.text("licence"),
    )


def _image(row: _Row) -> Image:
    return Image(
        name=row.text("name", IMAGE_NAME),
        tag=row.text("tag", WORD),
        id=row.text("id", IMAGE_ID),
        digest=row.maybe("digest", IMAGE_ID),
        config=row.text("config", SHA256),
        layers=row.hashes("layers"),
    )


def _path(path: str, where: str) -> str:
    """A path below the release and nowhere else, on any system."""
    parts = path.split("/")
    if "\\" in path or len(path.encode()) > 1024:
        raise BadManifest(f"{where}: {path!r} is not a path of a release.")
    for part in parts:
        if part in ("", ".", "..") or len(part.encode()) > 255:
            raise BadManifest(f"{where}: {path!r} leads out of the release.")
    if parts[0].startswith("."):
        raise BadManifest(f"{where}: {path!r} begins with a dot, which is for the release's own records.")
    return path


# --- what must hold between the parts


def _check(manifest: Manifest) -> None:
    chunks = _unique({each.sha256: each.size for each in manifest.chunks}, len(manifest.chunks), "chunk")
    blobs = _unique({each.sha256: each for each in manifest.blobs}, len(manifest.blobs), "blob")
    _unique({each.path: each for each in manifest.files}, len(manifest.files), "path")
    _unique({each.reference: each for each in manifest.images}, len(manifest.images), "image")
    if too_large := next((name for name, size in chunks.items() if size > manifest.chunk_size), ""):
        raise BadManifest(f"Chunk {too_large} is larger than the bundle's chunks are.")
    _check_blobs(manifest, chunks)
    used = {name for blob in manifest.blobs for name in blob.chunks}
    if unused := chunks.keys() - used:
        raise BadManifest(f"Chunk {min(unused)} belongs to nothing.")
    _check_paths(manifest.files)
    for file in manifest.files:
        if file.sha256 not in blobs or blobs[file.sha256].size != file.size:
            raise BadManifest(f"The bundle does not hold the file {file.path}.")
    for image in manifest.images:
        if image.id != f"sha256:{image.config}":
            raise BadManifest(f"The id of image {image.reference} is not that of its configuration.")
        if not {image.config, *image.layers} <= blobs.keys():
            raise BadManifest(f"The bundle does not hold the image {image.reference}.")
    named = {each.sha256 for each in manifest.files}
    named |= {name for each in manifest.images for name in (each.config, *each.layers)}
    if spare := blobs.keys() - named:
        raise BadManifest(f"Blob {min(spare)} is neither a file nor of an image.")


def _unique(table: dict[str, T], count: int, what: str) -> dict[str, T]:
    if len(table) != count:
        raise BadManifest(f"The manifest lists a {what} twice.")
    return table


def _check_blobs(manifest: Manifest, chunks: Mapping[str, int]) -> None:
    for blob in manifest.blobs:
        if not blob.chunks and manifest.since is None:
            raise BadManifest(f"Blob {blob.sha256} has no chunks, and the bundle is no delta.")
        if lost := [name for name in blob.chunks if name not in chunks]:
            raise BadManifest(f"Blob {blob.sha256} wants chunk {lost[0]}, which is not listed.")
        if blob.chunks and blob.encoding == PLAIN and sum(chunks[name] for name in blob.chunks) != blob.size:
            raise BadManifest(f"The chunks of blob {blob.sha256} do not have its size.")


def _check_paths(files: Sequence[File]) -> None:
    paths = {each.path for each in files}
    for path in paths:
        parts = path.split("/")
        for count in range(1, len(parts)):
            if (above := "/".join(parts[:count])) in paths:
                raise BadManifest(f"{above!r} is a file and a folder at once.")
