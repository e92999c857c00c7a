"""Folders in which something may be mounted, and how they are removed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")


def remove_tree(folder: Path) -> bool:
    """What is mounted in it is somebody else's, and is unmounted first. False where it cannot be: then all stays."""
    for place in mounted_in(folder):
        subprocess.run(["umount", "-l", place], capture_output=True)
    if mounted_in(folder):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def mounted_in(folder: Path, table: Path = TABLE) -> list[str]:
    """Where something is mounted in or on a folder, what was mounted last first."""
    if not table.is_file():  # no Linux
        return []
    escaped = (line.split(b" ")[4] for line in table.read_bytes().splitlines())
    places = [os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), each)) for each in escaped]
    top = folder.resolve()
    return [each for each in places if top in (Path(each), *Path(each).parents)][::-1]
