"""A bundle is whole or is none: built, interrupted, resumed, damaged, as a delta, by processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cellar_offline import imagelist, signature
from cellar_offline.building.house import House
from cellar_offline.media import Media, hashed

from tests.offline.building.conftest import BASE, IMAGES, ROOT, UPPER, WEIGHTS, WHEELS, Place
from tests.offline.building.engine import layer, noise
from tests.ui.lab import wait_until


def verified(place: Place, *more: str) -> subprocess.CompletedProcess[str]:
    """By the program in the bundle itself, as a target does it, on a Python without anything of ours."""
    root = str(place.home / "root")
    command = [sys.executable, "-I", str(place.out / "cellar-offline.pyz"), "verify", "--root", root]
    return subprocess.run(
        [*command, "--from", str(place.out), *more], cwd=place.home, capture_output=True, text=True, timeout=60
    )


def test_a_bundle_of_everything_is_verified_by_the_program_in_it(place: Place) -> None:
    place.recipe(IMAGES + WHEELS + WEIGHTS, docs=True)
    manifest = place.made()
    done = verified(place, "--key", str(place.key) + ".pub")
    assert done.returncode == 0, done.stdout + done.stderr
    assert signature.fingerprint(signature.read_key(Path(f"{place.key}.pub"))) in done.stdout

    hub, workspace = sorted(manifest.images, key=lambda each: each.name)
    assert [each.reference for each in (hub, workspace)] == ["cellar-hub:dev", "cellar-workspace:dev"]
    shared = tuple(hashlib.sha256(layer(each)).hexdigest() for each in (BASE, UPPER))
    assert hub.layers == workspace.layers[:2] == shared
    assert hub.id == f"sha256:{hashlib.sha256(place.engine.images['cellar-hub:dev'][0]).hexdigest()}"
    assert hub.digest is None, "it was made here, whatever else it may be called"
    media = Media([place.out])
    blob = manifest.blob(hub.layers[0])
    assert b"".join(hashed(media.blob(manifest, blob), blob)) == layer(BASE)

    paths = {each.path for each in manifest.files}
    assert {f"wheels/workspace/{name}-py3-none-any.whl" for name in ("alpha-1.0", "beta-2.0")} <= paths
    assert {"weights/tiny/model.safetensors", "licences/tiny.txt", "docs/hub.md", "target.json"} <= paths
    listed = imagelist.parse(content(place, imagelist.PATH))
    assert {row.image for row in listed} == {"cellar-hub:dev", "cellar-workspace:dev"}
    assert {each.mode for each in manifest.files if each.path.endswith(("compose/cellar-hub", ".pyz"))} == {"0755"}


def content(place: Place, path: str) -> bytes:
    manifest = place.manifest()
    (file,) = (each for each in manifest.files if each.path == path)
    blob = manifest.blob(file.sha256)
    return b"".join(hashed(Media([place.out]).blob(manifest, blob), blob))


def test_nothing_of_a_sites_own_is_carried_away(tmp_path: Path) -> None:
    """What lies beside the compose files at a site: settings, passwords, keys."""
    for name in ("hub_config", "docs"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".restore*", "weights")
        )
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    secret = {".env", "gateway.env", "admin-password", "site/own.toml", "tls/key.pem", "weights/a.bin"}
    before = {own.path for own in House(tmp_path).files(docs=True)}
    for name in secret:
        path = tmp_path / "hub_config" / "compose" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret-0123456789\n")
    (tmp_path / "hub_config" / "compose" / "docker-compose.link.yml").symlink_to(tmp_path / "README.md")
    assert {own.path for own in House(tmp_path).files(docs=True)} == before
    assert "hub_config/compose/.env.example" in before


def test_a_second_build_saves_no_image_again(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    first = old_place.made()
    again = old_place.made()
    assert again.images == first.images
    assert len([line for line in old_place.engine.asked() if line.startswith("save")]) == 1


def test_a_build_that_was_killed_leaves_nothing_that_looks_whole_and_goes_on(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    os.mkfifo(old_place.engine.home / "gate")
    process = subprocess.Popen(
        old_place.command(), env=old_place.environment(), cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    chunks = old_place.out / "chunks"
    first = hashlib.sha256(layer(BASE)).hexdigest()
    journal = Path(f"{old_place.out}.work") / "journal"
    wait_until(lambda: journal.is_file() and f"inside {first}" in journal.read_text(), "the first layer to be packed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (old_place.out / "manifest.json").exists()
    times = {path.name: path.stat().st_mtime_ns for path in chunks.iterdir() if not path.name.endswith(".part")}
    assert times

    (old_place.engine.home / "gate").unlink()
    manifest = old_place.made()
    kept = {path.name: path.stat().st_mtime_ns for path in chunks.iterdir()}
    assert {name: kept[name] for name in times if name in kept} == {n: t for n, t in times.items() if n in kept}
    assert set(manifest.blob(first).chunks) <= set(times)
    assert verified(old_place, "--key", f"{old_place.key}.pub").returncode == 0


def test_a_disk_that_is_full_is_named_and_nothing_is_called_complete(old_place: Place) -> None:
    old_place.recipe(WEIGHTS)
    (old_place.weights / "more.json").write_bytes(noise("full", 400_000))

    def small() -> None:
        """Files of 200,000 bytes are the most: what a full disk does, without filling one."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = old_place.build(before=small)
    assert (done.returncode, "Nothing was named complete" in done.stderr) == (2, True), done.stderr
    assert not (old_place.out / "manifest.json").exists()
    old_place.made()


def test_a_chunk_that_rotted_on_the_disk_is_found_before_anything_is_signed_and_made_anew(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    manifest = old_place.made()
    chunk = old_place.out / "chunks" / manifest.blob(manifest.images[0].layers[0]).chunks[0]
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "not on the disk as they were written" in old_place.refused()
    assert old_place.made().images == manifest.images
    assert chunk.read_bytes() == whole


def test_a_delta_holds_what_the_loaded_bundle_lacks_and_lists_everything(place: Place) -> None:
    place.recipe(IMAGES + WEIGHTS)
    before = place.made()
    place.engine.add("cellar-workspace:dev", [layer(BASE), layer(UPPER), layer({"new": noise("new")})])
    (place.weights / "config.json").write_text('{"new": 1}')
    old, place.out = place.out, place.home / "delta"
    manifest = place.made("--since", str(old))
    assert manifest.since == before.id
    new = {blob.sha256 for blob in manifest.blobs if blob.chunks}
    workspace = next(each for each in manifest.images if each.name == "cellar-workspace")
    paths = {each.path for each in manifest.files if each.sha256 in new}
    assert new & set(workspace.layers) == {workspace.layers[-1]}
    assert paths == {"weights/tiny/config.json", "MANIFEST.md", "MANIFEST.ko.md", "sbom.cdx.json"}
    assert "weights/tiny/model.safetensors" in {each.path for each in manifest.files}
    assert sum(chunk.size for chunk in manifest.chunks) < sum(chunk.size for chunk in before.chunks)
    assert before.id[:12] in (place.out / "MANIFEST.md").read_text()


def test_a_layer_that_stands_on_others_than_before_travels_again(old_place: Place) -> None:
    """Docker knows a layer by all that it stands on."""
    old_place.recipe(IMAGES)
    old_place.made()
    old_place.engine.add("cellar-workspace:dev", [layer(UPPER), layer(BASE)])
    old, old_place.out = old_place.out, old_place.home / "delta"
    manifest = old_place.made("--since", str(old))
    new = {blob.sha256 for blob in manifest.blobs if blob.chunks}
    assert {hashlib.sha256(layer(each)).hexdigest() for each in (UPPER, BASE)} <= new


def test_a_delta_to_a_bundle_that_somebody_else_signed_is_refused(old_place: Place) -> None:
    old_place.recipe()
    old_place.made()
    old, old_place.out = old_place.out, old_place.home / "delta"
    signature.make_key(old_place.home / "other")
    assert "expected key" in old_place.refused("--since", str(old), "--key", str(old_place.home / "other"))
    assert "written over the bundle" in old_place.build("--since", str(old), "--out", str(old)).stderr
    assert (old / "manifest.json").is_file()


def test_without_a_key_there_is_a_test_bundle_only_when_somebody_says_so(old_place: Place) -> None:
    old_place.recipe(key=False)
    assert "--allow-unsigned" in old_place.refused()
    old_place.made("--allow-unsigned")
    assert not (old_place.out / "manifest.json.sig").exists()
    assert "NOBODY" in (old_place.out / "MANIFEST.md").read_text()
    assert verified(old_place).returncode != 0
    assert verified(old_place, "--allow-unsigned").returncode == 0


def test_a_key_that_cannot_sign_is_named_before_anything_is_done(old_place: Place) -> None:
    old_place.recipe()
    assert "nowhere" in old_place.refused("--key", str(old_place.home / "nowhere"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(old_place.home / "ec")], check=True)
    assert "ssh-ed25519" in old_place.refused("--key", str(old_place.home / "ec"))
    assert not (old_place.out / "chunks").exists()


def test_what_fails_is_told_while_docker_would_go_on_for_long(old_place: Place) -> None:
    old_place.recipe(IMAGES + WEIGHTS)
    (old_place.weights / "LICENSE").unlink()
    os.mkfifo(old_place.engine.home / "gate")
    assert "text of their licence" in old_place.refused()


def test_two_builds_do_not_write_one_bundle(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    os.mkfifo(old_place.engine.home / "gate")
    first = subprocess.Popen(
        old_place.command(), env=old_place.environment(), cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: any(line.startswith("save") for line in old_place.engine.asked()), "the first to begin")
        assert "Another build" in old_place.refused()
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "docker pull vllm/vllm-openai:v0.33.0"),
        ('leave_out = ["vllm/vllm-openai"]', "python -m tools.images router"),
    ],
)
def test_an_image_that_is_missing_is_named_with_the_way_to_get_it(old_place: Place, text: str, words: str) -> None:
    old_place.recipe(f'[images]\noverlays = ["vllm", "router"]\n{text}')
    assert words in old_place.refused()


def test_an_image_for_another_machine_or_with_other_layers_than_it_says_is_refused(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    old_place.engine.add("cellar-hub:dev", [layer(BASE)], architecture="arm64")
    assert "linux/arm64" in old_place.refused()
    wrong = [f"sha256:{'0' * 64}"]
    old_place.engine.add("cellar-hub:dev", [layer(BASE)], rootfs={"type": "layers", "diff_ids": wrong})
    assert "not those of its configuration" in old_place.refused()


def test_what_docker_saves_is_refused_when_it_was_cut_off(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    archive = old_place.engine.home / "archive.tar"
    archive.write_bytes(archive.read_bytes()[:1_000_000])
    assert "damaged or cut off" in old_place.refused()


def test_an_image_of_a_registry_keeps_its_digest_and_a_sites_own_comes_along(old_place: Place) -> None:
    old_place.engine.add("registry.example/gpu:3", [layer({"a": b"b"})])
    old_place.recipe(IMAGES + '[images.more]\ngpu = "registry.example/gpu:3"\n')
    image = next(each for each in old_place.made().images if each.name == "registry.example/gpu")
    assert image.digest == f"sha256:{'ab' * 32}"
    listed = imagelist.parse(content(old_place, imagelist.PATH))
    assert imagelist.settings(listed)["CELLAR_WORKSPACE_IMAGES"] == "cellar-workspace:dev,gpu=registry.example/gpu:3"


def test_the_journal_forgets_only_its_torn_last_line(old_place: Place) -> None:
    old_place.recipe(IMAGES)
    old_place.made()
    journal = Path(f"{old_place.out}.work") / "journal"
    with journal.open("ab") as out:
        out.write(b'["blob torn')
    old_place.made()
    assert len([line for line in old_place.engine.asked() if line.startswith("save")]) == 1
    assert all(json.loads(line) for line in journal.read_text().splitlines())
