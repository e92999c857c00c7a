"""The wheel as a user gets it: built, then installed with its dependencies into a clean environment.

The environment is kept under build/ by the wheel's content, so that tests/packaging and tests/ui share it and a second
run with an unchanged wheel is quick; pip's own cache serves the downloads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "wheel-test"


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """stdout and stderr of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command], env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}"
    return done.stdout


def build_wheel() -> Path:
    """The wheel of this tree, made from scratch."""
    shutil.rmtree(BUILD / "dist", ignore_errors=True)
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1760000000"}
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", BUILD / "dist", ROOT, env=env)
    (wheel,) = (BUILD / "dist").glob("*.whl")
    return wheel


def contents_hash(wheel: Path) -> str:
    """Over names and contents: the same tree gives the same hash, whenever it was zipped."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            digest.update(name.encode() + b"\0" + archive.read(name))
    return digest.hexdigest()[:16]


def installed(wheel: Path) -> Path:
    """The Python of a clean environment in which the wheel, Notebook 7 and nothing else was installed."""
    place = BUILD / f"venv-{contents_hash(wheel)}"
    python = place / "bin" / "python"
    done = place / ".installed"
    if done.is_file():
        return python
    for old in BUILD.glob("venv-*"):
        shutil.rmtree(old)
    run(sys.executable, "-m", "venv", place)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, "notebook>=7.6,<8")
    done.touch()
    return python


def without_node(python: Path) -> dict[str, str]:
    """An environment in which only the programs beside `python` are found: no Node, no other Jupyter."""
    return {"PATH": str(python.parent), "HOME": str(BUILD), "JUPYTER_PREFER_ENV_PATH": "1", "LANG": "C.UTF-8"}
