"""Chunks over media: what is missing, damaged or foreign is named; and who must have signed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cellar_offline import loading
from cellar_offline.manifest import NAME, SIGNATURE

from tests.offline.bundles import FILES, Maker, chunks, resign
from tests.offline.conftest import Program


def test_a_whole_bundle_is_well_and_its_signers_fingerprint_is_shown(
    maker: Maker, medium: Path, program: Program
) -> None:
    made = maker.make(medium)
    done = program("verify", "--from", medium, "--key", maker.public)
    assert done.returncode == 0, done.stderr
    assert f"signed by  {maker.fingerprint}" in done.stdout
    assert made.id in done.stdout


def test_chunks_are_found_on_any_number_of_media_in_any_order(
    maker: Maker, medium: Path, tmp_path: Path, program: Program
) -> None:
    maker.make(medium)
    places = [tmp_path / "disk", tmp_path / "stick" / "some" / "folder", tmp_path / "disc"]
    for number, path in enumerate(chunks(medium)):
        place = places[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)
    for name in (NAME, SIGNATURE):
        shutil.copy(medium / name, places[0])
    done = program("verify", "--from", places[2], tmp_path / "stick", medium, places[0], "--key", maker.public)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_missing_damaged_and_foreign_chunk_is_named(maker: Maker, medium: Path, program: Program) -> None:
    maker.make(medium)
    first, second, third, fourth, fifth, *_ = chunks(medium)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    changed = bytearray(third.read_bytes())
    changed[0] ^= 1
    third.write_bytes(changed)
    a, b = fourth.read_bytes(), fifth.read_bytes()
    fourth.write_bytes(b)  # swapped
    fifth.write_bytes(a)
    (medium / "chunks" / ("0" * 64)).write_bytes(b"not of this bundle")
    (medium / "chunks" / "notes.txt").write_text("nor this")
    done = program("verify", "--from", medium, "--key", maker.public)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert f"missing: chunks/{first.name}" in lines
    for damaged in (second, third, fourth, fifth):
        assert f"damaged: {damaged}" in lines
    assert f"foreign: {medium}/chunks/{'0' * 64}" in lines
    assert f"foreign: {medium}/chunks/notes.txt" in lines
    assert sum(line.startswith(("missing", "damaged", "foreign")) for line in lines) == 7


def test_of_two_copies_the_good_one_is_taken_and_the_bad_one_named(
    maker: Maker, medium: Path, tmp_path: Path, program: Program
) -> None:
    maker.make(medium)
    bad = chunks(medium)[0]
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(bad, other)
    bad.write_bytes(b"x")
    done = program("verify", "--from", medium, other, "--key", maker.public)
    assert done.returncode == 1
    assert f"damaged, but another copy is good: {bad}" in done.stdout
    assert program("load", "--from", medium, other, "--key", maker.public).returncode == 0


def test_a_link_is_no_chunk(maker: Maker, medium: Path, tmp_path: Path, program: Program) -> None:
    maker.make(medium)
    path = chunks(medium)[0]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    done = program("verify", "--from", medium, "--key", maker.public)
    assert (done.returncode, f"damaged: {path}" in done.stdout) == (1, True)


def test_a_plain_copy_beside_the_manifest_is_the_bundles_own(maker: Maker, medium: Path, program: Program) -> None:
    maker.make(medium, {**FILES, "MANIFEST.md": b"# What is in it\n"})
    (medium / "MANIFEST.md").write_bytes(b"# What is in it\n")
    assert program("verify", "--from", medium, "--key", maker.public).returncode == 0
    (medium / "MANIFEST.md").write_bytes(b"# Nothing bad is in it\n")
    done = program("verify", "--from", medium, "--key", maker.public)
    assert (done.returncode, f"damaged: {medium}/MANIFEST.md" in done.stdout) == (1, True)


def test_media_of_two_bundles_are_not_taken_for_one(
    maker: Maker, medium: Path, tmp_path: Path, program: Program
) -> None:
    maker.make(medium)
    other = tmp_path / "other"
    other.mkdir()
    maker.make(other, {"docs/other.md": b"other"})
    done = program("verify", "--from", medium, other, "--key", maker.public)
    assert done.returncode == 2
    assert "more than one bundle" in done.stderr and str(other / NAME) in done.stderr


def test_a_name_on_a_medium_writes_no_line_of_its_own(maker: Maker, medium: Path, program: Program) -> None:
    maker.make(medium)
    strange = os.fsencode(medium / "chunks") + b"/x\nAll is well.\x1b[2J\xff"
    os.close(os.open(strange, os.O_CREAT))
    done = program("verify", "--from", medium, "--key", maker.public)
    assert done.returncode == 1
    assert f"foreign: {medium}/chunks/x\\nAll is well.\\x1b[2J\\udcff" in done.stdout.splitlines()


def test_a_folder_that_is_the_file_systems_own_is_not_looked_into(maker: Maker, medium: Path, program: Program) -> None:
    maker.make(medium)
    (medium / "lost+found" / "chunks").mkdir(parents=True)
    (medium / "lost+found" / "chunks" / "notes.txt").touch()
    assert program("verify", "--from", medium, "--key", maker.public).returncode == 0


# --- signatures


def test_without_an_expected_key_nothing_is_believed(maker: Maker, medium: Path, program: Program) -> None:
    maker.make(medium)
    shutil.copy(maker.public, medium / "key.pub")  # a key that comes with the bundle proves nothing
    for command in ("verify", "load"):
        done = program(command, "--from", medium)
        assert done.returncode == 2
        assert "--key FILE" in done.stderr


def test_a_bundle_signed_by_somebody_else_is_refused(
    maker: Maker, medium: Path, tmp_path: Path, root: Path, program: Program
) -> None:
    maker.make(medium)
    resign(medium, Maker(tmp_path / "stranger"))
    done = program("verify", "--from", medium, "--key", maker.public)
    assert done.returncode == 1
    assert "signed by  WRONG" in done.stdout and maker.fingerprint in done.stdout
    done = program("load", "--from", medium, "--key", maker.public)
    assert (done.returncode, (root / "releases").exists()) == (2, False)


@pytest.mark.parametrize("command", ["verify", "load"])
def test_nothing_is_read_of_a_manifest_before_its_signature_is_believed(
    maker: Maker, medium: Path, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    maker.make(medium)
    (medium / NAME).write_bytes(b"[" * 1000)
    monkeypatch.setattr(loading, "parse", None)
    done = program(command, "--from", medium, "--key", maker.public)
    assert (done.returncode, "JSON" in done.stdout + done.stderr) == (1 if command == "verify" else 2, False)
    assert "signed by somebody else" in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_no_signature_and_is_not_waited_for(
    maker: Maker, medium: Path, tmp_path: Path, program: Program, kind: str
) -> None:
    maker.make(medium)
    path = medium / SIGNATURE
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    done = program("load", "--from", medium, "--key", maker.public)
    assert done.returncode == 2
    assert ("not signed" if kind == "folder" else f"{path} cannot be read") in done.stderr


def test_a_signature_for_another_purpose_is_none(maker: Maker, medium: Path, program: Program) -> None:
    from cellar_offline.signature import REPORT, sign

    maker.make(medium, signed=False)
    sign(medium / NAME, maker.key, REPORT)
    assert program("verify", "--from", medium, "--key", maker.public).returncode == 1


def test_an_unsigned_bundle_needs_the_word_for_it_and_every_report_says_so(
    maker: Maker, medium: Path, program: Program
) -> None:
    maker.make(medium, signed=False)
    done = program("load", "--from", medium, "--key", maker.public)
    assert (done.returncode, "not signed" in done.stderr) == (2, True)
    for command in ("verify", "load"):
        done = program(command, "--from", medium, "--allow-unsigned")
        assert (done.returncode, "NOBODY" in done.stdout) == (0, True), done.stderr
    assert "NOBODY" in program("list").stdout
    assert "NOBODY" in program("doctor").stdout
    resign(medium, maker)
    assert program("load", "--from", medium, "--key", maker.public).returncode == 0  # as doctor advises
    assert f"signed by {maker.fingerprint}" in program("list").stdout
    (medium / SIGNATURE).unlink()
    done = program("load", "--from", medium, "--allow-unsigned")  # a site that knows whom to expect
    assert (done.returncode, "not signed" in done.stderr) == (2, True)


def test_the_first_load_pins_the_key(maker: Maker, medium: Path, tmp_path: Path, program: Program) -> None:
    maker.make(medium)
    assert program("load", "--from", medium, "--key", maker.public).returncode == 0
    assert program("verify", "--from", medium).returncode == 0
    stranger = Maker(tmp_path / "stranger")
    resign(medium, stranger)
    assert program("verify", "--from", medium).returncode == 1
    assert program("verify", "--from", medium, "--allow-unsigned").returncode == 1
    done = program("verify", "--from", medium, "--key", stranger.public)
    assert done.returncode == 2
    assert maker.fingerprint in done.stderr and stranger.fingerprint in done.stderr


@pytest.mark.parametrize("text", ["", "ssh-rsa AAAA", "ssh-ed25519 AAAA", "ssh-ed25519 %%%"])
def test_what_is_no_key_is_said_to_be_none(
    maker: Maker, medium: Path, tmp_path: Path, program: Program, text: str
) -> None:
    maker.make(medium)
    (tmp_path / "bad.pub").write_text(text)
    done = program("verify", "--from", medium, "--key", tmp_path / "bad.pub")
    assert done.returncode in (1, 2)
    assert "key" in done.stderr + done.stdout
