"""A `docker` that has some images and saves them as engines of old and of today do; and wheels that somebody made."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import stat
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OLD, NEW, BOTH = "docker-archive", "oci-layout", "both"
LARGE = 1_200_000  # bytes: more than what is kept in memory of an archive
PROGRAM = """\
#!{python}
import json, pathlib, shutil, sys
home = pathlib.Path({home!r})
images = json.loads((home / "images.json").read_text())
(home / "asked").open("a").write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["image", "inspect"]:
    if sys.argv[3] not in images:
        sys.exit("Error: No such image: " + sys.argv[3])
    print(json.dumps([images[sys.argv[3]]]))
elif sys.argv[1] == "save":
    archive = (home / "archive.tar").read_bytes()
    if (home / "gate").exists():
        sys.stdout.buffer.write(archive[: len(archive) // 2])
        sys.stdout.buffer.flush()
        (home / "gate").read_text()
    sys.stdout.buffer.write(archive[len(archive) // 2 if (home / "gate").exists() else 0 :])
"""


def layer(files: Mapping[str, bytes]) -> bytes:
    """A tar, as a layer is one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def noise(seed: str, size: int = LARGE) -> bytes:
    """Bytes that cannot be packed, always the same ones."""
    return hashlib.shake_256(seed.encode()).digest(size)


class FakeEngine:
    """In a folder: bin/docker for PATH, its images, the archive that it saves."""

    def __init__(self, home: Path, layout: str = OLD) -> None:
        self.home = home
        self.layout = layout
        self.images: dict[str, tuple[bytes, Sequence[bytes]]] = {}
        self.path = home / "bin"
        self.path.mkdir(parents=True)
        program = self.path / "docker"
        program.write_text(PROGRAM.format(python=sys.executable, home=str(home)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def add(self, reference: str, layers: Sequence[bytes], **config: Any) -> str:
        """Its id."""
        ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
        table = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ids}} | config
        self.images[reference] = (json.dumps(table).encode(), layers)
        self.write()
        return f"sha256:{hashlib.sha256(self.images[reference][0]).hexdigest()}"

    def write(self) -> None:
        found: dict[str, Any] = {}
        for reference, (config, layers) in self.images.items():
            ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
            digest = f"{reference.rpartition(':')[0]}@sha256:{'ab' * 32}"
            image_id = hashlib.sha256(self._manifest(config, layers) if self.layout == NEW else config).hexdigest()
            found[reference] = {"Id": f"sha256:{image_id}", "RootFS": {"Layers": ids}, "RepoDigests": [digest]}
        (self.home / "images.json").write_text(json.dumps(found))
        parts = {OLD: self._old, NEW: self._new, BOTH: self._both}[self.layout]()
        with tarfile.open(self.home / "archive.tar", "w") as archive:
            for name, content in parts.items():
                member = tarfile.TarInfo(name)
                if isinstance(content, str):
                    member.type, member.linkname = tarfile.SYMTYPE, content
                    archive.addfile(member)
                else:
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))

    def _old(self) -> dict[str, bytes | str]:
        """As Docker 20.10 does: a folder for each layer of each image; one that was there is a link to it."""
        parts: dict[str, bytes | str] = {}
        where: dict[str, str] = {}
        rows = []
        for reference, (config, layers) in self.images.items():
            names = []
            for each in layers:
                diff_id = hashlib.sha256(each).hexdigest()
                folder = hashlib.sha256(f"{reference} {diff_id}".encode()).hexdigest()
                parts[f"{folder}/layer.tar"] = f"../{where[diff_id]}/layer.tar" if diff_id in where else each
                where.setdefault(diff_id, folder)
                names.append(f"{folder}/layer.tar")
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            parts[name] = config
            rows.append({"Config": name, "RepoTags": None, "Layers": names})
        parts["manifest.json"] = json.dumps(rows).encode()
        return parts

    def _new(self) -> dict[str, bytes | str]:
        """An OCI layout with compressed layers and no manifest.json, whose images are called by their manifests."""
        parts: dict[str, bytes | str] = {}
        rows = []
        for config, layers in self.images.values():
            manifest = self._manifest(config, layers)
            for content in (config, manifest, *map(packed, layers)):
                parts[f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"] = content
            rows.append({"digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}", "size": len(manifest)})
        parts["index.json"] = json.dumps({"manifests": rows}).encode()
        return parts

    def _both(self) -> dict[str, bytes | str]:
        """As Docker 25 and later with its own store: blobs called by their hash, uncompressed, and both lists."""
        parts: dict[str, bytes | str] = {}
        rows = []
        for config, layers in self.images.values():
            names = [f"blobs/sha256/{hashlib.sha256(each).hexdigest()}" for each in (config, *layers)]
            parts |= dict(zip(names, (config, *layers), strict=True))
            rows.append({"Config": names[0], "RepoTags": None, "Layers": names[1:]})
        parts["index.json"] = json.dumps({"manifests": []}).encode()
        parts["manifest.json"] = json.dumps(rows).encode()
        return parts

    @staticmethod
    def _manifest(config: bytes, layers: Sequence[bytes]) -> bytes:
        def row(content: bytes) -> dict[str, str]:
            return {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}"}

        return json.dumps({"config": row(config), "layers": [row(packed(each)) for each in layers]}).encode()

    def asked(self) -> list[str]:
        """What it was told to do, one command a line."""
        path = self.home / "asked"
        return path.read_text().splitlines() if path.is_file() else []


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def wheel(folder: Path, name: str, version: str, *needs: str, tag: str = "py3-none-any", licence: str = "MIT") -> Path:
    """A wheel with nothing but its metadata in it."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"License-Expression: {licence}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    files = {
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{each},sha256={_digest(text)},{len(text)}\n" for each, text in files.items())
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in (files | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}).items():
            archive.writestr(zipfile.ZipInfo(each, (1980, 1, 1, 0, 0, 0)), text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def safetensors(path: Path, size: int = 64) -> None:
    """Weights with one tensor of `size` bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
