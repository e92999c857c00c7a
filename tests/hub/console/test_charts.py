"""Charts are drawn from numbers alone, and rates from what the gateway counted."""

from __future__ import annotations

import xml.etree.ElementTree as Tree

import msgspec
import pytest
from cellar_hub.console.charts import Bar, bars, line, nice_top
from cellar_hub.console.live import Rates, Sample, first_tokens, quantile, rates
from cellar_hub.gateway.state import Bucket, GatewayState

EMPTY = GatewayState(
    name="gateway-1",
    version="0",
    gateways=1,
    draining=False,
    hub_up=True,
    database_up=True,
    policy_ok=True,
    users=0,
    requests={},
    refusals={},
    tokens={},
    first_token=(),
    queued=(),
    servers=(),
)


def drawn(markup: str) -> Tree.Element:
    return Tree.fromstring(str(markup))


def test_a_bar_is_as_high_as_its_parts_and_says_its_numbers() -> None:
    found = drawn(bars([Bar("1", (30.0, 10.0), "<b>40</b>"), Bar("2", (0.0, 0.0), "none")], "Tokens & days", str))
    assert found.attrib["aria-label"] == "Tokens & days"
    first, second = found.findall("g")
    title = first.find("title")
    assert title is not None and title.text == "<b>40</b>"
    heights = [float(rect.attrib["height"]) for rect in first.findall("rect")[1:]]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.01)
    assert [rect.attrib["height"] for rect in second.findall("rect")[1:]] == ["0.0", "0.0"]


def test_a_chart_of_nothing_is_empty_and_whole() -> None:
    assert drawn(bars([], "none", str)).findall("g") == []
    assert drawn(line([], "none")).tag == "svg"


def test_a_line_has_a_gap_where_nothing_was_known() -> None:
    found = drawn(line([1.0, 2.0, None, 4.0, 4.0], "queue"))
    assert len(found.findall("polyline")) == 2
    assert len(drawn(line([None, None], "queue"))) == 0


@pytest.mark.parametrize(("value", "top"), [(0, 0), (1, 1), (1.2, 1.5), (7, 8), (99, 100), (2_450_000, 3_000_000)])
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice_top(value) == top


def state(requests: int, tokens: int, errors: int, *counts: int) -> GatewayState:
    bounds: list[float | None] = [0.1, 1.0, None]
    buckets = tuple(Bucket(bound, count) for bound, count in zip(bounds, counts, strict=True))
    return msgspec.structs.replace(
        EMPTY,
        requests={"complete": requests - errors, "error": errors},
        tokens={"completion": tokens},
        first_token=buckets,
        queued=buckets,
    )


def test_rates_are_what_was_counted_between_the_first_and_the_last_sample_of_the_window() -> None:
    samples = [
        Sample(0.0, state(1000, 0, 0, 0, 0, 0)),  # older than the window
        Sample(700.0, state(1000, 5_000, 10, 100, 100, 100)),
        Sample(710.0, None, "away"),
        Sample(760.0, state(1060, 8_000, 13, 130, 160, 160)),
    ]
    found = rates(samples, now=760.0, window=300.0)
    assert (found.requests_per_minute, found.tokens_per_second, found.failed) == (60.0, 50.0, 0.05)
    assert found.first_token == (pytest.approx(0.1), pytest.approx(0.91))


def test_a_gateway_that_began_anew_counts_from_there_and_one_sample_tells_no_rate() -> None:
    samples = [Sample(0.0, state(500, 10, 0, 0, 0, 0)), Sample(10.0, state(3, 1, 0, 0, 0, 0))]
    assert rates(samples, now=10.0) == Rates()
    assert rates([], now=10.0) == Rates()
    later = [*samples, Sample(20.0, state(9, 101, 0, 0, 0, 0))]
    assert rates(later, now=20.0).tokens_per_second == 10.0


def test_the_line_of_first_tokens_is_the_median_of_the_minutes_before_each_sample() -> None:
    samples = [
        Sample(0.0, state(10, 0, 0, 5, 10, 10)),
        Sample(100.0, state(20, 0, 0, 5, 20, 20)),  # ten more, all between 0.1 and 1 s
        Sample(110.0, None, "away"),
        Sample(390.0, state(20, 0, 0, 5, 20, 20)),  # nothing since 90.0
        Sample(400.0, state(2, 0, 0, 2, 2, 2)),  # began anew
        Sample(410.0, state(6, 0, 0, 6, 6, 6)),
    ]
    found = first_tokens(samples, window=300.0)
    assert found == [None, pytest.approx(0.55), None, pytest.approx(None), None, pytest.approx(0.05)]
    assert found[1] == rates(samples[:2], now=100.0).first_token[0], "the line ends at the number beside it"
    assert first_tokens([]) == []


def test_a_quantile_beyond_the_last_bound_is_that_bound_and_of_nothing_there_is_none() -> None:
    assert quantile([Bucket(0.1, 0), Bucket(1.0, 0), Bucket(None, 5)], 0.5) == 1.0
    assert quantile([Bucket(0.1, 0), Bucket(None, 0)], 0.5) is None
    assert quantile([], 0.5) is None
