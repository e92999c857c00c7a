"""The folder of a proof, and what one that was killed has left: an engine that still runs, with mounts in its folder.

What is mounted in a folder is somebody else's: it is unmounted before anything in the folder is deleted, and a folder
in which something stays mounted stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "cellar-proof-"
LOCK, PID = "lock", "pid"
PATIENCE = 60.0  # seconds for an engine to stop
MOUNTS = Path("/proc/self/mountinfo")


@contextlib.contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """A new folder, which goes at the end. Those of proofs that were killed go before."""
    for old in sorted(parent.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            sweep(old)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    with (folder / f".{LOCK}").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.rename(held.name, folder / LOCK)  # what can be swept has a lock, and this one is held
        try:
            yield folder
        finally:
            if not remove(folder):
                print(f"  {folder} stays: something is mounted in it ({', '.join(mounts(folder))})", flush=True)


def sweep(folder: Path) -> None:
    """End the engine that a killed proof has left running, and remove its folder; nothing where a proof is at work, or
    where the folder is another user's. OSError."""
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return
    with (folder / LOCK).open("r") as held:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end_engine(folder)
            end_containers(folder)
            remove(folder)


def _end_engine(folder: Path) -> None:
    """The one whose number stands in `folder`, if it is still that one: numbers are given again."""
    try:
        pid = int((folder / PID).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if os.fsencode(f"{folder}/") not in command:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if not _lives(pid):
                return
            time.sleep(0.1)


def end_containers(folder: Path) -> None:
    """Those of an engine that was killed itself: each has a shim, which knows the engine's socket in `folder`."""
    mark = os.fsencode(f"{folder}/exec/")
    parents: dict[int, int] = {}
    shims = set()
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(each.name)] = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if mark in (each / "cmdline").read_bytes():
                shims.add(int(each.name))
    for pid, parent in parents.items():
        if pid in shims or parent in shims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def mounts(folder: Path, table: Path = MOUNTS) -> list[str]:
    """Where something is mounted below the folder, what was mounted last first."""
    top = folder.resolve()
    places = (line.split(b" ")[4] for line in table.read_bytes().splitlines())
    plain = (os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), each)) for each in places)
    return [each for each in plain if top in (Path(each), *Path(each).parents)][::-1]


def remove(folder: Path) -> bool:
    """The folder and all of it that is on no file system of its own; False where something stays mounted, and it."""
    for place in mounts(folder):
        subprocess.run(["umount", "-l", place], capture_output=True)
    if mounts(folder):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True
