"""Keeps the memory of a virtual machine in large pieces while the suite runs on one that nobody else uses.

    python3 -m tools.memory      once, before anything is installed: plain Python alone

Where the host maps a guest's memory page by page, files that were read once and lie about in it make each page that is
looked up cost microseconds: measured on such a machine after hours of containers, a read at random of 64 MB took
8 to 13 µs instead of 0.2, `import jupyterhub.app` 6.5 s instead of 1.1, and JupyterLab's page 12 s of a processor
instead of 3. What is not in use is dropped and the rest moved together, which costs a second and gives it all back.
In that second the machine may stand still: what measures seconds runs without it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

SWITCHES = (("drop_caches", "3"), ("compact_memory", "1"))
EVERY = 120.0  # seconds


def tidy(folder: Path = Path("/proc/sys/vm")) -> bool:
    """Whether this machine let us: root's own Linux does, a container does not."""
    try:
        for name, value in SWITCHES:
            (folder / name).write_text(value)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def kept_tidy() -> Iterator[None]:
    """While the block runs."""
    over = threading.Event()

    def again() -> None:
        while tidy() and not over.wait(EVERY):
            pass

    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    thread = threading.Thread(target=again, name="tidy-memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    tidy()
