"""The log of what was refused: one line each, bounded in length and number, so that nobody can fill a disk with it."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST = 20  # lines at once
PER_SECOND = 1.0  # lines, on average
LONGEST = 160  # characters of a target or a reason


class RefusalLog:
    """Writes through `write`; what is over the bound is counted and told with the next line."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._tokens, self._at = float(BURST), clock()
        self._left_out = 0

    def add(self, method: str, target: str, reason: str, status: int) -> None:
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._at) * PER_SECOND)
        self._at = now
        if self._tokens < 1:
            self._left_out += 1
            return
        self._tokens -= 1
        more = f" ({self._left_out} more were refused and not written)" if self._left_out else ""
        self._left_out = 0
        self._write(f"refused {status}: {_cut(method, 16)} {_cut(target.partition('?')[0])}: {_cut(reason)}{more}")


def _cut(text: str, longest: int = LONGEST) -> str:
    """Printable ASCII on one line."""
    shown = ascii(text[:longest])[1:-1]
    return shown[:longest] + ("..." if len(text) > longest else "")
