"""A bundle's images in a real engine: ids as recorded, only layers that it lacks, no name moved before its time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from cellar_offline import loading, room
from cellar_offline.engine import Engine, chains
from cellar_offline.images import kept_tag
from cellar_offline.manifest import Image, Manifest
from cellar_offline.media import BadMedia, Media
from cellar_offline.release import Release, Root, Unusable
from cellar_offline.site import Site

from tests.docker.engine import wait_for
from tests.offline.bundles import FILES, KILLED, Maker, chunks
from tests.offline.conftest import OFFLINE

Images = dict[Image, dict[str, bytes]]


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "maker")


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    folder = tmp_path / "medium"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cellar"


def tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def images(client: docker.APIClient, tmp_path: Path) -> Iterator[Images]:
    """Two images on one layer, with their blobs; neither in the engine, nor what they share."""
    base = f"cellar-test-{os.getpid()}-base:1"
    client.import_image_from_data(tar(data=os.urandom(50_000)), repository=base.partition(":")[0], tag="1")
    made = [base]
    found: Images = {}
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY {name} /{name}\nENV A={name}\n")
        (folder / name).write_bytes(os.urandom(5_000))
        tag = f"cellar-test-{os.getpid()}-{name}:dev"
        made.append(tag)
        lines = list(client.build(path=str(folder), tag=tag, rm=True, decode=True, network_mode="none"))
        assert not any("error" in line for line in lines), lines
        image, blobs = saved(client, tag)
        found[image] = blobs
    for tag in made:
        client.remove_image(tag, force=True)
    assert not chains([each.layers for each in found]) & chains(Engine().images().values())
    yield found
    for image in client.images(all=True):
        if any(tag.startswith(f"cellar-test-{os.getpid()}-") for tag in image["RepoTags"] or ()):
            client.remove_image(image["Id"], force=True)


def saved(client: docker.APIClient, tag: str) -> tuple[Image, dict[str, bytes]]:
    """An image and its blobs, of `docker save` in either of its forms."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(client.get_image(tag)))) as archive:
        (row,) = json.loads(_member(archive, "manifest.json"))
        config = _member(archive, row["Config"])
        layers = [_member(archive, name) for name in row["Layers"]]
    names = [hashlib.sha256(each).hexdigest() for each in (*layers, config)]
    name, _, word = tag.rpartition(":")
    image = Image(name, word, f"sha256:{names[-1]}", None, names[-1], tuple(names[:-1]))
    assert image.id == client.inspect_image(tag)["Id"]
    return image, dict(zip(names, (*layers, config), strict=True))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def load(root: Path, medium: Path) -> Release:
    here, media = Root(root), Media([medium])
    with here.locked():
        return loading.load(here, media, media.manifest(), loading.Signed("", ""), Engine(), lambda words: None)


def test_images_have_the_ids_that_were_recorded_and_no_name_moves_before_the_start(
    client: docker.APIClient, images: Images, maker: Maker, medium: Path, root: Path
) -> None:
    made = maker.make(medium, images=images)
    release = load(root, medium)
    there = Engine().images()
    for image in images:
        assert there[image.id] == image.layers
        assert client.inspect_image(image.id)["RepoTags"] == [kept_tag(image, made)]
    Site(Root(root), Engine()).tag_images(release)
    for image in images:
        assert Engine().id_of(image.reference) == image.id


def test_an_image_that_is_there_is_not_sent_again_and_a_shared_layer_goes_once(
    images: Images, maker: Maker, medium: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = maker.make(medium, images=images)
    first, second = images
    read: list[str] = []
    whole = Media.blob

    def blob(self: Media, manifest: Manifest, blob: object, count: int = 0) -> Iterator[bytes]:
        read.append(blob.sha256)  # type: ignore[attr-defined]
        return whole(self, manifest, blob, count)  # type: ignore[arg-type]

    monkeypatch.setattr(Media, "blob", blob)
    load(root, medium)
    for name in (*first.layers, *second.layers):
        assert read.count(name) == 1
    Engine().ask("image", "rm", "-f", second.id)
    read.clear()
    assert load(root, medium).id == made.id  # the release is there: an image that somebody removed comes again
    assert read == [second.layers[1], second.config]


def test_a_delta_sends_only_layers_that_are_new_and_needs_the_image_below(
    images: Images, maker: Maker, medium: Path, tmp_path: Path, root: Path
) -> None:
    (first, blobs), (second, more) = images.items()
    old = maker.make(medium, images={first: blobs})
    folder = tmp_path / "delta"
    folder.mkdir()
    maker.make(folder, {**FILES, "docs/new.md": b"new"}, images={second: more}, since=old, version="0.2.0")
    assert second.layers[0] == first.layers[0]
    assert sum(path.stat().st_size for path in chunks(folder)) < 10_000
    load(root, medium)
    Engine().ask("image", "rm", "-f", first.id)
    with pytest.raises(Unusable, match="stands on a layer that is not in this delta"):
        load(root, folder)
    load(root, medium)
    load(root, folder)
    assert Engine().images()[second.id] == second.layers


def test_a_load_that_was_killed_within_an_image_goes_on_with_it(
    images: Images, maker: Maker, medium: Path, root: Path
) -> None:
    made = maker.make(medium, images=images)
    first, second = images
    files = sum(len(made.blob(each.sha256).chunks) for each in made.files)
    whole = sum(len(made.blob(name).chunks) for name in (*first.layers, first.config))
    words = ["load", "--from", str(medium), "--key", str(maker.public), "--root", str(root)]
    for after, there in ((files + 10, set()), (whole + 2, {first.id})):
        done = subprocess.run([sys.executable, "-c", KILLED, str(after), *words], cwd=OFFLINE, capture_output=True)
        assert done.returncode == -signal.SIGKILL
        assert {first.id, second.id} & Engine().images().keys() == there
        assert not (root / "current").exists()
    assert load(root, medium).id == made.id
    assert {first.id, second.id} <= Engine().images().keys()


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """An engine of its own on a disk of 24 MiB, which is asked from now on; call it with another size."""
    daemon = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", disk]
    if daemon is None or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("no engine of its own, or no file system, can be had here")
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket may have 107 bytes
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/sock")
        options = ("--data-root", disk, "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid")
        options = (
            *options,
            "--bridge=none",
            "--iptables=false",
            "--ip-forward=false",
            "--config-file",
            f"{folder}/json",
        )
        Path(folder, "json").write_text("{}")
        process = subprocess.Popen([daemon, "--host", f"unix://{folder}/sock", *options], stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: subprocess.run(["docker", "version"], capture_output=True).returncode == 0, 60)
            yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
        finally:
            process.terminate()
            process.wait()
            subprocess.run(["umount", "-l", disk], check=True)


def test_dockers_own_disk_that_is_full_half_way_is_named_and_the_load_goes_on(
    small_disk: Callable[[str], None], maker: Maker, medium: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first image fits, twice; the second one does once."""
    monkeypatch.setattr(room, "SPARE", -1 << 40)
    made: Images = {}
    for name, mib in (("one", 2), ("two", 14)):
        layer = tar(**{name: os.urandom(mib << 20)})
        diff = hashlib.sha256(layer).hexdigest()
        facts = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]}}
        text = json.dumps(facts).encode()
        config = hashlib.sha256(text).hexdigest()
        made[Image(name, "dev", f"sha256:{config}", None, config, (diff,))] = {diff: layer, config: text}
    first, second = made
    wanted = maker.make(medium, images=made, chunk_size=1 << 20)
    with pytest.raises(Unusable, match=r"The disk is full, at two:dev.*no space left on device.*goes on from here"):
        load(root, medium)
    assert Engine().images().keys() == {first.id}
    assert not (root / "current").exists()
    small_disk("64m")
    assert load(root, medium).id == wanted.id
    assert Engine().images().keys() == {first.id, second.id}


def test_a_damaged_layer_ends_the_load_and_leaves_no_image(
    images: Images, maker: Maker, medium: Path, root: Path
) -> None:
    made = maker.make(medium, images=images)
    first, _ = images
    path = medium / "chunks" / made.blob(first.layers[0]).chunks[-1]
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(BadMedia, match=f"{path.name} is damaged"):
        load(root, medium)
    assert first.id not in Engine().images()
    assert not (root / "current").exists()
