"""Many users' tokens in turn: what identity costs when the hub must be asked, and when it is remembered.

Every token is one of a real JupyterHub, which is asked on its own API. A token that is known is believed for 30 s, and
from the 20th second on asked for again behind a request; JupyterHub answers some hundred a second, so with thousands of
users in turn it is the hub that sets the pace for tokens nobody knows yet.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass

import httpx

from bench import gateway_load
from bench.gateway_stage import PACKAGES, PATH, Stage, standing
from bench.report import Row, Section, percentile
from tests.hub.jupyter import GROUP

_ASKED = re.compile(
    r"^jupyterhub_request_duration_seconds_count\{[^}]*SelfAPIHandler[^}]*\} ([0-9.e+]+)$", re.MULTILINE
)
KNOWN = 12.0
"""Seconds of new tokens that are asked with again at once: none of them is old enough to be asked for anew."""


def make_users(stage: Stage, count: int) -> list[str]:
    """Their tokens. Users and group in few calls; JupyterHub makes tokens one at a time."""
    names = [f"user{n}" for n in range(count)]
    for start in range(0, count, 500):
        stage.hub.ask("POST", "/users", {"usernames": names[start : start + 500]})
        stage.hub.ask("POST", f"/groups/{GROUP}/users", {"users": names[start : start + 500]})
    tokens = []
    for n, name in enumerate(names):
        tokens.append(stage.hub.token(name))
        if n % 1000 == 999:
            print(f"  {n + 1} tokens made", file=sys.stderr, flush=True)
    return tokens


def hub_was_asked(stage: Stage) -> int:
    """How often the hub has said who bears a token, by its own count."""
    headers = {"authorization": f"token {stage.hub.admin_token}"}
    said = httpx.get(f"{stage.hub.url}/hub/metrics", headers=headers, timeout=60)
    said.raise_for_status()
    return int(sum(float(each) for each in _ASKED.findall(said.text)))


@dataclass
class Pass:
    """One round of questions. `first`: seconds of each."""

    requests: int
    took: float
    first: list[float]
    hub: int
    began: float

    @property
    def rate(self) -> float:
        return self.requests / self.took

    def __str__(self) -> str:
        times = f"p50 {percentile(self.first, 50) * 1e3:.1f}, p99 {percentile(self.first, 99) * 1e3:.1f} ms"
        return f"{self.rate:.0f} requests/s; {times}; the hub was asked {self.hub} times for {self.requests} requests"


def ask(stage: Stage, port: int, tokens: list[str], total: int, at_once: int) -> Pass:
    before, began = hub_was_asked(stage), time.perf_counter()
    seen = stage.ask(gateway_load.questions(port, PATH, tokens, total, at_once))
    took = time.perf_counter() - began
    return Pass(total, took, seen.first, hub_was_asked(stage) - before, began)


def _row(what: str, found: Pass, direct: Pass, q: float) -> Row:
    added = (percentile(found.first, q) - percentile(direct.first, q)) * 1e3
    return Row(
        f"{what}: added, p{q:g}", added, "ms", None, str(found) if q == 50 else "", str(direct) if q == 50 else ""
    )


def measure(stage: Stage, count: int) -> list[Row]:
    tokens = make_users(stage, count)
    direct = {at_once: ask(stage, stage.direct, tokens, 2000, at_once) for at_once in (1, 16)}
    memory = stage.resident
    print("  new tokens", file=sys.stderr, flush=True)
    new = ask(stage, stage.ours.port, tokens, count, 16)
    young = tokens[-max(16, int(new.rate * KNOWN)) :]
    print(f"  {len(young)} known tokens", file=sys.stderr, flush=True)
    busy = ask(stage, stage.ours.port, young, max(len(young), 2000), 16)
    ask(stage, stage.ours.port, tokens[: len(young)], len(young), 16)  # these are young again
    alone = ask(stage, stage.ours.port, tokens[: len(young)], 1000, 1)
    one = ask(stage, stage.ours.port, [stage.hub.token("user0")], 500, 100)
    rows = []
    for what, found, base in (
        (f"{count} tokens in turn, none of them known, 16 at once", new, direct[16]),
        (f"{len(young)} known tokens in turn, 16 at once", busy, direct[16]),
        ("known tokens in turn, one request at a time", alone, direct[1]),
    ):
        rows += [_row(what, found, base, q) for q in (50, 99)]
    return [
        *rows,
        Row(
            "one new token on 100 connections at once: the hub is asked",
            one.hub,
            "times",
            1,
            f"{one.requests} requests",
        ),
        Row(
            "memory for these users and the load",
            stage.resident - memory,
            "MB",
            None,
            f"{memory:.0f} MB before",
        ),
    ]


def section(count: int = 5_000) -> Section:
    with standing() as stage:
        stage.streams(stage.ours.port, 20, 2)  # warm
        rows = measure(stage, count)
    how = (
        "Answers of one token, not streamed; real hub tokens of a real JupyterHub (SQLite) on the other core. "
        "Identity, policy, quota and fsynced audit on. The hub sets the pace for tokens that are not known."
    )
    return Section(f"{count} users' tokens in turn", how, rows, PACKAGES)
