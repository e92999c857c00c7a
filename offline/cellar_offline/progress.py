"""How far it is: one line that is written over on a terminal, one in ten seconds where there is none."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """`total` in bytes; call it with the bytes that were done."""

    def __init__(self, what: str, total: int, out: TextIO | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.out = out or sys.stderr
        self.terminal = self.out.isatty()
        self.began = time.monotonic()
        self.told = self.began

    def __call__(self, size: int) -> None:
        self.done += size
        now = time.monotonic()
        if now - self.told >= (0.5 if self.terminal else 10.0):
            self.told = now
            self._tell("\r" if self.terminal else "")

    def end(self) -> None:
        if self.told > self.began and self.terminal:
            self._tell("\r")
            self.out.write("\n")

    def _tell(self, before: str) -> None:
        speed = self.done / max(time.monotonic() - self.began, 0.001)
        line = f"  {self.what}: {size(self.done)} of {size(self.total)}, {size(int(speed))}/s"
        self.out.write(f"{before}{line:<70}" if before else f"{line}\n")
        self.out.flush()


def size(count: int) -> str:
    """1536: "1.5 KiB"."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return ""
