"""The media of a bundle: any number of folders, in which chunks are found by their names wherever they lie."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cellar_offline.manifest import (
    CHUNKS,
    LARGEST,
    NAME,
    OUTSIDE,
    SHA256,
    SIGNATURE,
    ZLIB,
    Blob,
    Manifest,
    parse,
)

FED = 1 << 18  # bytes of a chunk that are decoded at once
DEEPEST = 8  # folders below one of `--from`
NOBODYS = "lost+found"
"""A folder that file systems have for themselves, and that only root may read."""
LARGEST_SIGNATURE = 64 << 10  # bytes


class BadMedia(Exception):
    """What lies on the media is not what the manifest says; the message names it."""


@dataclass
class Findings:
    """Names of chunks and files, each list in order."""

    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # no good copy anywhere
    bad_copies: list[str] = field(default_factory=list)  # a good one lies elsewhere
    foreign: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.damaged or self.bad_copies or self.foreign)


class Media:
    """Finds what the folders hold; reads nothing but what is asked for, and follows no link."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._chunks: dict[str, list[Path]] = {}
        self._plain: dict[str, list[Path]] = {}
        self._strange: list[Path] = []
        for folder in folders:
            if not folder.is_dir():
                raise BadMedia(f"{folder} is no folder. Is the medium mounted?")
            self._look(folder)

    def _look(self, top: Path) -> None:
        depth = len(top.parts)
        for place, folders, names in os.walk(top, onerror=_unreadable):
            here = Path(place)
            if NOBODYS in folders:
                folders.remove(NOBODYS)
            if len(here.parts) - depth >= DEEPEST:
                folders.clear()
            for name in sorted(names):
                if SHA256.fullmatch(name):
                    self._chunks.setdefault(name, []).append(here / name)
                elif here.name == CHUNKS:
                    self._strange.append(here / name)
                elif name in (NAME, SIGNATURE, *OUTSIDE):
                    self._plain.setdefault(name, []).append(here / name)
            if here.name == CHUNKS:
                self._strange += [here / name for name in folders]

    def text(self) -> bytes:
        """The one manifest of all these folders, as bytes that nobody has looked into yet. BadMedia."""
        found = self._plain.get(NAME, [])
        if not found:
            places = ", ".join(map(str, self.folders))
            raise BadMedia(f"There is no {NAME} in {places}. It lies beside the folder {CHUNKS} on each medium.")
        text = _read(found[0], LARGEST + 1)
        if any(_read(path, LARGEST + 1) != text for path in found[1:]):
            raise BadMedia(
                f"Here lie manifests of more than one bundle, or one is damaged: {', '.join(map(str, found))}. Name "
                "the folders of one bundle only."
            )
        return text

    def manifest(self) -> tuple[Manifest, bytes]:
        """The one manifest and its bytes, whoever made it: `loading.believe` asks first. BadManifest, BadMedia."""
        text = self.text()
        return parse(text), text

    def signatures(self) -> list[bytes]:
        """Each that lies here. BadMedia."""
        return [_read(path, LARGEST_SIGNATURE) for path in self._plain.get(SIGNATURE, [])]

    def findings(self, manifest: Manifest, progress: Callable[[int], None] = lambda size: None) -> Findings:
        """Every chunk read and hashed, wherever it lies; plain copies of files of the bundle, too."""
        found = Findings()
        for chunk in manifest.chunks:
            copies = self._chunks.get(chunk.sha256, [])
            bad = [path for path in copies if not _holds(path, chunk.sha256, chunk.size, progress)]
            if not copies:
                found.missing.append(f"{CHUNKS}/{chunk.sha256}")
            elif len(bad) == len(copies):
                found.damaged += map(str, bad)
            else:
                found.bad_copies += map(str, bad)
        known = {each.sha256 for each in manifest.chunks}
        for name in sorted(self._chunks.keys() - known):
            found.foreign += map(str, self._chunks[name])
        found.foreign += map(str, self._strange)
        self._find_copies(manifest, found)
        return found

    def _find_copies(self, manifest: Manifest, found: Findings) -> None:
        files = {each.path: each for each in manifest.files}
        for name in OUTSIDE:
            for path in self._plain.get(name, []):
                if name not in files:
                    found.foreign.append(str(path))
                elif not _holds(path, files[name].sha256, files[name].size):
                    found.damaged.append(str(path))

    def missing(self, manifest: Manifest, wanted: Sequence[str]) -> list[str]:
        """Which of these chunks lie nowhere, or nowhere with their size: a quick look before a long load."""
        sizes = {each.sha256: each.size for each in manifest.chunks}
        return [name for name in wanted if not any(_size(path) == sizes[name] for path in self._chunks.get(name, []))]

    def chunk(self, name: str, size: int) -> bytes:
        """A chunk that was hashed, from the first place with a good copy. BadMedia."""
        copies = self._chunks.get(name, [])
        for path in copies:
            try:
                piece = _read(path, size + 1)
            except BadMedia:
                continue
            if len(piece) == size and hashlib.sha256(piece).hexdigest() == name:
                return piece
        if not copies:
            raise BadMedia(f"{CHUNKS}/{name} is missing. Is a medium not mounted, or not named by --from?")
        raise BadMedia(f"{', '.join(map(str, copies))} is damaged. Copy it again from where the bundle was made.")

    def blob(self, manifest: Manifest, blob: Blob, first: int = 0) -> Iterator[bytes]:
        """The decoded bytes, without the first `first` chunks where it is plain. Each block is of a good chunk; whether
        all are the blob that the manifest means, its hash tells: the caller's. BadMedia."""
        pieces = (self.chunk(name, self._sizes(manifest)[name]) for name in blob.chunks[first:])
        yield from pieces if blob.encoding != ZLIB else _decoded(pieces, blob)

    def _sizes(self, manifest: Manifest) -> dict[str, int]:
        if self.__dict__.get("_of") is not manifest:
            self._of = manifest
            self._size_of = {each.sha256: each.size for each in manifest.chunks}
        return self._size_of


def hashed(blocks: Iterator[bytes], blob: Blob) -> Iterator[bytes]:
    """The same blocks; BadMedia at the end, or as soon as it is too long, when they are not the blob."""
    whole = hashlib.sha256()
    size = 0
    for block in blocks:
        whole.update(block)
        size += len(block)
        if size > blob.size:
            break
        yield block
    if size != blob.size or whole.hexdigest() != blob.sha256:
        raise BadMedia(f"The chunks of {blob.sha256} are good, and do not make it: the manifest is wrong.")


def _decoded(pieces: Iterator[bytes], blob: Blob) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    try:
        for piece in pieces:
            for start in range(0, len(piece), FED):  # what is left of a whole chunk would be copied for each block
                rest = piece[start : start + FED]
                while rest:
                    if unpacker.eof:
                        raise zlib.error("something stands behind its end")
                    if block := unpacker.decompress(rest, 1 << 20):
                        yield block
                    rest = unpacker.unconsumed_tail
        if unpacker.unused_data:
            raise zlib.error("something stands behind its end")
        if not unpacker.eof:
            raise zlib.error("its end is missing")
    except zlib.error as error:
        raise BadMedia(f"The chunks of {blob.sha256} are good, and cannot be decoded: {error}.") from None


def _unreadable(error: OSError) -> None:
    raise BadMedia(f"{error.filename} cannot be read: {error.strerror}.")


def _size(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _open(path: Path) -> int:
    """A file, and no link to one. OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is not a file")
    return handle


def _read(path: Path, most: int) -> bytes:
    try:
        with os.fdopen(_open(path), "rb") as file:
            return file.read(most)
    except OSError as error:
        raise BadMedia(f"{path} cannot be read: {error.strerror or error}.") from None


def _holds(path: Path, name: str, size: int, progress: Callable[[int], None] = lambda size: None) -> bool:
    whole = hashlib.sha256()
    try:
        with os.fdopen(_open(path), "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            while block := file.read(1 << 20):
                whole.update(block)
                progress(len(block))
    except OSError:
        return False
    return whole.hexdigest() == name
