"""A maker with a key, a bundle that they made, and the program as a person calls it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.offline.bundles import Maker

OFFLINE = Path(__file__).resolve().parent.parent.parent / "offline"
Program = Callable[..., "subprocess.CompletedProcess[str]"]


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
def program(root: Path) -> Program:
    """`cellar-offline COMMAND ... --root ROOT`, in a process of its own."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cellar_offline", *map(str, arguments), "--root", str(root)]
        return subprocess.run(command, cwd=OFFLINE, capture_output=True, text=True, timeout=60)

    return run
