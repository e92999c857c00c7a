"""From a recipe to a bundle in a folder, in this order, so that nothing that is not whole ever looks so:

1. `manifest.json` and its signature go, if an earlier bundle lies there.
2. Images, wheels, models and our own files become chunks, side by side. Whatever fails ends the build; whatever was
   done stays, and the same command goes on from there.
3. Papers and manifest are made; every chunk is read again and every blob decoded and hashed.
4. The manifest is signed beside the bundle, the signature checked, and both are renamed into it: the manifest last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cellar_offline import imagelist, signature, target
from cellar_offline.building import papers, sbom, weights, wheels
from cellar_offline.building.contents import Contents
from cellar_offline.building.house import LICENCE, TOOL, House, write_tool
from cellar_offline.building.images import Engine, Packed, find, pack
from cellar_offline.building.papers import MADE, OURS
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.progress import Steps
from cellar_offline.building.recipe import Recipe
from cellar_offline.building.sealing import Order, earlier, publish, signer_of
from cellar_offline.building.store import Journal, Store, alone
from cellar_offline.building.weights import Model
from cellar_offline.building.wheels import Wheel
from cellar_offline.building.words import ENGLISH, KOREAN
from cellar_offline.manifest import NAME, OUTSIDE, SIGNATURE, Blob, File, Manifest
from cellar_offline.media import BadMedia, Media, hashed

CHECKING = "checking"


def build(recipe: Recipe, order: Order, house: House, engine: Engine, steps: Steps) -> Manifest:
    """The bundle in `order.out`, whole and signed. CannotBuild, BadSignature, NoOpenSSH, OSError."""
    key = signer_of(recipe, order)
    since = earlier(order, key)
    with alone(order.work):
        order.out.mkdir(parents=True, exist_ok=True)
        for name in (NAME, SIGNATURE, *OUTSIDE):
            (order.out / name).unlink(missing_ok=True)
        spool = order.work / "spool"
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir()
        journal = Journal(order.work / "journal")
        try:
            store = Store(order.out, journal, recipe.chunk_size, since)
            with ThreadPoolExecutor(recipe.jobs or os.cpu_count() or 2) as pool:
                work = _Work(recipe, order, house, engine, steps, store, pool, spool)
                manifest, copies = work.manifest(key, since)
                work.check(manifest)
        finally:
            journal.close()
        publish(manifest, copies, recipe.key, key, order)
    return manifest


class _Work:
    """One build that goes on."""

    def __init__(
        self,
        recipe: Recipe,
        order: Order,
        house: House,
        engine: Engine,
        steps: Steps,
        store: Store,
        pool: Executor,
        spool: Path,
    ) -> None:
        self.recipe = recipe
        self.order = order
        self.house = house
        self.engine = engine
        self.steps = steps
        self.store = store
        self.pool = pool
        self.spool = spool

    def manifest(self, key: str, since: Manifest | None) -> tuple[Manifest, dict[str, Path]]:
        """The sealed manifest, and where the files lie of which a plain copy goes beside it."""
        images, packages, models = self._gather(since)
        made = self._made(images)
        files = [*self._files(made), *_wheel_files(packages), *_model_files(models)]
        files += [self._licence(model) for model in models]
        contents = self._contents(key, since, files, images, packages, models)
        for name, content in (
            ("MANIFEST.md", papers.manifest_page(contents, ENGLISH).encode()),
            ("MANIFEST.ko.md", papers.manifest_page(contents, KOREAN).encode()),
            ("sbom.cdx.json", sbom.bill(contents)),
        ):
            files.append(self._file(name, self.store.content(content), "doc", MADE, LICENCE))
            made[name] = self.order.work / name
            made[name].write_bytes(content)
        blobs = self._blobs(files, images)
        manifest = Manifest(
            name=self.recipe.name,
            version=self.recipe.version,
            built=contents.built,
            platform=self.recipe.platform,
            python=self.recipe.python,
            since=since.id if since else None,
            chunk_size=self.recipe.chunk_size,
            chunks=self.store.chunks(blobs),
            blobs=blobs,
            files=tuple(sorted(files, key=lambda each: each.path)),
            images=tuple(each.image for each in images),
        ).sealed()
        return manifest, {name: made[name] for name in OUTSIDE}

    def _gather(self, since: Manifest | None) -> tuple[list[Packed], list[Wheel], list[Model]]:
        """Side by side: images are read while wheels are downloaded. The first that fails ends what has not begun."""
        with ThreadPoolExecutor(3) as sources:
            images = sources.submit(self._images, since)
            packages = sources.submit(self._wheels)
            models = sources.submit(self._models)
            jobs: list[Future[Any]] = [images, packages, models]
            for each in wait(jobs, return_when=FIRST_EXCEPTION).done:
                if each.exception() is not None:
                    self.engine.end()
                    self.pool.shutdown(wait=False, cancel_futures=True)
                    each.result()
            return images.result(), packages.result(), models.result()

    def _images(self, since: Manifest | None) -> list[Packed]:
        rows = self.house.wanted_images(self.recipe)
        found = find(self.engine, rows) if rows else []
        self.store.leave_out(since, [each.layers for each in found])
        places = (self.recipe.jobs or os.cpu_count() or 2) + 1
        images = pack(self.engine, found, self.store, self.spool, self.pool, places, self.recipe.platform, self.steps)
        if images:
            self.steps.done(f"{len(images)} images")
        return images

    def _wheels(self) -> list[Wheel]:
        found: list[Wheel] = []
        for asked in self.recipe.wheels:
            own = [line for image in asked.of_images for line in self.house.requirements(image)]
            wanted = [*asked.requirements, *own]
            found += wheels.gather(asked, wanted, self.recipe.platform, self.store, self.order.work, self.steps)
        if found:
            self.steps.done(f"{len(found)} Python packages")
        return found

    def _models(self) -> list[Model]:
        found = [
            weights.gather(asked, self.store, self.order.work, self.pool, self.steps) for asked in self.recipe.weights
        ]
        if found:
            self.steps.done(f"{len(found)} models")
        return found

    # --- files

    def _made(self, images: Sequence[Packed]) -> dict[str, Path]:
        """Files that are written for this bundle, by their path in it."""
        folder = self.order.work
        made = {name: folder / Path(name).name for name in (TOOL, target.PATH, imagelist.PATH)}
        write_tool(made[TOOL])
        made[target.PATH].write_bytes(self.house.target(self.recipe).dump())
        made[imagelist.PATH].write_bytes(imagelist.dump(each.listed for each in images))
        return made

    def _files(self, made: dict[str, Path]) -> list[File]:
        ours = self.house.files(self.recipe.docs)
        blobs = self.pool.map(self.store.file, [own.file for own in ours])
        found = [
            self._file(own.path, blob, own.kind, OURS, LICENCE, own.mode) for own, blob in zip(ours, blobs, strict=True)
        ]
        for path, file in made.items():
            kind, mode = ("tool", "0755") if path == TOOL else ("config", "0644")
            found.append(self._file(path, self.store.file(file), kind, MADE, LICENCE, mode))
        return found

    def _licence(self, model: Model) -> File:
        path = papers.licence_path(model.name)
        return self._file(path, self.store.content(model.licence_text), "doc", model.source, model.licence)

    @staticmethod
    def _file(path: str, blob: Blob, kind: str, source: str, licence: str, mode: str = "0644") -> File:
        return File(path, blob.sha256, blob.size, mode, kind, source, licence)

    def _blobs(self, files: Sequence[File], images: Sequence[Packed]) -> tuple[Blob, ...]:
        """Each once, in a fixed order. Whoever asked for one has put it into the store."""
        names = {each.sha256 for each in files}
        names |= {name for each in images for name in (each.image.config, *each.image.layers)}
        return tuple(self.store.blob(name) for name in sorted(names))

    def _contents(
        self,
        key: str,
        since: Manifest | None,
        files: Sequence[File],
        images: Sequence[Packed],
        packages: Sequence[Wheel],
        models: Sequence[Model],
    ) -> Contents:
        blobs = self._blobs(files, images)
        there = {each.listed.image for each in images}
        return Contents(
            name=self.recipe.name,
            version=self.recipe.version,
            built=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            platform=self.recipe.platform,
            python=self.recipe.python,
            since=since.id if since else None,
            chunk_size=self.recipe.chunk_size,
            media=sum(chunk.size for chunk in self.store.chunks(blobs)),
            signer=signature.fingerprint(key) if key else "",
            files=tuple(sorted(files, key=lambda each: each.path)),
            images=tuple(images),
            wheels=tuple(packages),
            models=tuple(models),
            missing=tuple(row.image for row in self.house.images() if row.image not in there),
        )

    # --- checking

    def check(self, manifest: Manifest) -> None:
        """Every chunk is read and hashed, every blob decoded and hashed. CannotBuild; what is bad is made again by the
        next run."""
        self.store.remove_others(manifest.chunks)
        media = Media([self.order.out])
        self.steps.begin(CHECKING, sum(blob.size for blob in manifest.blobs if blob.chunks))
        jobs = [self.pool.submit(self._check, media, manifest, blob) for blob in manifest.blobs if blob.chunks]
        bad = [name for job in jobs for name in job.result()]
        self.steps.end(CHECKING)
        if bad:
            raise CannotBuild(
                f"{len(bad)} chunks are not on the disk as they were written ({bad[0]}, ...). They were removed: run "
                "the same command again; if it comes back, the disk is failing."
            )

    def _check(self, media: Media, manifest: Manifest, blob: Blob) -> list[str]:
        try:
            for block in hashed(media.blob(manifest, blob), blob):
                self.steps.add(CHECKING, len(block))
        except BadMedia:
            for name in blob.chunks:
                self.store.forget(name)
            return list(blob.chunks)
        return []


def _wheel_files(packages: Sequence[Wheel]) -> list[File]:
    return [
        File(each.path, each.blob.sha256, each.blob.size, "0644", "wheel", each.source, each.package.licence)
        for each in packages
    ]


def _model_files(models: Sequence[Model]) -> list[File]:
    return [
        File(path, blob.sha256, blob.size, "0644", "weights", model.source, model.licence)
        for model in models
        for path, blob in model.files
    ]
