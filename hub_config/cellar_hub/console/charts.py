"""Charts as SVG that needs no script: bars over days, a line over minutes. Pure: numbers in, markup out.

Colours come from the page's style sheet, by class; each mark has a title that a pointer and a screen reader find, and
the same numbers stand in a table beside the chart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, log10

import msgspec
from markupsafe import Markup

HEIGHT, BOTTOM, TOP = 200, 20, 18
"""Pixels; widths are shares, so that a chart is as wide as its page and its words stay as large."""
LABELS = 6  # that fit a phone
SPARK_WIDTH, SPARK_HEIGHT = 240, 48


class Bar(msgspec.Struct, frozen=True):
    """`parts` lie one on the other, in the order of the legend."""

    label: str
    parts: tuple[float, ...]
    title: str


def bars(data: Sequence[Bar], label: str, short: Callable[[float], str]) -> Markup:
    """`label` says what is drawn; `short(number)` writes the axis' numbers."""
    most = nice_top(max((sum(each.parts) for each in data), default=0))
    tall, step = HEIGHT - BOTTOM - TOP, 100 / max(1, len(data))
    pieces = [Markup('<svg class="chart" width="100%" height="{}" role="img" aria-label="{}">').format(HEIGHT, label)]
    for half in (0, 1, 2):
        y = TOP + tall * (1 - half / 2)
        pieces.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(y))
    for place, each in enumerate(data):
        pieces.append(_bar(each, place * step, step, most, tall))
        if place % max(1, ceil(len(data) / LABELS)) == 0:
            tick = '<text class="tick" x="{:.2f}%" y="{}" text-anchor="middle">{}</text>'
            pieces.append(Markup(tick).format((place + 0.5) * step, HEIGHT - 4, each.label))
    for half in (1, 2) if most else ():
        y = TOP + tall * (1 - half / 2)
        pieces.append(
            Markup('<text class="tick axis" x="2" y="{:.1f}">{}</text>').format(y - 4, short(most * half / 2))
        )
    return Markup("").join([*pieces, Markup("</svg>")])


def _bar(bar: Bar, left: float, step: float, most: float, tall: float) -> Markup:
    pieces = [
        Markup("<g><title>{}</title>").format(bar.title),
        Markup('<rect class="hover" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"/>').format(left, TOP, step, tall),
    ]
    base = TOP + tall
    for number, part in enumerate(bar.parts):
        high = tall * part / most if most else 0.0
        base -= high
        rect = '<rect class="part-{}" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}"/>'
        pieces.append(Markup(rect).format(number, left + step * 0.12, base, step * 0.76, high))
    return Markup("").join([*pieces, Markup("</g>")])


def line(values: Sequence[float | None], label: str, most: float | None = None) -> Markup:
    """Oldest first; None: not known then. `most`: what the top is; absent: the largest value."""
    top = most or nice_top(max((each for each in values if each is not None), default=0)) or 1
    step = SPARK_WIDTH / max(1, len(values) - 1)
    head = '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">'
    pieces = [Markup(head).format(SPARK_WIDTH, SPARK_HEIGHT, label)]
    run: list[str] = []
    for place, value in enumerate([*values, None]):
        if value is not None:
            high = min(1.0, value / top)
            run.append(f"{place * step:.1f},{SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * high:.1f}")
        elif run:
            first, last = run[0].partition(",")[0], run[-1].partition(",")[0]
            area = " ".join([f"{first},{SPARK_HEIGHT}", *run, f"{last},{SPARK_HEIGHT}"])
            pieces.append(Markup('<polygon class="area" points="{}"/>').format(area))
            pieces.append(Markup('<polyline class="stroke" points="{}"/>').format(" ".join(run)))
            run = []
    return Markup("").join([*pieces, Markup("</svg>")])


def nice_top(value: float) -> float:
    """The next round number that is not below; 0 for nothing."""
    if value <= 0:
        return 0
    power = 10 ** floor(log10(value))
    return next(float(factor * power) for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= value)
