"""A maker with a key, a bundle that they made, and the program as a person calls it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from cellar_offline.program import main

from tests.offline.bundles import Maker

OFFLINE = Path(__file__).resolve().parent.parent.parent / "offline"
Program = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "maker")


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    folder = tmp_path / "medium"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cellar"


@pytest.fixture
def program(root: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Program]:
    """`cellar-offline COMMAND ... --root ROOT`; test_pyz.py runs it in processes of its own."""

    def run(*arguments: str | Path) -> CompletedProcess[str]:
        words = [*map(str, arguments), "--root", str(root)]
        capsys.readouterr()
        status = main(words)
        said = capsys.readouterr()
        return CompletedProcess(words, status, said.out, said.err)

    mask = os.umask(0o022)
    yield run
    os.umask(mask)
