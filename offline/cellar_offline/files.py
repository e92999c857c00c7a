"""The files of a release: linked from one that is loaded where that has them, else written from media.

A file has its name only when it is whole, hashed and on the disk. What a killed load has left of a large one lies in
`.cellar/parts`, and its good chunks are not read from media again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from cellar_offline import room
from cellar_offline.manifest import PLAIN, Blob, File, Manifest
from cellar_offline.media import BadMedia, Media
from cellar_offline.progress import Progress
from cellar_offline.release import OWN, Release, Unusable

READ_ONLY = 0o555


class Files:
    """Those of one bundle, in the folder where it is loaded."""

    def __init__(self, folder: Path, manifest: Manifest, media: Media) -> None:
        self.folder = folder
        self.parts = folder / OWN / "parts"
        self.manifest = manifest
        self.media = media
        self.sizes = {each.sha256: each.size for each in manifest.chunks}
        self.made: dict[tuple[str, str], Path] = {}
        self.old: dict[str, Path] = {}

    def choose(self, releases: list[Release], again: bool) -> list[File]:
        """Link what loaded releases have; the rest is to be written. Unusable when a delta lacks its base's file.

        `again`: the folder is a release that was loaded before, of which somebody or a disk may have changed a file.
        """
        self.parts.mkdir(parents=True, exist_ok=True)
        loaded = {(file.sha256, file.mode): each.path / file.path for each in releases for file in each.manifest.files}
        self.old = {sha256: path for (sha256, _), path in loaded.items()}
        chosen = []
        for file in self.manifest.files:
            place = self.folder / file.path
            key = (file.sha256, file.mode)
            good = is_whole(place, file.sha256, file.size) if again else _has_size(place, file.size)
            if good or _linked(place, loaded.get(key), file.sha256, file.size):
                self.made.setdefault(key, place)
            else:
                self._require_source(file)
                chosen.append(file)
        return chosen

    def _require_source(self, file: File) -> None:
        if self.manifest.blob(file.sha256).chunks:
            return
        old = self.old.get(file.sha256)
        if old is None or not is_whole(old, file.sha256, file.size):
            base = (self.manifest.since or "")[:12]
            raise Unusable(
                f"{file.path} is not in this delta, and the copy of bundle {base} here is damaged or gone. Remove that "
                "release and load it again from its media, or take the whole bundle."
            )

    def needed(self, chosen: list[File]) -> int:
        """Bytes that `write` takes on the disk."""
        sizes = {(file.sha256, file.mode): file for file in chosen}
        left = [(file.size, self.parts / file.sha256) for key, file in sizes.items() if key not in self.made]
        return sum(size - (part.stat().st_size if part.is_file() else 0) for size, part in left)

    def write(self, chosen: list[File]) -> None:
        """BadMedia, Unusable when the disk is full; what is whole stays."""
        progress = Progress("files", sum(file.size for file in chosen))
        for file in chosen:
            with room.named(file.path):
                self._write(file, progress)
        progress.end()

    def _write(self, file: File, progress: Progress) -> None:
        place = self.folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        twin = self.made.get((file.sha256, file.mode))
        if twin is not None:
            place.unlink(missing_ok=True)
            os.link(twin, place)
            return
        part = self.parts / file.sha256
        blob = self.manifest.blob(file.sha256)
        if blob.chunks:
            self._write_blob(part, blob, progress)
        else:
            shutil.copyfile(self.old[file.sha256], part)
        part.chmod(int(file.mode, 8) & READ_ONLY)
        part.replace(place)
        self.made[file.sha256, file.mode] = place

    def _write_blob(self, part: Path, blob: Blob, progress: Progress) -> None:
        whole = hashlib.sha256()
        with part.open("r+b" if part.exists() else "w+b") as out:
            count, written = 0, 0
            for name in blob.chunks if blob.encoding == PLAIN else ():
                piece = out.read(self.sizes[name])
                if hashlib.sha256(piece).hexdigest() != name:
                    break
                whole.update(piece)
                progress(len(piece))
                count, written = count + 1, written + len(piece)
            out.seek(written)
            out.truncate()
            for block in self.media.blob(self.manifest, blob, count):
                written += len(block)
                if written > blob.size:
                    break
                whole.update(block)
                out.write(block)
                out.flush()  # what is written counts, if this is killed
                progress(len(block))
            if written != blob.size or whole.hexdigest() != blob.sha256:
                out.truncate(0)
                raise BadMedia(f"The chunks of {blob.sha256} are good, and do not make it: the manifest is wrong.")
            os.fsync(out.fileno())


def is_whole(path: Path, sha256: str, size: int) -> bool:
    """Whether a file of a release still has the bytes that it was loaded with."""
    whole = hashlib.sha256()
    try:
        if not _has_size(path, size):
            return False
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    except OSError:
        return False
    return whole.hexdigest() == sha256


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def _linked(place: Path, other: Path | None, sha256: str, size: int) -> bool:
    """Whether a loaded release has the very file, whole."""
    if other is None or not is_whole(other, sha256, size):
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.link(other, place)
    except OSError:  # another file system, or one without links
        return False
    return True
