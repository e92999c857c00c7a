"""What the gateway adds to an answer: time to the first token, processor time for each event, memory.

"Added" is against the model server asked directly, percentile by percentile, in the same run: direct, nginx and ours
take turns. The load must not be the bottleneck itself: how much of a core clients and model server used beside the
gateway is a row of its own, and what they cost is in the direct figures too.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

from bench import gateway_load
from bench.gateway_load import PREFILL, Seen
from bench.gateway_stage import PACKAGES, PATH, Stage, Used, standing
from bench.report import Row, Section, percentile

STREAMS = {1: (1.0, 2.0), 20: (2.0, 5.0), 100: (8.0, 40.0)}
"""Streams -> what may be added at the median and at the 99th percentile, in ms."""
PEERS = {
    1: ("LiteLLM proxy: 16 ms", "LiteLLM proxy: 21 ms"),
    20: ("LiteLLM proxy: 165 ms", "LiteLLM proxy: 310 ms"),
    100: ("LiteLLM proxy: 1,370 ms", "LiteLLM proxy: 5,250 ms"),
}
"""Measured once in November 2026, at the median and at the 99th percentile."""
EVENTS = 8_000
ROUNDS = 3
PATIENCE = 900.0
"""Seconds for the requests of the memory section."""


@dataclass
class Arm:
    """Everything that one of the three was seen to do."""

    port: int
    first: list[float] = field(default_factory=list)  # seconds
    events: int = 0

    def add(self, seen: Seen) -> None:
        self.first += seen.first
        self.events += seen.events


def first_tokens(stage: Stage, count: int, seconds: float) -> tuple[list[Row], Arm, Used]:
    """Direct, nginx and ours by turns; what ours gave, and what it took."""
    direct, ours, used = Arm(stage.direct), Arm(stage.ours.port), Used()
    peer = None if stage.peer is None else Arm(stage.peer)
    for _ in range(ROUNDS):
        for arm in filter(None, (direct, peer)):
            arm.add(stage.streams(arm.port, count, seconds))
        stage.introduce(count)
        with stage.measured(used):
            ours.add(stage.streams(ours.port, count, seconds))
    rows = []
    for q, reach in zip((50, 99), STREAMS[count], strict=True):
        base = percentile(direct.first, q)
        added = (percentile(ours.first, q) - base) * 1e3
        nginx_added = "" if peer is None else f"nginx: {(percentile(peer.first, q) - base) * 1e3:.1f} ms"
        rows.append(
            Row(
                f"added time to first token, {count} stream{'s' if count > 1 else ''}, p{q}",
                added,
                "ms",
                reach,
                f"{percentile(ours.first, q) * 1e3:.1f} ms, direct {base * 1e3:.1f} ms, n={len(ours.first)}",
                "; ".join(filter(None, (nginx_added, PEERS[count][q == 99]))),
            )
        )
    return rows, ours, used


def without_prefill(stage: Stage, seconds: float) -> Row:
    stage.introduce(1)
    direct, ours = (stage.streams(port, 1, seconds, 0).first for port in (stage.direct, stage.ours.port))
    added = (percentile(ours, 50) - percentile(direct, 50)) * 1e3
    what = "the same before a model server without any prefill, 1 stream, p50: the commit shows"
    return Row(what, added, "ms", None, f"n={len(ours)}")


def processor(ours: Arm, used: Used) -> list[Row]:
    """What an event costs the gateway, and whether those who made the load had room left."""
    each = used.gateway / ours.events
    load = (used.clients + used.model) / used.wall
    return [
        Row(
            "processor time for each event",
            each * 1e6,
            "us",
            1e6 / EVENTS,
            f"{1 / each:.0f} events/s on one core (reach: {EVENTS}); {ours.events / used.wall:.0f}/s passed with "
            f"{used.gateway / used.wall:.0%} of its core, requests with their books included",
        ),
        Row(
            "clients and model server together, of their own core, at 100 streams",
            load * 100,
            "%",
            None,
            f"clients {used.clients / used.wall:.0%}, model server {used.model / used.wall:.0%}: not the bottleneck "
            "below some 70 %",
        ),
    ]


def section(seconds: float = 6) -> Section:
    with standing() as stage:
        stage.streams(stage.ours.port, 20, 3)  # warm
        rows: list[Row] = []
        for count in STREAMS:
            print(f"  {count} streams", file=sys.stderr, flush=True)
            found, ours, used = first_tokens(stage, count, seconds)
            rows += found
        rows += [without_prefill(stage, seconds), *processor(ours, used)]
    how = (
        f"Gateway and nginx on one core, clients, model server and hub on the rest; 50 tokens a second in each stream "
        f"after {PREFILL} ms of prefill; identity, policy, quota, fsynced audit (SQLite) on. Direct, nginx and ours by "
        f"turns, {ROUNDS} times {seconds:g} s each, with tokens that the gateway knows."
    )
    return Section("The gateway", how, rows, PACKAGES)


def memory_section(requests: int = 100_000) -> Section:
    """Whole and streamed answers by turns, as fast as they go."""
    with standing() as stage:
        marks: list[float] = []

        def ask(count: int, told: str) -> float:
            began = time.perf_counter()
            step = requests // 10
            for done in range(0, count, step):
                asked = min(step, count - done)
                stage.ask(gateway_load.questions(stage.ours.port, PATH, stage.tokens, asked, streamed=2))
                marks.append(stage.resident)
                rate = (done + asked) / (time.perf_counter() - began)
                said = f"  {told}{done + asked} requests, {rate:.0f}/s, {stage.resident:.1f} MB"
                print(said, file=sys.stderr, flush=True)
                if time.perf_counter() - began > PATIENCE:
                    raise SystemExit(f"only {done + asked} of {count} requests in {PATIENCE / 60:.0f} minutes")
            return rate

        used = Used()
        ask(requests // 10, "warm: ")
        with stage.measured(used):
            rate = ask(requests, "")
    warm, after = marks[0], marks[-1]
    seen = f"{warm:.1f} MB after the first {requests // 10}, then {', '.join(f'{each:.1f}' for each in marks[1:])}"
    how = (
        f"{requests} short requests after {requests // 10} to warm up, every second one streamed, 16 at once, as fast "
        "as they go; identity, policy, quota and fsynced audit on; resident memory of the gateway's process."
    )
    rows = [
        Row("growth of memory", (after / warm - 1) * 100, "%", 5, seen),
        Row(
            "processor time for each request",
            used.gateway / requests * 1e3,
            "ms",
            None,
            f"{rate:.0f} requests/s, 16 at once, {used.gateway / used.wall:.0%} of a core; each with its reservation, "
            "two audit records and its settlement",
        ),
    ]
    return Section("The gateway's memory", how, rows, PACKAGES)
