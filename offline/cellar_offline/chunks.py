"""Blobs as chunks in a folder: how the connected side writes them.

A chunk is written under a temporary name, synced and renamed: a name that is a hash is whole. So a build that was
killed goes on where it was: what is there by its name is hashed again and not written again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cellar_offline.manifest import CHUNKS, PLAIN, ZLIB, Blob, Chunk

BLOCK = 1 << 20
LEVEL = 1  # of zlib: layers of images become a third at 80 MB/s and a core; more costs more than it gives


class ChunkWriter:
    """Puts streams into `folder`/chunks. May be used by several threads at once, for streams of their own."""

    def __init__(self, folder: Path, chunk_size: int) -> None:
        self.folder = folder / CHUNKS
        self.chunk_size = chunk_size
        self.folder.mkdir(parents=True, exist_ok=True)
        self._written: dict[str, int] = {}
        self._lock = threading.Lock()

    def put(self, stream: BinaryIO, encoding: str = PLAIN) -> Blob:
        """The whole stream as chunks on the disk. OSError when it cannot be read or written: then it is not there."""
        whole = hashlib.sha256()
        size = 0

        def read() -> Iterator[bytes]:
            nonlocal size
            while block := stream.read(BLOCK):
                whole.update(block)
                size += len(block)
                yield block

        names = [self._write(piece) for piece in _pieces(_encoded(read(), encoding), self.chunk_size)]
        return Blob(whole.hexdigest(), size, encoding, tuple(names))

    def chunks(self) -> tuple[Chunk, ...]:
        """Of everything that was put, by name."""
        return tuple(Chunk(name, size) for name, size in sorted(self._written.items()))

    def remove_others(self, keep: tuple[Chunk, ...]) -> list[str]:
        """Files of an earlier build that are not of this one; a medium with them would be called foreign."""
        names = {each.sha256 for each in keep}
        others = [path for path in self.folder.iterdir() if path.name not in names]
        for path in others:
            path.unlink()
        return sorted(path.name for path in others)

    def _write(self, piece: bytes) -> str:
        name = hashlib.sha256(piece).hexdigest()
        path = self.folder / name
        if not _holds(path, piece):
            unfinished = self.folder / f".{name}.{os.getpid()}.{threading.get_ident()}.part"
            try:
                with unfinished.open("wb") as out:
                    out.write(piece)
                    out.flush()
                    os.fsync(out.fileno())
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            sync_folder(self.folder)
        with self._lock:
            self._written[name] = len(piece)
        return name


def sync_folder(folder: Path) -> None:
    """A rename is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _holds(path: Path, piece: bytes) -> bool:
    """Whether the chunk is there and whole: a disk may have damaged it since."""
    try:
        return not path.is_symlink() and path.stat().st_size == len(piece) and path.read_bytes() == piece
    except OSError:
        return False


def _encoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding != ZLIB:
        yield from blocks
        return
    packer = zlib.compressobj(LEVEL)
    for block in blocks:
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()


def _pieces(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Of `size` bytes each but for the last; one empty piece of an empty stream."""
    held = bytearray()
    any_yet = False
    for block in blocks:
        held += block
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
            any_yet = True
    if held or not any_yet:
        yield bytes(held)
