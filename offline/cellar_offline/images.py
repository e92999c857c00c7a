"""The images of a bundle in Docker: only layers that it lacks are sent, and ids are compared afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cellar_offline import room
from cellar_offline.engine import Engine, EngineError, archive, chains, lacking
from cellar_offline.manifest import Blob, Image, Manifest
from cellar_offline.media import Media, hashed
from cellar_offline.progress import Progress, size
from cellar_offline.release import Unusable


class Images:
    """Those that `engine` does not have. EngineError, and where its ids are not those that the bundle records."""

    def __init__(self, manifest: Manifest, media: Media, engine: Engine) -> None:
        self.manifest = manifest
        self.media = media
        self.engine = engine
        self.there: set[tuple[str, ...]] = set()
        self.wanted: list[Image] = []
        self.folder = Path()
        if manifest.images:
            info = engine.info()
            check_store(info)
            self.folder = Path(str(info.get("DockerRootDir") or "/var/lib/docker"))
            images = engine.images()
            self.there = chains(images.values())
            self.wanted = [each for each in manifest.images if each.id not in images]

    def needed(self) -> int:
        """Bytes in Docker's folder: of these layers, and of the largest image's again, which is unpacked twice."""
        sizes = [sum(self.manifest.blob(name).size for name in layers) for _, layers in self._lacking()]
        return sum(sizes) + max(sizes, default=0)

    def chunks(self) -> set[str]:
        """What must be on the media. Unusable where a delta's base has left Docker."""
        found: set[str] = set()
        for image, layers in self._lacking():
            for name in (*layers, image.config):
                chunks = self.manifest.blob(name).chunks
                if not chunks:
                    base = (self.manifest.since or "")[:12]
                    raise Unusable(
                        f"{image.reference} stands on a layer that is not in this delta, and Docker has lost the image "
                        f"of bundle {base} that has it. Load that bundle again, or take the whole one."
                    )
                found |= set(chunks)
        return found

    def _lacking(self) -> Iterator[tuple[Image, tuple[str, ...]]]:
        """In their order: a layer that one brings is there for the next."""
        known = set(self.there)
        for image in self.wanted:
            yield image, lacking(image, known)
            known |= chains([image.layers])

    def load(self, say: Callable[[str], None]) -> None:
        """BadMedia, Unusable when Docker's disk is full; what was loaded whole stays."""
        for image, layers in self._lacking():
            total = sum(self.manifest.blob(name).size for name in layers)
            progress = Progress(image.reference, total)
            with room.named(image.reference):
                self.engine.load(archive(image, kept_tag(image, self.manifest), self._parts(image, layers, progress)))
            progress.end()
            say(f"{image.reference} is loaded: {len(layers)} of {len(image.layers)} layers, {size(total)}.")
        found = self.engine.images() if self.manifest.images else {}
        for image in self.manifest.images:
            if found.get(image.id) != image.layers:
                raise EngineError(f"Docker has no image {image.id} after it was given {image.reference}.")
            self.engine.tag(image.id, kept_tag(image, self.manifest))

    def _parts(
        self, image: Image, layers: tuple[str, ...], progress: Progress
    ) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        for name in (*dict.fromkeys(layers), image.config):
            blob = self.manifest.blob(name)
            yield name, blob.size, self._counted(blob, progress)

    def _counted(self, blob: Blob, progress: Progress) -> Iterator[bytes]:
        for block in hashed(self.media.blob(self.manifest, blob), blob):
            progress(len(block))
            yield block


def kept_tag(image: Image, manifest: Manifest) -> str:
    """A tag that keeps the image from being pruned while its release is here, and that nobody asks for."""
    return f"{image.name}:bundle-{manifest.id[:12]}"


def check_store(info: dict[str, object]) -> None:
    """EngineError where image ids are others than those that the bundle records."""
    if "io.containerd.snapshotter" in str(info.get("DriverStatus") or ""):
        raise EngineError(
            "This engine keeps images in containerd, where their ids are others than those that the bundle was signed "
            'with. In /etc/docker/daemon.json: {"features": {"containerd-snapshotter": false}}, then: systemctl '
            "restart docker"
        )
