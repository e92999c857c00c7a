"""Images of the engine beside us, as layers that each are in the bundle once.

One `docker save` writes all of them, so that a layer that they share passes once. Each layer is spooled beside the
bundle and packed by a thread of its own while the next one is read; as many as there are threads lie there at a time.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cellar_offline.building import inside
from cellar_offline.building.archive import Saved, take_apart
from cellar_offline.building.metadata import Package
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.progress import Steps
from cellar_offline.building.store import Store, hash_of
from cellar_offline.chunks import BLOCK
from cellar_offline.imagelist import Listed
from cellar_offline.manifest import PLAIN, ZLIB, Image

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
LICENCE_LABEL = "org.opencontainers.image.licenses"
WHAT = "images"


@dataclass(frozen=True)
class Packed:
    """An image that is in the store, and what papers say of it. `layers`: (sha256, bytes unpacked), each once."""

    image: Image
    listed: Listed
    layers: tuple[tuple[str, int], ...]
    licence: str
    packages: tuple[Package, ...]

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum(size for _, size in self.layers)


@dataclass(frozen=True)
class Found:
    """An image as the engine has it. `id` is the engine's own; `digest` the registry's; `layers`: diff ids, hex."""

    listed: Listed
    id: str
    digest: str | None
    layers: tuple[str, ...]


class Engine:
    """The docker command, at the engine that DOCKER_HOST or the context names."""

    def __init__(self) -> None:
        self._saving: list[subprocess.Popen[bytes]] = []
        self._ended = False
        self._lock = threading.Lock()

    def inspect(self, reference: str) -> dict[str, Any] | None:
        """None when there is no such image. CannotBuild when there is no engine."""
        done = self._run("image", "inspect", reference)
        if done.returncode == 0:
            table: list[dict[str, Any]] = json.loads(done.stdout)
            return table[0]
        said = done.stderr.decode(errors="replace").strip()
        if "no such image" in said.lower():
            return None
        raise CannotBuild(f"Docker does not answer, and images are to be in the bundle: {said[-300:]}")

    def saving(self, references: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._ended:
                raise CannotBuild("The build has ended.")
            process = subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self._saving.append(process)
        return process

    def end(self) -> None:
        """What is being saved, or was to be, is wanted no more."""
        with self._lock:
            self._ended = True
            for process in self._saving:
                process.kill()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        if shutil.which("docker") is None:
            raise CannotBuild("There is no `docker` here, and images are to be in the bundle.")
        return subprocess.run(["docker", *arguments], capture_output=True)


def find(engine: Engine, wanted: Sequence[Listed]) -> list[Found]:
    """All of them. CannotBuild names every one that is missing, and how to get it."""
    found, missing = [], []
    for row in wanted:
        table = engine.inspect(row.image)
        if table is None:
            cure = f"python -m tools.images {row.built}" if row.built else f"docker pull {row.image}"
            missing.append(f"  {row.image}: {cure}")
            continue
        name = row.image.rpartition(":")[0]
        digests = [each.rpartition("@") for each in table.get("RepoDigests") or []]
        digest = next((last for repository, _, last in digests if repository == name and not row.built), None)
        layers = tuple(each.removeprefix("sha256:") for each in (table.get("RootFS") or {}).get("Layers") or [])
        found.append(Found(row, table["Id"], digest, layers))
    if missing:
        raise CannotBuild("These images are not here:\n" + "\n".join(missing))
    return found


def pack(
    engine: Engine,
    found: Sequence[Found],
    store: Store,
    spool: Path,
    pool: Executor,
    places: int,
    platform: str,
    steps: Steps,
) -> list[Packed]:
    """All images into the store. CannotBuild. What the journal knows is not saved again."""
    lacking = [each for each in found if not _remembered(store, each.id)]
    if lacking:
        steps.begin(WHAT)
        layers = _Layers(store, spool, pool, places, steps)
        try:
            saved = _save(engine, sorted({each.id for each in lacking}), layers)
            for each in lacking:
                _keep(store, each, _that_is(each, saved), platform)
        finally:
            layers.end()
        steps.end(WHAT)
    return [_packed(store, each) for each in found]


def _save(engine: Engine, ids: Sequence[str], layers: _Layers) -> list[Saved[Future[str]]]:
    """By id: a name may mean another image a moment later. CannotBuild with Docker's own words."""
    process = engine.saving(ids)
    assert process.stdout is not None and process.stderr is not None
    said: list[bytes] = []
    listener = threading.Thread(target=lambda stream: said.append(stream.read()), args=(process.stderr,))
    listener.start()
    try:
        saved = take_apart(process.stdout, layers.keep)
    except CannotBuild as problem:
        process.stdout.close()
        process.wait()
        listener.join()
        words = b"".join(said).decode(errors="replace").strip()[-300:]
        raise CannotBuild(f"{problem} {words}".strip()) from None
    finally:
        process.stdout.close()
        process.wait()
        listener.join()
        process.stderr.close()
    if process.returncode != 0:
        raise CannotBuild(f"docker save failed: {b''.join(said).decode(errors='replace').strip()[-300:]}")
    return saved


def _that_is(found: Found, saved: Sequence[Saved[Future[str]]]) -> Saved[Future[str]]:
    """An engine with containerd's store calls an image by its manifest, others by its configuration."""
    for each in saved:
        if found.id in (each.id, *each.manifest_ids):
            return each
    if len(saved) == 1:
        return saved[0]
    named = [each for each in saved if any(_same(found.listed.image, name) for name in each.references)]
    if len(named) == 1:
        return named[0]
    raise CannotBuild(f"docker save did not give {found.listed.image} ({found.id}). Was it made anew meanwhile?")


def _same(image: str, reference: str) -> bool:
    return reference == image or reference.endswith("/" + image)


def _keep(store: Store, found: Found, saved: Saved[Future[str]], platform: str) -> None:
    if saved.platform != platform:
        raise CannotBuild(f"{found.listed.image} is for {saved.platform}, and the bundle for {platform}.")
    layers = [each.result() for each in saved.layers]
    if tuple(layers) != saved.diff_ids:
        raise CannotBuild(f"The layers of {found.listed.image} are not those of its configuration.")
    if strange := next((each for each in layers if store.journal.get(f"inside {each}") is None), ""):
        raise CannotBuild(f"Layer {strange[:12]} of {found.listed.image} is no tar.")
    config = store.content(saved.config)
    labels = (saved.table.get("config") or {}).get("Labels") or {}
    licence = labels.get(LICENCE_LABEL, "") if isinstance(labels, dict) else ""
    store.journal.put(f"image {found.id}", [config.sha256, layers, str(licence)[:100]])


def _remembered(store: Store, image_id: str) -> bool:
    """Whether it was packed, and all of it is still there."""
    done = store.journal.get(f"image {image_id}")
    if done is None:
        return False
    config, layers, _ = done
    return store.known(config, PLAIN) is not None and all(
        store.known(layer, ZLIB) is not None and store.journal.get(f"inside {layer}") is not None for layer in layers
    )


def _packed(store: Store, found: Found) -> Packed:
    config, layers, licence = store.journal.get(f"image {found.id}")
    name, _, tag = found.listed.image.rpartition(":")
    image = Image(name, tag, f"sha256:{config}", found.digest, config, tuple(layers))
    blobs = [store.known(layer, ZLIB) for layer in dict.fromkeys(layers)]
    sizes = tuple((blob.sha256, blob.size) for blob in blobs if blob)
    packages = inside.of_image(store.journal.get(f"inside {layer}") for layer in layers)
    return Packed(image, found.listed, sizes, licence, packages)


class _Layers:
    """Takes layers as they come, packs them in `pool`."""

    def __init__(self, store: Store, spool: Path, pool: Executor, places: int, steps: Steps) -> None:
        self.store = store
        self.spool = spool
        self.pool = pool
        self.steps = steps
        self.free = threading.BoundedSemaphore(places)
        self.futures: list[Future[str]] = []

    def keep(self, name: str, stream: IO[bytes]) -> Future[str]:
        """Read the whole stream now; its diff id (hex digits) comes later."""
        self.raise_failed()
        claimed = name.rpartition("/")[2]
        if name.startswith("blobs/") and self._done(claimed):
            future: Future[str] = Future()
            future.set_result(claimed)
            return future
        self.free.acquire()
        path = self.spool / f"{len(self.futures)}.part"
        try:
            with path.open("wb") as out:
                while block := stream.read(BLOCK):
                    out.write(block)
                    self.steps.add(WHAT, len(block))
            future = self.pool.submit(self._pack, path)
        except BaseException:
            self.free.release()
            raise
        self.futures.append(future)
        return future

    def raise_failed(self) -> None:
        """The first failure ends the reading, not only the packing: a disk that is full stays full."""
        for each in self.futures:
            if each.done() and each.exception() is not None:
                each.result()

    def end(self) -> None:
        for each in self.futures:
            each.cancel()
        for each in self.futures:
            if not each.cancelled():
                each.exception()
        for path in self.spool.glob("*.part*"):
            path.unlink()

    def _done(self, diff_id: str) -> bool:
        known = self.store.known(diff_id, ZLIB) is not None
        return known and self.store.journal.get(f"inside {diff_id}") is not None

    def _pack(self, path: Path) -> str:
        try:
            path = _unpacked(path)
            diff_id = hash_of(path)
            if not self._done(diff_id):
                try:
                    found = inside.of_layer(path)
                except tarfile.TarError:
                    return diff_id  # no layer: something else of the archive that is large, or nobody asks for it
                self.store.file(path, ZLIB, diff_id)
                self.store.journal.put(f"inside {diff_id}", found)
            return diff_id
        finally:
            path.unlink(missing_ok=True)
            self.free.release()


def _unpacked(path: Path) -> Path:
    """The layer as a plain tar, in place of the compressed one. CannotBuild."""
    with path.open("rb") as stream:
        magic = stream.read(4)
    plain = path.with_suffix(".part2")
    if magic.startswith(GZIP):
        with gzip.open(path, "rb") as packed, plain.open("wb") as out:
            shutil.copyfileobj(packed, out, BLOCK)
    elif magic == ZSTD:
        if shutil.which("zstd") is None:
            raise CannotBuild("A layer is compressed by zstd, and there is no `zstd` here (apt-get install zstd).")
        with plain.open("wb") as out:
            if subprocess.run(["zstd", "-dcq", str(path)], stdout=out).returncode != 0:
                raise CannotBuild("A layer cannot be unpacked by zstd.")
    else:
        return path
    path.unlink()
    return plain
