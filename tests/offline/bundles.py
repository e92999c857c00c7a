"""Small bundles for tests: real chunks, real signatures, no image unless one is given."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cellar_offline import loading, manifest
from cellar_offline.chunks import ChunkWriter
from cellar_offline.manifest import CHUNKS, NAME, SIGNATURE, Blob, Chunk, File, Image, Manifest
from cellar_offline.signature import make_key, sign

CHUNK = 1000  # bytes
FILES: Mapping[str, bytes] = {
    "docs/read.md": b"# Read me\n",
    "hub_config/compose/docker-compose.yml": b"services: {}\n",
    "hub_config/compose/.env.example": b"# Settings\nTOKEN=\nDOCKER_GID=\n#CELLAR_PORT=8000\n",
    "hub_config/cellar_vllm/__init__.py": b"",
    "weights/tiny/model.safetensors": bytes(range(256)) * 40,
}

KILLED = """
import os, signal, sys
from cellar_offline import media
from cellar_offline.program import main
left = int(sys.argv.pop(1))
whole = media.Media.chunk
def chunk(self, name, size):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, name, size)
media.Media.chunk = chunk
sys.exit(main(sys.argv[1:]))
"""
"""A program like ours that kills itself when it has read so many chunks: python -c KILLED NUMBER load ..."""


class Maker:
    """Somebody who makes bundles, with a key of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.key = folder / "key"
        make_key(self.key)
        self.public = folder / "key.pub"
        self.fingerprint = subprocess.run(
            ["ssh-keygen", "-lf", str(self.public)], capture_output=True, text=True, check=True
        ).stdout.split()[1]

    def make(
        self,
        medium: Path,
        files: Mapping[str, bytes] = FILES,
        *,
        images: Mapping[Image, Mapping[str, bytes]] | None = None,
        there: Sequence[Image] = (),
        since: Manifest | None = None,
        signed: bool = True,
        chunk_size: int = CHUNK,
        **more: Any,
    ) -> Manifest:
        """A bundle in the folder `medium`. `images`: each with its blobs; of those that are `there`, in the engine that
        is to load it, nothing is on the medium. Without what `since` has."""
        writer = ChunkWriter(medium, chunk_size)
        known = {blob.sha256: replace(blob, chunks=()) for blob in since.blobs} if since else {}
        blobs: dict[str, Blob] = {}

        def put(content: bytes, encoding: str) -> Blob:
            name = manifest.hashlib.sha256(content).hexdigest()
            blobs[name] = known.get(name) or blobs.get(name) or writer.put(io.BytesIO(content), encoding)
            return blobs[name]

        rows = []
        for path, content in files.items():
            blob = put(content, manifest.PLAIN)
            kind = "wheel" if path.endswith(".whl") else "weights" if path.startswith("weights") else "config"
            mode = "0755" if content.startswith(b"#!") else "0644"
            rows.append(File(path, blob.sha256, blob.size, mode, kind, "a test", "BSD-3-Clause"))
        for layers in (images or {}).values():
            for content in layers.values():
                put(content, manifest.ZLIB)
        lost = [Chunk("0" * 64, 1)] if there else []
        for name in {name for image in there for name in (*image.layers, image.config)}:
            blobs[name] = Blob(name, 1, manifest.PLAIN, (lost[0].sha256,))
        values: dict[str, Any] = {"name": "cellar", "version": "0.1.0", "built": "2026-11-01T00:00:00Z"}
        values |= {"platform": loading.this_platform(), "python": "3.11", "since": since.id if since else None}
        values |= {"chunk_size": chunk_size, "chunks": (*writer.chunks(), *lost), "blobs": tuple(blobs.values())}
        made = Manifest(**(values | {"files": tuple(rows), "images": (*(images or ()), *there)} | more)).sealed()
        (medium / NAME).write_bytes(made.dump())
        if signed:
            sign(medium / NAME, self.key)
        return made


def chunks(medium: Path) -> list[Path]:
    return sorted((medium / CHUNKS).iterdir())


def resign(medium: Path, maker: Maker) -> None:
    (medium / SIGNATURE).unlink(missing_ok=True)
    sign(medium / NAME, maker.key)
