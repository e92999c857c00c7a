"""The backup's file: tar, written and read as a stream, each member's SHA-256 taken on its way."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from .manifest import (
    BEGIN,
    END,
    MACHINE,
    POSTGRES,
    VOLUMES,
    WORKSPACES,
    Manifest,
    Refused,
    beginning,
    check_beginning,
    check_path,
    parse_manifest,
)
from .trees import check_tree, forget

BLOCK = 1024 * 1024
PIECE = 8 * BLOCK
"""Bytes of one member of a stream whose length nobody knows before its end."""


class Writer:
    """Writes members; `close` writes the manifest and the end."""

    def __init__(self, out: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK)  # noqa: SIM115
        self._sums: dict[str, str] = {}
        self.content(BEGIN, beginning())

    def content(self, name: str, content: bytes, like: os.stat_result | None = None) -> None:
        self.file(name, io.BytesIO(content), len(content), like)

    def file(self, name: str, file: BinaryIO, size: int, like: os.stat_result | None = None) -> None:
        """Raises OSError when the file ends before `size`."""
        hashed = _Hashed(file)
        info = _info(name, like)
        info.size = size
        self._tar.addfile(info, hashed)
        forget(self._tar)
        self._sums[name] = hashed.digest()

    def folder(self, name: str, like: os.stat_result) -> None:
        info = _info(name, like)
        info.type = tarfile.DIRTYPE
        self._tar.addfile(info)
        forget(self._tar)
        self._sums[name] = hashlib.sha256().hexdigest()

    def stream(self, name: str, source: BinaryIO) -> None:
        """In pieces, of which one is in memory."""
        number = 0
        while piece := source.read(PIECE):
            self.content(f"{name}/{number:08}", piece)
            number += 1

    def abandon(self) -> None:
        """There will be no end: nothing more is written, also not when this is forgotten."""
        vars(self._tar.fileobj)["closed"] = True

    def close(self, manifest: Manifest) -> None:
        manifest.members = self._sums
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        info = _info(END, None)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        self._tar.close()


def _info(name: str, like: os.stat_result | None) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = 0o600 if like is None else like.st_mode & 0o7777
    info.mtime = time.time() if like is None else like.st_mtime
    if like is not None:
        info.uid, info.gid = like.st_uid, like.st_gid
    return info


class _Hashed(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


class Member:
    """One that is being read. What nobody reads of it is read past."""

    def __init__(self, info: tarfile.TarInfo, file: BinaryIO | None) -> None:
        self.info = info
        self.name = info.name
        self._hashed = _Hashed(file or io.BytesIO())

    def read(self, size: int = -1) -> bytes:
        return self._hashed.read(size)

    def end(self) -> str:
        while self.read(BLOCK):
            pass
        return self._hashed.digest()


class Reader:
    """The members of a backup in their order. `manifest` is there when all were read, and agrees with them."""

    def __init__(self, source: BinaryIO) -> None:
        try:
            self._tar = tarfile.open(fileobj=source, mode="r|", bufsize=BLOCK)  # noqa: SIM115
        except tarfile.TarError:
            raise Refused("this is no backup of Cellar Hub, or it is damaged at its beginning") from None
        self._sums: dict[str, str] = {}
        self._ahead: Member | None = None
        self._now: Member | None = None
        self.manifest: Manifest | None = None

    def __iter__(self) -> Iterator[Member]:
        first = self.next()
        if first is None or first.name != BEGIN:
            raise Refused("this is no backup of Cellar Hub")
        check_beginning(first.read(BLOCK))
        while (member := self.next()) is not None:
            if member.name == END:
                self._finish(member)
                return
            yield member
        raise Refused("this backup ends before its end: it was cut off")

    def next(self) -> Member | None:
        member = self.peek()
        self._ahead, self._now = None, member
        return member

    def peek(self) -> Member | None:
        """The one behind the one that `next` gave, of which nothing can be read any more then."""
        if self._ahead is None:
            if self._now is not None:
                self._sums[self._now.name] = self._now.end()
                self._now = None
            self._ahead = self._read_header()
        return self._ahead

    def _read_header(self) -> Member | None:
        try:
            info = self._tar.next()
            if info is None:
                return None
            forget(self._tar)
            check_path(info.name)
            if not (info.isreg() or info.isdir()) or info.name in self._sums:
                raise Refused(f"it has a member that cannot be one: {info.name!r}")
            return Member(info, self._tar.extractfile(info) if info.isreg() else None)  # type: ignore[arg-type]
        except (tarfile.TarError, EOFError):
            raise Refused("this backup is damaged, or was cut off") from None

    def _finish(self, member: Member) -> None:
        manifest = parse_manifest(member.read())
        self._sums.pop(END, None)
        found, told = list(self._sums.items()), list(manifest.members.items())
        if found != told:
            wrong = next((a[0] for a, b in zip(found, told, strict=False) if a != b), "its end")
            raise Refused(f"this backup is damaged: {wrong} is not what was written")
        self.manifest = manifest


class Pieces(io.RawIOBase):
    """A stream that was written in pieces, from its first one on."""

    def __init__(self, reader: Reader, first: Member) -> None:
        self._reader, self._member = reader, first
        self._prefix = first.name.rpartition("/")[0] + "/"

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not (data := self._member.read(size if size >= 0 else BLOCK)):
            ahead = self._reader.peek()
            if ahead is None or not ahead.name.startswith(self._prefix):
                return b""
            self._member = self._reader.next() or ahead
        return data


def check(source: BinaryIO) -> Manifest:
    """Read a backup to its end and touch nothing. Raises Refused: damaged, cut off, of a newer release, or with a file
    that would be written where it does not belong."""
    reader = Reader(source)
    kinds = (MACHINE, POSTGRES, VOLUMES, WORKSPACES)
    volumes: set[str] = set()
    workspaces: set[str] = set()
    try:
        for member in reader:
            if not member.name.startswith(kinds):
                raise Refused(f"it has a member that nobody knows: {member.name!r}")
            name = member.name.split("/")[1]
            if member.name.startswith(VOLUMES):
                volumes.add(name)
            if member.name.startswith(WORKSPACES):
                workspaces.add(name.removesuffix(".tar"))
                check_tree(Pieces(reader, member))  # type: ignore[arg-type]  # it only reads
    except tarfile.TarError:
        raise Refused("this backup is damaged, or was cut off") from None
    assert reader.manifest is not None
    told = {each.volume for each in reader.manifest.workspaces}
    if volumes != set(reader.manifest.volumes) or workspaces != told:
        raise Refused("its manifest tells of other volumes than it has")
    return reader.manifest
