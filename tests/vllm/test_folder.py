"""Folders of weights that are no whole copies."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cellar_vllm.folder import INDEX, check
from cellar_vllm.weights import BadWeights, read

from tests.vllm.test_fit import CONFIG, folder, safetensors

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    found = folder(tmp_path / "m", CONFIG)
    (found / INDEX).write_text(json.dumps({"weight_map": {"a": FIRST, "b": SECOND}}))
    return found


def test_a_whole_copy_is_taken(weights: Path) -> None:
    check(weights)


def cut(weights: Path) -> None:
    (weights / SECOND).write_bytes(safetensors(1000)[:700])


def cut_in_its_head(weights: Path) -> None:
    (weights / SECOND).write_bytes(safetensors(1000)[:100])


def longer(weights: Path) -> None:
    (weights / SECOND).write_bytes(safetensors(1000) + b"0")


def nothing(weights: Path) -> None:
    (weights / SECOND).write_bytes(b"")


def another_kind(weights: Path) -> None:
    (weights / SECOND).write_bytes(b"PK\x03\x04" * 100)


def a_pointer(weights: Path) -> None:
    (weights / SECOND).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4000\n")


def one_missing(weights: Path) -> None:
    (weights / SECOND).unlink()


def one_missing_without_an_index(weights: Path) -> None:
    (weights / INDEX).unlink()
    (weights / SECOND).unlink()


def no_tokenizer(weights: Path) -> None:
    (weights / "tokenizer.json").unlink()


def a_damaged_index(weights: Path) -> None:
    (weights / INDEX).write_text('{"weight_map": ')


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (cut, f"{SECOND} is damaged or cut short: it has 700 bytes of 1000. Copy it again"),
        (cut_in_its_head, f"{SECOND} is damaged or cut short: its head cannot be read"),
        (longer, f"{SECOND} is damaged or cut short: it has 1001 bytes of 1000"),
        (nothing, f"{SECOND} is damaged or cut short: its head cannot be read"),
        (another_kind, f"{SECOND} is damaged or cut short"),
        (a_pointer, f"{SECOND} is a pointer of Git LFS, not the file itself"),
        (one_missing, f"is not a whole copy: 1 of 2 files of weights are missing, the first is {SECOND}"),
        (one_missing_without_an_index, f"1 of 2 files of weights are missing, the first is {SECOND}"),
        (no_tokenizer, "holds no tokenizer"),
        (a_damaged_index, f"{INDEX} is damaged"),
    ],
)
def test_what_is_not_whole_is_named(harm: Callable[[Path], None], says: str, weights: Path) -> None:
    harm(weights)
    with pytest.raises(BadWeights, match=re.escape(says)):
        check(weights)


def test_files_that_are_counted_from_nought_are_whole_without_an_index(weights: Path) -> None:
    (weights / INDEX).unlink()
    (weights / SECOND).rename(weights / "model-00000-of-00002.safetensors")
    check(weights)


def test_a_tokenizer_may_come_from_elsewhere(weights: Path) -> None:
    no_tokenizer(weights)
    check(weights, tokenizer=False)


@pytest.mark.parametrize("what", ["", FIRST, "config.json"])
def test_what_may_not_be_read_is_said_with_its_cure(what: str, weights: Path, tmp_path: Path) -> None:
    closed = weights / what
    mode = closed.stat().st_mode
    closed.chmod(0)
    us = os.geteuid()
    above = [each for each in (*tmp_path.parents, tmp_path) if not each.stat().st_mode & 0o001]
    try:
        if us == 0:  # who is root may read everything
            for each in above:
                each.chmod(0o711)
            os.seteuid(65534)
        with pytest.raises(BadWeights, match=rf"{re.escape(str(closed))} may not be read by user .* chmod -R a\+rX"):
            check(weights)
    finally:
        os.seteuid(us)
        closed.chmod(mode)


def test_what_holds_no_weights_at_all_is_said_by_who_reads_them(tmp_path: Path) -> None:
    for missing, says in ((tmp_path / "nowhere", "is not a folder"), (tmp_path, r"holds no \*\.safetensors")):
        check(missing)
        with pytest.raises(BadWeights, match=says):
            read(missing)


def test_weights_without_their_configuration_are_no_model(weights: Path) -> None:
    (weights / "config.json").unlink()
    with pytest.raises(BadWeights, match=r"holds no config\.json: it is not a whole copy"):
        read(weights)
