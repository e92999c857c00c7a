"""Long answers: what they cost the browser's main thread, the server and the wire."""

from __future__ import annotations

import threading
import time
from typing import Any

import psutil
from playwright.sync_api import Browser

from bench import relay, stage
from bench.peers import NBI
from bench.report import Row, Section, median, percentile, spread
from bench.stage import Lab, Model, Stage
from tests.fakes import answers
from tests.ui.lab import TOKEN

TOKENS = 1_560


def markdown(running: Browser, server: Lab, fake: Model) -> Section:
    rows: list[Row] = []
    with stage.stage(running, server, fake) as on:
        for maths in (False, True):
            runs = [_markdown_run(on, maths) for _ in range(3)]
            name = "with maths" if maths else "tables and code"
            last, long, busy = ([run[k] for run in runs] for k in range(3))
            rows += [
                Row(f"{name}: last chunk -> whole answer", median(last), "ms", 30, spread(last), NBI["markdown last"]),
                Row(
                    f"{name}: main-thread tasks over 50 ms, their sum",
                    median(long),
                    "ms",
                    0,
                    spread(long),
                    NBI["markdown long"],
                ),
                Row(
                    f"{name}: main thread busy in the 15.6 s",
                    median(busy),
                    "s",
                    2,
                    spread(busy, "s", 2),
                    NBI["markdown busy"],
                ),
            ]
    how = f"{TOKENS:,} chunks of Markdown at 100 tok/s; busy time is Chromium's TaskDuration of the page."
    return Section("A long Markdown answer", how, rows)


def _markdown_run(on: Stage, maths: bool) -> tuple[float, float, float]:
    """ms from the last chunk to the whole answer; ms in long tasks; s of busy main thread while it streamed."""
    on.new_conversation()
    on.model.reset()
    tokens = answers.markdown(TOKENS - 1, maths)
    on.model.use({"tokens": [*tokens, "\n\nENDMARK"], "rate": 100})
    on.ask("Explain at length")
    on.model.wait(requests=1)
    before = on.busy_seconds()
    while on.model.requests()[0]["outcome"] == "running":
        on.page.wait_for_timeout(500)
    request = on.model.requests()[0]
    busy = on.busy_seconds() - before
    times = on.wait_painted()
    long = sum(duration for _, duration in times["tasks"])
    return (on.clock.to_ns(times["painted"]) - request["last_ns"]) / 1e6, long, busy


def cost(running: Browser, server: Lab, fake: Model) -> Section:
    with stage.stage(running, server, fake) as on:
        cpu = [_cpu_per_token(on, server, fake) for _ in range(3)]
        per_token = _bytes_per_token(on)
        waits, quiet = _waits(on, server)
    bare = [relay.cpu_per_token(fake.url) for _ in range(3)]
    return Section(
        "What streaming costs",
        "One answer, one page. CPU is user + system time of JupyterLab's server process, idle polls included.",
        [
            Row(
                "server CPU per token at 200 tok/s",
                median(cpu),
                "ms",
                0.5,
                spread(cpu, digits=2),
                f"a bare httpx-to-tornado relay: {spread(bare, digits=2)}; {NBI['cpu']}",
            ),
            Row(
                "bytes to the browser per token at 50 tok/s",
                per_token,
                "bytes",
                60,
                "body of the events response",
                NBI["bytes"],
            ),
            Row(
                "worst wait of another request to the same server",
                max(waits),
                "ms",
                12,
                _tail(waits),
                f"with nothing streaming: worst {max(quiet):.1f}, {_tail(quiet)}; {NBI['wait']}",
            ),
        ],
    )


def _tail(waits: list[float]) -> str:
    return f"p50 {median(waits):.1f}, p99 {percentile(waits, 99):.1f}, n={len(waits)}"


def _stream(on: Stage, tokens: int, rate: int) -> None:
    on.new_conversation()
    on.model.reset()
    on.model.use({"tokens": [*(f" w{i % 100}" for i in range(tokens - 1)), " ENDMARK"], "rate": rate})
    on.ask("Count")
    on.model.wait(requests=1)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_per_token(on: Stage, server: Lab, fake: Model) -> float:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    tokens = 2_000
    _stream(on, tokens, 200)
    before = _cpu_seconds(process)
    fake.wait(finished=1)
    return (_cpu_seconds(process) - before) / tokens * 1e3


def _bytes_per_token(on: Stage) -> float:
    total = 0
    events: set[str] = set()

    def opened(event: dict[str, Any]) -> None:
        if "/events" in event["request"]["url"]:
            events.add(event["requestId"])

    def received(event: dict[str, Any]) -> None:
        nonlocal total
        if event["requestId"] in events:
            total += event["dataLength"]

    on.cdp.send("Network.enable")
    on.cdp.on("Network.requestWillBeSent", opened)
    on.cdp.on("Network.dataReceived", received)
    tokens = 500
    _stream(on, tokens, 50)
    on.wait_painted()
    on.cdp.send("Network.disable")
    return total / tokens


def _waits(on: Stage, server: Lab) -> tuple[list[float], list[float]]:
    """ms that `GET api` took while an answer streamed, and while nothing did."""
    quiet = _ask_again(server, 6.0)
    _stream(on, 1_600, 200)
    return _ask_again(server, 6.0), quiet


def _ask_again(server: Lab, seconds: float) -> list[float]:
    waits: list[float] = []

    def work() -> None:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            connection.request("GET", "/api", headers={"Authorization": f"token {TOKEN}"})
            connection.getresponse().read()
            waits.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.015)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return waits
