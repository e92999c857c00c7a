"""The Docker engine of this machine, by its command line; whatever DOCKER_HOST or a context says, as for `docker`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cellar_offline.manifest import Image

LIMIT = 120.0  # seconds for a question


class EngineError(Exception):
    """Docker is not there, or refuses; the message is for a person."""


@dataclass(frozen=True)
class Engine:
    """Each method raises EngineError."""

    program: str = "docker"

    def ask(self, *arguments: str) -> str:
        """Standard output of a docker command."""
        if shutil.which(self.program) is None:
            raise EngineError("There is no `docker` here. On Debian: apt-get install docker.io")
        try:
            done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise EngineError(f"docker {' '.join(arguments[:2])}: no answer within {LIMIT:.0f} s.") from None
        if done.returncode != 0:
            words = done.stderr.strip()[-1000:]
            cure = " Start it: systemctl start docker" if "Cannot connect" in words else ""
            raise EngineError(f"docker {' '.join(arguments[:2])} failed: {words}{cure}")
        return done.stdout

    def info(self) -> dict[str, Any]:
        """What `docker info` knows of the engine."""
        found: dict[str, Any] = json.loads(self.ask("info", "--format", "{{json .}}"))
        if problems := found.get("ServerErrors"):
            raise EngineError(f"{' '.join(problems)[-500:]} Start it: systemctl start docker")
        return found

    def images(self) -> dict[str, tuple[str, ...]]:
        """Layers, bottom first, as sha256 in hexadecimal, by id, "sha256:..."."""
        ids = sorted(set(self.ask("image", "ls", "--all", "--quiet", "--no-trunc").split()))
        found = json.loads(self.ask("image", "inspect", *ids)) if ids else []
        return {
            each["Id"]: tuple(_bare(layer) for layer in (each.get("RootFS") or {}).get("Layers") or ())
            for each in found
        }

    def id_of(self, reference: str) -> str:
        """The id of what a reference means; "" for nothing."""
        ids = self.ask("image", "ls", "--quiet", "--no-trunc", reference).split()
        return ids[0] if ids else ""

    def tag(self, id: str, reference: str) -> None:
        self.ask("image", "tag", id, reference)

    def untag(self, reference: str) -> None:
        self.ask("image", "rm", "--no-prune", reference)

    def load(self, archive: Iterable[bytes]) -> None:
        """`docker load` of a stream. What the stream raises comes through, and nothing is loaded."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [self.program, "load", "--quiet"], stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT
            )
            assert process.stdin is not None
            try:
                for block in archive:
                    process.stdin.write(block)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended by itself, and says below why
            except BaseException:
                process.kill()
                raise
            finally:
                status = process.wait()
                _close(process)
            if status != 0:
                said.seek(0)
                raise EngineError(f"docker load failed: {said.read().decode(errors='replace').strip()[-1000:]}")


def _close(process: subprocess.Popen[bytes]) -> None:
    """A pipe whose reader is gone still holds what was not written."""
    try:
        assert process.stdin is not None
        process.stdin.close()
    except BrokenPipeError:
        pass


def _bare(digest: str) -> str:
    return digest.partition(":")[2]


def chains(images: Iterable[Sequence[str]]) -> set[tuple[str, ...]]:
    """Everything that these images stand on: an engine knows a layer by all those below it, too."""
    return {tuple(layers[: count + 1]) for layers in images for count in range(len(layers))}


def lacking(image: Image, there: set[tuple[str, ...]]) -> tuple[str, ...]:
    """The image's layers that an engine with these chains must be given."""
    return tuple(layer for count, layer in enumerate(image.layers) if image.layers[: count + 1] not in there)


def archive(image: Image, reference: str, parts: Iterable[tuple[str, int, Iterator[bytes]]]) -> Iterator[bytes]:
    """A tar for `docker load`, in the form of `docker save` before version 25, which every engine reads.

    `parts` are the configuration and layers, as (sha256, size, bytes). A layer that the engine has may be left out: it
    looks for the file only when it does not know the chain. (OCI layouts are read since 25 only.)
    """
    for name, size, blocks in parts:
        yield _header(_member(name, image), size)
        yield from blocks
        yield b"\0" * (-size % 512)
    layers = [_member(name, image) for name in image.layers]
    table = [{"Config": _member(image.config, image), "RepoTags": [reference], "Layers": layers}]
    text = json.dumps(table).encode()
    yield _header("manifest.json", len(text)) + text + b"\0" * (-len(text) % 512)
    yield b"\0" * 1024


def _member(name: str, image: Image) -> str:
    return f"{name}.json" if name == image.config else f"{name}.tar"


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.GNU_FORMAT)
