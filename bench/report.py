"""Rows of results and the page they are written to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], q: float) -> float:
    """Nearest-rank percentile, `q` in 0..100."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q / 100 * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], unit: str = "ms", digits: int = 1) -> str:
    """ "12.3 ms (9.0 to 20.1, n=15)": median, extremes, how often."""
    return f"{median(values):.{digits}f} {unit} ({min(values):.{digits}f} to {max(values):.{digits}f}, n={len(values)})"


@dataclass
class Row:
    """One figure. `reach`: the design's bound, in the figure's own unit."""

    what: str
    value: float
    unit: str
    reach: float | None = None
    detail: str = ""
    against: str = ""
    least: float | None = None  # instead of `reach`, where more is better

    @property
    def met(self) -> bool | None:
        if self.least is not None:
            return self.value >= self.least
        return None if self.reach is None else self.value <= self.reach

    def line(self) -> str:
        digits = 0 if self.value >= 100 or self.unit in ("bytes", "packages", "times") else 2 if self.value < 10 else 1
        verdict = {None: "", True: "yes", False: "**no**"}[self.met]
        reach = "" if self.reach is None else f"<= {self.reach:g}"
        reach = reach if self.least is None else f">= {self.least:g}"
        cells = (self.what, f"**{self.value:.{digits}f} {self.unit}**", reach, verdict, self.detail, self.against)
        return "| " + " | ".join(cells) + " |"


HEADER = "| what | measured | reach | met | spread | against, in the same run |\n| --- | --- | --- | --- | --- | --- |"


@dataclass
class Section:
    title: str
    how: str
    rows: list[Row]
    packages: tuple[str, ...] = ("jupyterlab", "jupyter_server", "tornado", "httpx", "msgspec")
    """Those whose versions matter."""

    def text(self) -> str:
        table = [HEADER, *(row.line() for row in self.rows), ""] if self.rows else []
        return "\n".join([f"## {self.title}", "", self.how, "", *table])
