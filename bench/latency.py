"""From Enter to the model server, and from the model server to the screen."""

from __future__ import annotations

from playwright.sync_api import Browser

from bench import notebooks, stage
from bench.peers import NBI
from bench.report import Row, Section, median, percentile, spread
from bench.stage import Lab, Model, Stage

RUNS = 15


def _enter_to_model(on: Stage, runs: int) -> tuple[list[float], list[float]]:
    """ms from Enter to the request at the model server, and to the posted turn; each in a new conversation."""
    to_model, to_post = [], []
    for _ in range(runs):
        on.new_conversation()
        on.model.reset()
        on.model.use({"text": "ok ENDMARK"})
        on.ask()
        request = on.model.wait(requests=1)[0]
        times = on.wait_painted()
        to_model.append((request["received_ns"] - on.clock.to_ns(times["enter"])) / 1e6)
        to_post.append(times["posted"] - times["enter"])
    return to_model, to_post


def _first_question(running: Browser, fake: Model) -> float:
    with stage.lab(fake.url) as server, stage.stage(running, server, fake) as on:
        return _enter_to_model(on, 1)[0][0]


def questions(running: Browser, server: Lab, fake: Model) -> Section:
    first = [_first_question(running, fake) for _ in range(3)]
    with stage.stage(running, server, fake) as on:
        small, _ = _enter_to_model(on, RUNS)
    server.write("large.ipynb", notebooks.large())
    with stage.stage(running, server, fake, "large.ipynb") as on:
        large, posted = _enter_to_model(on, RUNS)
        error = on.clock.error_ms
    return Section(
        "A question on its way",
        f"Chromium, real JupyterLab, fake model server on loopback; clocks agree to {error:.2f} ms.",
        [
            Row(
                "Enter -> request at the model server, 20 cells attached",
                median(small),
                "ms",
                15,
                spread(small),
                NBI["enter"],
            ),
            Row(
                "the same, first question after the server's start",
                median(first),
                "ms",
                60,
                spread(first),
                NBI["first question"],
            ),
            Row("the same, 200 cells (100 kB source, 2 MB outputs), p50", median(large), "ms", 50, spread(large), "-"),
            Row(
                "context of that notebook, in the browser until posted, p95",
                percentile(posted, 95),
                "ms",
                30,
                spread(posted),
                "-",
            ),
        ],
    )


def answers(running: Browser, server: Lab, fake: Model) -> Section:
    rows = []
    with stage.stage(running, server, fake) as on:
        for rate in (50, 200):
            first, last = _drawn(on, rate)
            rows += [
                Row(
                    f"first model chunk -> in the DOM, {rate} tok/s",
                    median(first),
                    "ms",
                    8,
                    spread(first),
                    NBI["first chunk"],
                ),
                Row(f"last chunk -> painted, {rate} tok/s", median(last), "ms", 16, spread(last), NBI["last chunk"]),
            ]
        whole = [_full_speed(on) for _ in range(5)]
    rows.append(
        Row(
            "last chunk -> whole answer on screen, 4,000 tokens at full speed",
            median(whole),
            "ms",
            100,
            spread(whole),
            NBI["full speed"],
        )
    )
    return Section(
        "An answer on its way",
        "Fake model server, 300 ms of prefill, plain text answers; headless Chromium at 60 frames/s.",
        rows,
    )


def _drawn(on: Stage, rate: int) -> tuple[list[float], list[float]]:
    first, last = [], []
    for _ in range(RUNS):
        on.new_conversation()
        on.model.reset()
        tokens = [*(f"word{i} " for i in range(rate)), "ENDMARK"]
        on.model.use({"tokens": tokens, "rate": rate, "prefill": "after_headers"})
        on.ask("Go on")
        on.model.wait(waiting=1)
        on.page.wait_for_timeout(300)  # a real model reads the prompt; the page waits for it by then
        on.model.release()
        request = on.model.wait(finished=1)[0]
        times = on.wait_painted()
        first.append((on.clock.to_ns(times["first"]) - request["first_ns"]) / 1e6)
        last.append((on.clock.to_ns(times["painted"]) - request["last_ns"]) / 1e6)
    return first, last


def _full_speed(on: Stage) -> float:
    on.new_conversation()
    on.model.reset()
    words = [f" w{i}" if i % 60 else f"\n\nw{i}" for i in range(3999)]
    on.model.use({"tokens": [*words, " ENDMARK"]})
    on.ask("Everything at once")
    request = on.model.wait(finished=1)[0]
    times = on.wait_painted()
    return float(on.clock.to_ns(times["painted"]) - request["last_ns"]) / 1e6
