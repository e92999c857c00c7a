"""One clock for browser, servers and this process: CLOCK_MONOTONIC in nanoseconds."""

from __future__ import annotations

import time

from playwright.sync_api import Page

SAMPLES = 60


class PageClock:
    """Turns a page's `performance.now()` (ms) into monotonic nanoseconds. Error: below half the best round trip."""

    def __init__(self, page: Page) -> None:
        best: tuple[int, float] | None = None
        for _ in range(SAMPLES):
            before = time.monotonic_ns()
            there = float(page.evaluate("performance.now()"))
            after = time.monotonic_ns()
            if best is None or after - before < best[0]:
                best = (after - before, (before + after) / 2 - there * 1e6)
        assert best is not None
        self.error_ms = best[0] / 2e6
        self._offset = best[1]

    def to_ns(self, page_ms: float) -> float:
        return self._offset + page_ms * 1e6
