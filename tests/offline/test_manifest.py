"""The manifest is read strictly, and chunks are written so that a kill leaves nothing half."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cellar_offline import manifest, target
from cellar_offline.chunks import ChunkWriter
from cellar_offline.manifest import BadManifest, File, Manifest


def small(folder: Path, **more: Any) -> Manifest:
    writer = ChunkWriter(folder, 10)
    blob = writer.put(io.BytesIO(b"hello world, this is it"))
    packed = writer.put(io.BytesIO(b"a" * 5000), manifest.ZLIB)
    files = [File("a/b", blob.sha256, blob.size, "0644", "doc", "the source", "BSD-3-Clause")]
    files.append(File("c", packed.sha256, packed.size, "0755", "tool", "", ""))
    values: dict[str, Any] = {"name": "cellar", "version": "0.1.0", "built": "2026-11-30T01:45:00Z"}
    values |= {"platform": "linux/amd64", "python": "3.11", "since": None, "chunk_size": 10}
    values |= {"chunks": writer.chunks(), "blobs": (blob, packed), "files": tuple(files), "images": ()}
    return Manifest(**(values | more)).sealed()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = small(tmp_path)
    assert manifest.parse(made.dump()) == made
    assert small(tmp_path).id == made.id


def resealed(table: dict[str, Any]) -> bytes:
    """With an id that fits: what a builder gone wrong, or somebody with bad intent, would write."""
    rest = {key: value for key, value in table.items() if key != "id"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return json.dumps(table | {"id": hashlib.sha256(text.encode()).hexdigest()}).encode()


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(table: Any) -> None:
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("files", 0, "path", value="../../etc/passwd"), "leads out"),
        (put("files", 0, "path", value="/etc/passwd"), "leads out"),
        (put("files", 0, "path", value="a/./b"), "leads out"),
        (put("files", 0, "path", value="a\\..\\b"), "not a path"),
        (put("files", 0, "path", value=".cellar/state"), "begins with a dot"),
        (put("files", 0, "path", value="a\nb"), "one line"),
        (put("files", 0, "path", value="a\ud800"), "one line"),
        (put("files", 0, "path", value="c"), "lists a path twice"),
        (put("files", 0, "path", value="c/d"), "a file and a folder at once"),
        (put("files", 0, "mode", value="4755"), "'mode' is '4755'"),
        (put("files", 0, "size", value=1), "does not hold the file a/b"),
        (put("files", 0, "size", value=True), "not a number"),
        (put("files", 0, "extra", value=1), "unknown key: 'extra'"),
        (lambda table: table["files"][0].pop("licence"), "has no 'licence'"),
        (lambda table: table["chunks"].append(table["chunks"][0]), "lists a chunk twice"),
        (lambda table: table["chunks"].pop(), "not listed"),
        (lambda table: table["files"].pop(), "neither a file nor"),
        (put("blobs", 0, "chunks", value=[]), "no delta"),
        (put("chunk_size", value=1 << 40), "not a number"),
        (put("format", value="cellar-bundle-2"), "reads cellar-bundle-1"),
        (put("version", value="../x"), "cannot be one"),
        (lambda table: table["images"].append(
            {"name": "x", "tag": "y", "id": "sha256:" + "0" * 64, "digest": None, "config": "0" * 64, "layers": []}
        ), "does not hold the image x:y"),
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_refused(tmp_path: Path, change: Callable[[Any], None], words: str) -> None:
    table = json.loads(small(tmp_path).dump())
    change(table)
    with pytest.raises(BadManifest, match=words.replace("(", r"\(")):
        manifest.parse(resealed(table))


def test_a_changed_manifest_does_not_have_its_id(tmp_path: Path) -> None:
    text = small(tmp_path).dump().replace(b'"0.1.0"', b'"0.1.1"')
    with pytest.raises(BadManifest, match="changed after it was built"):
        manifest.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": "x", "format": "x"}',
        b'{"a": 1.5}',
        b"\xff",
        b"[" * 99999,
        b'{"a": %s}' % (b"1" * 9999),
    ],
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(BadManifest):
        manifest.parse(text)


def test_a_delta_names_what_the_bundle_before_it_has(tmp_path: Path) -> None:
    whole = small(tmp_path)
    first, second = whole.blobs
    carried = tuple(each for each in whole.chunks if each.sha256 in second.chunks)
    delta = replace(whole, since=whole.id, blobs=(replace(first, chunks=()), second), chunks=carried).sealed()
    assert manifest.parse(delta.dump()).blob(first.sha256).chunks == ()


def test_a_chunk_that_the_disk_has_damaged_is_written_again(tmp_path: Path) -> None:
    made = small(tmp_path)
    first, second = (tmp_path / "chunks" / each.sha256 for each in made.chunks[:2])
    first.write_bytes(b"x" * first.stat().st_size)
    untouched = second.stat().st_ino
    assert small(tmp_path) == made
    assert hashlib.sha256(first.read_bytes()).hexdigest() == first.name
    assert second.stat().st_ino == untouched


def test_what_an_earlier_build_left_is_removed(tmp_path: Path) -> None:
    made = small(tmp_path)
    (tmp_path / "chunks" / ".half.part").write_bytes(b"x")
    assert ChunkWriter(tmp_path, 10).remove_others(made.chunks) == [".half.part"]


def test_the_targets_description_is_read_again() -> None:
    described = target.Target(
        ("vllm",), "24gb", (target.Preset("24gb", 22.5, 18.0, "x"),), "580.65", 16.0, ("weights/x",)
    )
    assert target.parse(described.dump()) == described
    with pytest.raises(target.BadTarget):
        target.parse(b'{"presets": [{"name": 1}]}')
