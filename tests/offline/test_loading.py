"""A load is whole or not at all, whatever happens half-way, and goes on where it was."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cellar_offline import loading, release, room
from cellar_offline.engine import Engine
from cellar_offline.manifest import Blob, Chunk, Image, Manifest
from cellar_offline.media import BadMedia, Media
from cellar_offline.proving.proof import require_room
from cellar_offline.release import Root, Unusable

from tests.offline.bundles import FILES, KILLED, Maker, chunks
from tests.offline.conftest import OFFLINE, Program


def load(root: Path, *media: Path) -> release.Release:
    """In this process, unsigned."""
    here = Root(root)
    found = Media(media)
    with here.locked():
        return loading.load(here, found, found.manifest(), loading.Signed("", ""), Engine("/none"), lambda words: None)


def content(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file() and ".cellar" not in each.parts)
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}


def test_a_loaded_release_has_every_file_read_only_and_is_current(
    maker: Maker, medium: Path, root: Path, program: Program
) -> None:
    made = maker.make(medium)
    done = program("load", "--from", medium, "--key", maker.public)
    assert done.returncode == 0, done.stderr
    assert content(root / "current") == dict(FILES)
    assert (root / "current").readlink() == Path("releases") / made.id
    assert (root / "current/weights/tiny/model.safetensors").stat().st_mode & 0o777 == 0o444
    assert (root / "keys" / "site").stat().st_mode & 0o777 == 0o600
    assert f"signed by {maker.fingerprint}" in program("list").stdout


def test_a_second_load_reads_nothing(maker: Maker, medium: Path, root: Path) -> None:
    maker.make(medium)
    load(root, medium)
    shutil.rmtree(medium / "chunks")
    assert load(root, medium).id


def test_what_releases_share_is_stored_once(maker: Maker, medium: Path, tmp_path: Path, root: Path) -> None:
    maker.make(medium)
    first = load(root, medium)
    other = tmp_path / "other"
    other.mkdir()
    maker.make(other, {**FILES, "docs/read.md": b"# Read me again\n"}, version="0.2.0")
    second = load(root, other)
    model = "weights/tiny/model.safetensors"
    assert (first.path / model).stat().st_ino == (second.path / model).stat().st_ino
    assert (first.path / "docs/read.md").read_bytes() != (second.path / "docs/read.md").read_bytes()


def test_a_copy_that_somebody_changed_is_not_taken_over(maker: Maker, medium: Path, root: Path) -> None:
    maker.make(medium)
    first = load(root, medium)
    path = first.path / "docs/read.md"
    path.chmod(0o644)
    path.write_bytes(b"# READ me\n")
    maker.make(medium, {**FILES, "docs/more.md": b"more"}, version="0.2.0")
    assert (load(root, medium).path / "docs/read.md").read_bytes() == FILES["docs/read.md"]


def test_a_second_load_mends_what_somebody_changed(maker: Maker, medium: Path, root: Path, program: Program) -> None:
    maker.make(medium)
    path = load(root, medium).path / "weights/tiny/model.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    assert "weights/tiny/model.safetensors" in program("doctor").stdout
    proof = program("prove")  # whose report would name a bundle that this is not
    assert (proof.returncode, "weights/tiny/model.safetensors" in proof.stderr) == (2, True)
    load(root, medium)
    assert content(root / "current") == dict(FILES)


def test_back_and_forth(maker: Maker, medium: Path, tmp_path: Path, root: Path, program: Program) -> None:
    old = maker.make(medium)
    load(root, medium)
    assert "no release before" in program("rollback").stderr
    other = tmp_path / "other"
    other.mkdir()
    new = maker.make(other, {"docs/new.md": b"new"}, version="0.2.0")
    load(root, other)
    assert content(root / "current") == {"docs/new.md": b"new"}
    assert program("rollback").returncode == 0
    assert content(root / "current") == dict(FILES)
    load(root, other)
    assert Root(root).require().id == new.id
    assert Root(root).require().before() == old.id
    done = program("remove", old.id[:8])
    assert (done.returncode, "to go back to" in done.stderr) == (2, True)


def test_an_old_release_is_removed_and_what_others_share_with_it_stays(
    maker: Maker, medium: Path, root: Path, program: Program
) -> None:
    made = []
    for version in ("1", "2", "3"):
        made.append(maker.make(medium, {**FILES, "docs/version.md": version.encode()}, version=version))
        load(root, medium)
    assert program("remove", "abc").returncode == 2
    done = program("remove", made[0].id[:8])
    assert done.returncode == 0, done.stderr
    assert [each.id for each in Root(root).all()].count(made[0].id) == 0
    assert content(root / "current") == {**FILES, "docs/version.md": b"3"}
    assert program("rollback").returncode == 0


# --- half-way


@pytest.mark.parametrize("after", [0, 1, 5, 12])
def test_a_load_that_was_killed_goes_on_and_nothing_was_switched(
    maker: Maker, medium: Path, tmp_path: Path, root: Path, program: Program, after: int
) -> None:
    maker.make(medium, {"docs/old.md": b"old"})
    load(root, medium)
    other = tmp_path / "other"
    other.mkdir()
    made = maker.make(other, version="0.2.0")
    words = ("load", "--from", str(other), "--key", str(maker.public), "--root", str(root))
    done = subprocess.run([sys.executable, "-c", KILLED, str(after), *words], cwd=OFFLINE, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert content(root / "current") == {"docs/old.md": b"old"}
    assert "did not end" in program("doctor").stdout
    read: list[str] = []
    whole = Media.chunk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Media, "chunk", lambda self, name, size: read.append(name) or whole(self, name, size))
        assert load(root, other).id == made.id
    assert content(root / "current") == dict(FILES)
    assert len(read) == sum(len(made.blob(each.sha256).chunks) for each in made.files if each.size) - after


@pytest.mark.parametrize("step", ["write", "rename", "switch"])
def test_a_kill_at_the_end_leaves_the_old_release_current_or_the_new_one_whole(
    maker: Maker, medium: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    maker.make(medium, {"docs/old.md": b"old"})
    load(root, medium)
    made = maker.make(medium, version="0.2.0")

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(loading, "write", kill)
        elif step == "rename":
            patch.setattr(os, "sync", kill)
        else:
            patch.setattr(Root, "_point", kill)
        with pytest.raises(Killed):
            load(root, medium)
    assert content(root / "current") == {"docs/old.md": b"old"}
    assert load(root, medium).id == made.id
    assert content(root / "current") == dict(FILES)


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(
    maker: Maker, medium: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.make(medium)
    monkeypatch.setattr(room, "SPARE", 1 << 60)
    with pytest.raises(Unusable, match=r"too small.*10\.1 KiB.*release's files.*free .*GiB.*Nothing was changed"):
        load(root, medium)
    assert not (root / "current").exists()


def test_a_proof_that_would_fill_the_disk_does_not_begin(
    maker: Maker, medium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine's images lie beside whatever runs on this machine."""
    layer = hashlib.sha256(b"x" * 2048).hexdigest()
    config = hashlib.sha256(b"{}").hexdigest()
    image = Image("a", "dev", f"sha256:{config}", None, config, (layer,))
    made = maker.make(medium, images={image: {layer: b"x" * 2048, config: b"{}"}})
    loaded = release.Release(tmp_path, made, "")
    require_room(loaded, tmp_path)
    monkeypatch.setattr(room, "SPARE", 1 << 60)
    with pytest.raises(Unusable, match=r"too small: 4\.0 KiB .* images of the proof.*--work"):
        require_room(loaded, tmp_path)


def test_a_disk_that_is_full_half_way_is_named_and_the_load_goes_on(
    maker: Maker, medium: Path, tmp_path: Path, program: Program
) -> None:
    """On a real file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        made = maker.make(
            medium, {"weights/a": os.urandom(3 << 20), "weights/b": os.urandom(2 << 20)}, chunk_size=1 << 18
        )
        env = os.environ | {"PYTHONPATH": str(OFFLINE)}
        trial = "import sys; from cellar_offline import room; room.SPARE = -1 << 40\n"
        trial += "from cellar_offline.program import main; sys.exit(main(sys.argv[1:]))"
        words = ["load", "--from", str(medium), "--key", str(maker.public), "--root", str(disk)]
        done = subprocess.run([sys.executable, "-c", trial, *words], env=env, capture_output=True, text=True)
        assert done.returncode == 2
        assert "The disk is full, at weights/b" in done.stderr and "goes on from here" in done.stderr
        assert not (disk / "current").exists()
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        assert subprocess.run([sys.executable, "-c", trial, *words], env=env, capture_output=True).returncode == 0
        assert Root(disk).require().id == made.id
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("step", ["write", "_point"])
def test_a_disk_without_room_for_the_switch_is_named_and_the_old_release_stays(
    maker: Maker, medium: Path, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    maker.make(medium, {"docs/old.md": b"old"})
    load(root, medium)
    made = maker.make(medium, version="0.2.0")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(loading if step == "write" else Root, step, full)
        with pytest.raises(Unusable, match="The disk is full, at the switch"):
            load(root, medium)
    assert content(root / "current") == {"docs/old.md": b"old"}
    assert load(root, medium).id == made.id


# --- what is refused


def test_a_chunk_that_is_missing_or_cut_is_named_before_anything_is_written(
    maker: Maker, medium: Path, root: Path
) -> None:
    maker.make(medium)
    first, second, *_ = chunks(medium)
    first.unlink()
    second.write_bytes(b"")
    with pytest.raises(BadMedia, match="2 of the chunks"):
        load(root, medium)
    assert not (root / "current").exists()


def test_a_damaged_chunk_ends_the_load_and_a_good_one_lets_it_go_on(maker: Maker, medium: Path, root: Path) -> None:
    maker.make(medium)
    path = chunks(medium)[3]
    good = path.read_bytes()
    path.write_bytes(b"x" * len(good))
    with pytest.raises(BadMedia, match=f"{path.name} is damaged"):
        load(root, medium)
    assert not (root / "current").exists()
    path.write_bytes(good)
    load(root, medium)
    assert content(root / "current") == dict(FILES)


def test_chunks_in_another_order_are_not_the_file(maker: Maker, medium: Path, root: Path) -> None:
    made = maker.make(medium)
    blobs = [replace(each, chunks=each.chunks[::-1]) if len(each.chunks) > 1 else each for each in made.blobs]
    (medium / "manifest.json").write_bytes(replace(made, blobs=tuple(blobs)).sealed().dump())
    with pytest.raises(BadMedia, match="do not make it"):
        load(root, medium)
    assert not (root / "current").exists()


PACKED = zlib.compress(b"a" * 5000)


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (PACKED[:-1], "its end is missing"),
        (PACKED + b"x", "something stands behind its end"),
        (b"x" * 100, "cannot be decoded"),
        (zlib.compress(b"b" * 5000), "do not make it"),
        (zlib.compress(bytes(200 << 20)), "do not make it"),  # 200 MiB in 200 kB
    ],
)
def test_chunks_that_decode_to_something_else_are_refused(
    maker: Maker, medium: Path, root: Path, packed: bytes, words: str
) -> None:
    wanted = b"a" * 5000
    made = maker.make(medium, {"docs/a": wanted}, chunk_size=1 << 20)
    name = hashlib.sha256(packed).hexdigest()
    (medium / "chunks" / name).write_bytes(packed)
    blob = Blob(hashlib.sha256(wanted).hexdigest(), len(wanted), "zlib", (name,))
    changed = replace(made, chunks=(Chunk(name, len(packed)),), blobs=(blob,)).sealed()
    (medium / "manifest.json").write_bytes(changed.dump())
    with pytest.raises(BadMedia, match=words):
        load(root, medium)
    assert not (root / "current").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"platform": "linux/s390x"}, "is for linux/s390x, and this machine is"),
        ({"python": "3.12", "files": "numpy-2.4.0-cp311-cp311-manylinux_2_28_x86_64.whl"}, "not for Python 3.12"),
        ({"files": "numpy-2.4.0-cp311-cp311-win_amd64.whl"}, "not for linux"),
        ({"files": "numpy-2.4.0.tar.gz.whl"}, "not the name of a wheel"),
    ],
)
def test_what_is_for_another_machine_is_refused(
    maker: Maker, medium: Path, root: Path, more: dict[str, Any], words: str
) -> None:
    name = more.pop("files", "")
    maker.make(medium, {**FILES, f"wheels/{name}": b"PK"} if name else FILES, **more)
    with pytest.raises(Unusable, match=words):
        load(root, medium)
    assert not (root / "current").exists()


def test_two_loads_at_once_do_not_meet(maker: Maker, medium: Path, root: Path, program: Program) -> None:
    maker.make(medium)
    with Root(root).locked():
        done = program("load", "--from", medium, "--key", maker.public)
    assert (done.returncode, "Another cellar-offline is at work" in done.stderr) == (2, True)


# --- deltas


@pytest.fixture
def delta(maker: Maker, medium: Path, tmp_path: Path) -> tuple[Manifest, Manifest, Path]:
    """A bundle on `medium`, and what is new since it in a folder of its own."""
    old = maker.make(medium)
    folder = tmp_path / "delta"
    folder.mkdir()
    new = maker.make(folder, {**FILES, "docs/read.md": b"# Read me again\n"}, since=old, version="0.2.0")
    return old, new, folder


def test_a_delta_holds_only_what_is_new(delta: tuple[Manifest, Manifest, Path], medium: Path, root: Path) -> None:
    old, _, folder = delta
    assert len(chunks(folder)) == 1
    load(root, medium)
    load(root, folder)
    assert content(root / "current") == {**FILES, "docs/read.md": b"# Read me again\n"}
    assert Root(root).require().before() == old.id


def test_a_delta_without_its_base_is_refused_by_name(delta: tuple[Manifest, Manifest, Path], root: Path) -> None:
    old, _, folder = delta
    with pytest.raises(Unusable, match=f"does not have.*{old.id[:12]} first"):
        load(root, folder)
    assert not (root / "current").exists()


def test_a_delta_on_a_base_that_was_damaged_is_refused_by_name(
    delta: tuple[Manifest, Manifest, Path], medium: Path, root: Path
) -> None:
    _, _, folder = delta
    path = load(root, medium).path / "weights/tiny/model.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(Unusable, match=r"model\.safetensors is not in this delta"):
        load(root, folder)
