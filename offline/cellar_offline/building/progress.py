"""How far a build is: one line that is written over on a terminal; where there is none, a line for each thing done."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from cellar_offline.progress import size

PAUSE = 0.2  # seconds between two pictures of a line


class Steps:
    """May be used by several threads. `done` prints a line that stays; `add` counts bytes of something that goes on."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._drawn = 0.0

    def done(self, line: str) -> None:
        with self._lock:
            self._clear()
            self._out.write(f"  {line}\n")
            self._out.flush()

    def begin(self, what: str, total: int = 0) -> None:
        with self._lock:
            self._counts.setdefault(what, 0)
            self._totals[what] = self._totals.get(what, 0) + total

    def add(self, what: str, count: int) -> None:
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + count
            if self._terminal and time.monotonic() - self._drawn > PAUSE:
                self._draw()

    def end(self, what: str) -> None:
        with self._lock:
            self._clear()
            self._counts.pop(what, None)
            self._totals.pop(what, None)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        parts = [
            f"{what} {size(count)}" + (f" of {size(total)}" if (total := self._totals.get(what, 0)) else "")
            for what, count in self._counts.items()
        ]
        self._out.write("\r\x1b[K  " + " · ".join(parts)[:110])
        self._out.flush()

    def _clear(self) -> None:
        if self._terminal and self._drawn:
            self._out.write("\r\x1b[K")
