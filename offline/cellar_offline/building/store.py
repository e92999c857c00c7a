"""What a build has done, so that one that was killed goes on from there.

The journal is a file of lines, one for each piece of work that is on the disk; its last line may be torn, and is then
not done. What it says is believed only where the chunks are there, and before a bundle is named complete every chunk
is read again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cellar_offline.building.problems import CannotBuild
from cellar_offline.chunks import BLOCK, ChunkWriter
from cellar_offline.engine import chains
from cellar_offline.manifest import PLAIN, Blob, Chunk, Manifest


class Journal:
    """Key -> value (JSON), kept in a file. May be used by several threads."""

    def __init__(self, path: Path) -> None:
        self._known: dict[str, Any] = {}
        self._lock = threading.Lock()
        whole = b""
        if path.is_file():
            whole = path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
            for line in whole.splitlines():
                try:
                    key, value = json.loads(line)
                except (ValueError, TypeError):
                    continue  # what is not known is done again
                self._known[key] = value
        self._file = path.open("ab")
        self._file.truncate(len(whole))

    def get(self, key: str) -> Any:
        """None when it was not done."""
        with self._lock:
            return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        with self._lock:
            self._file.write(json.dumps([key, value], separators=(",", ":")).encode() + b"\n")
            self._file.flush()  # a killed build has that; after a power cut some work is done again
            self._known[key] = value

    def close(self) -> None:
        self._file.close()


class Store:
    """The chunks of a bundle in `out`, and each blob once, whoever asks for it. May be used by several threads."""

    def __init__(self, out: Path, journal: Journal, chunk_size: int, since: Manifest | None) -> None:
        self.journal = journal
        self._writer = ChunkWriter(out, chunk_size)
        self._blobs: dict[str, Blob] = {}
        self._lock = threading.Lock()
        self._old = _files_of(since) if since else {}

    def leave_out(self, since: Manifest | None, images: Sequence[Sequence[str]]) -> None:
        """Of images with these layers (diff ids, bottom first), what a target with the bundle `since` has in Docker: a
        layer on the same layers below, and the configuration of the same image."""
        if since is None:
            return
        there = chains(each.layers for each in since.images)
        needed = {
            layer for layers in images for count, layer in enumerate(layers) if tuple(layers[: count + 1]) not in there
        }
        has = {name for each in since.images for name in (each.config, *each.layers)} - needed
        with self._lock:
            self._old |= {blob.sha256: blob for blob in since.blobs if blob.sha256 in has}

    def blob(self, sha256: str) -> Blob:
        """One that was put. KeyError."""
        with self._lock:
            return self._blobs[sha256]

    def file(self, path: Path, encoding: str = PLAIN, sha256: str = "") -> Blob:
        """A file's content; `sha256` where that is known already. CannotBuild when it changes meanwhile."""
        name = sha256 or hash_of(path)
        if found := self.known(name, encoding):
            return found
        with path.open("rb") as stream:
            blob = self._put(stream, encoding)
        if blob.sha256 != name:
            raise CannotBuild(f"{path} was changed while it was read. Run the same command again.")
        return blob

    def content(self, content: bytes) -> Blob:
        return self.known(hashlib.sha256(content).hexdigest(), PLAIN) or self._put(io.BytesIO(content), PLAIN)

    def known(self, sha256: str, encoding: str) -> Blob | None:
        """One that need not be read: it is in the bundle `since`, or its chunks are here already."""
        with self._lock:
            if found := self._blobs.get(sha256):
                return found
            if old := self._old.get(sha256):
                found = Blob(sha256, old.size, old.encoding, ())
            else:
                found = self._remembered(sha256, encoding)
            if found:
                self._blobs[sha256] = found
            return found

    def chunks(self, blobs: Iterable[Blob]) -> tuple[Chunk, ...]:
        """Those of these blobs, by name; sizes as they lie on the disk."""
        names = sorted({name for blob in blobs for name in blob.chunks})
        return tuple(Chunk(name, (self._writer.folder / name).stat().st_size) for name in names)

    def remove_others(self, keep: tuple[Chunk, ...]) -> None:
        self._writer.remove_others(keep)

    def forget(self, chunk: str) -> None:
        """A chunk that is no longer what its name says: the next build makes it again."""
        (self._writer.folder / chunk).unlink(missing_ok=True)

    def _put(self, stream: BinaryIO, encoding: str) -> Blob:
        blob = self._writer.put(stream, encoding)
        with self._lock:
            self._blobs[blob.sha256] = blob
        self.journal.put(self._key(blob.sha256, encoding), [blob.size, list(blob.chunks)])
        return blob

    def _remembered(self, sha256: str, encoding: str) -> Blob | None:
        done = self.journal.get(self._key(sha256, encoding))
        if done is None:
            return None
        size, chunks = done
        there = all((self._writer.folder / name).is_file() for name in chunks)
        return Blob(sha256, size, encoding, tuple(chunks)) if there else None

    def _key(self, sha256: str, encoding: str) -> str:
        return f"blob {sha256} {encoding} {self._writer.chunk_size}"


def _files_of(since: Manifest) -> dict[str, Blob]:
    """What a release keeps as files."""
    names = {each.sha256 for each in since.files}
    return {blob.sha256: blob for blob in since.blobs if blob.sha256 in names}


def hash_of(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as stream:
        return hash_of_stream(stream)


def hash_of_stream(stream: BinaryIO) -> str:
    whole = hashlib.sha256()
    while block := stream.read(BLOCK):
        whole.update(block)
    return whole.hexdigest()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else builds there meanwhile. CannotBuild. The lock ends with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotBuild(f"Another build works in {folder}. Wait for it, or choose another --out.") from None
        yield
