"""Whether a folder of weights is a whole copy: what vLLM would find out after a minute, in its own words.

A copy breaks off, a disk fills, a clone without Git LFS brings pointers instead of weights, files belong to somebody
else. Only heads of files are read; what is inside is compared by sums (docs/models.md).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from cellar_vllm.weights import BadWeights

INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt", "spiece.model")
LONGEST_HEAD = 100_000_000  # bytes; the format's own limit
POINTER = b"version https://git-lfs"
NUMBERED = re.compile(r"(.*)-\d{5}-of-(\d{5})\.safetensors")
AGAIN = "Copy it again and compare the sums (docs/models.md, Getting the weights)."


def check(folder: Path, *, tokenizer: bool = True) -> None:
    """BadWeights names the first file that is missing, cut short or closed to this user. `tokenizer`: it must be here.

    A folder that is none, or holds no weights at all, is `weights.read`'s to refuse.
    """
    try:
        names = set(os.listdir(folder))
        files = sorted(name for name in names if name.endswith(".safetensors"))
        if not files:
            return
        _nothing_is_missing(folder, names, _wanted(folder, names))
        for name in ("config.json", *TOKENIZERS, *files):
            if name in names:
                _is_no_pointer(folder / name)
        for name in files:
            _is_whole(folder / name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError as error:
        raise BadWeights(
            f"{error.filename} may not be read by user {os.geteuid()}, group {os.getegid()}, who serves it. "
            f"Open it for everybody: chmod -R a+rX {folder}, and a+x for the folders above it."
        ) from None
    except OSError as error:
        raise BadWeights(f"{error.filename or folder} cannot be read: {error.strerror}") from None
    if tokenizer and not names.intersection(TOKENIZERS) and not any(name.endswith(".tiktoken") for name in names):
        raise BadWeights(f"{folder} holds no tokenizer (tokenizer.json): it is not a whole copy. {AGAIN}")


def _wanted(folder: Path, names: set[str]) -> set[str]:
    """The files of weights that make a whole: by their index; without one by their own names (1 of 2, 2 of 2)."""
    if INDEX not in names:
        found = [numbered.groups() for name in names if (numbered := NUMBERED.fullmatch(name))]
        first = 0 if any("-00000-of-" in name for name in names) else 1
        return {f"{kind}-{first + each:05}-of-{of}.safetensors" for kind, of in found for each in range(int(of))}
    try:
        return set(map(str, json.loads((folder / INDEX).read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadWeights(f"{folder / INDEX} is damaged. {AGAIN}") from None


def _nothing_is_missing(folder: Path, names: set[str], wanted: set[str]) -> None:
    if missing := sorted(wanted - names):
        raise BadWeights(
            f"{folder} is not a whole copy: {len(missing)} of {len(wanted)} files of weights are missing, the first is "
            f"{missing[0]}. {AGAIN}"
        )


def _is_whole(file: Path) -> None:
    """A safetensors file says in its head how long it is (https://github.com/huggingface/safetensors, Format)."""
    size = file.stat().st_size
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        head = data.read(length) if length <= min(size, LONGEST_HEAD) else b""
    try:
        described: dict[str, Any] = json.loads(head)
        ends = [each["data_offsets"][1] for name, each in described.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise BadWeights(f"{file} is damaged or cut short: its head cannot be read. {AGAIN}") from None
    if size != wanted:
        raise BadWeights(f"{file} is damaged or cut short: it has {size} bytes of {wanted}. {AGAIN}")


def _is_no_pointer(file: Path) -> None:
    with file.open("rb") as data:
        if data.read(len(POINTER)) == POINTER:
            raise BadWeights(
                f"{file} is a pointer of Git LFS, not the file itself: `git lfs pull` where it was cloned."
            )
