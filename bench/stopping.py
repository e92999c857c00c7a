"""From the click on Stop to the closed connection at the model server."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser

from bench import stage
from bench.peers import NBI
from bench.report import Row, Section, median, spread
from bench.stage import Lab, Model, Stage

RUNS = 10
STATES: dict[str, tuple[dict[str, Any], str]] = {
    "streaming": ({"words": 5_000, "rate": 50}, NBI["stop streaming"]),
    "pre-filling": ({"text": "late", "prefill": "before_headers"}, NBI["stop pre-filling"]),
    "queued": ({"text": "late", "queue": [[3, 5], [2, 4]], "queue_gated": True, "prefill": "after_headers"}, "-"),
}


def stops(running: Browser, server: Lab, fake: Model) -> Section:
    rows = []
    with stage.stage(running, server, fake) as on:
        for name, (scenario, peer) in STATES.items():
            found = [_stop(on, name, scenario) for _ in range(RUNS)]
            rows.append(Row(f"click -> FIN, {name}", median(found), "ms", 30, spread(found), peer))
    return Section("Stop", "From the click's time stamp to the FIN that the fake model server reads.", rows)


def _stop(on: Stage, name: str, scenario: dict[str, Any]) -> float:
    on.new_conversation()
    on.model.reset()
    on.model.use(scenario)
    on.ask("Stop me")
    if name == "streaming":
        on.model.wait(requests=1)
        on.page.wait_for_function("__bench.first > 0")
    else:
        on.model.wait(waiting=1)
        if name == "queued":
            on.model.release(1)
            on.model.wait(waiting=1)
    on.page.wait_for_timeout(400)
    on.page.locator(".jp-Cellar-stop").click()
    fin = on.model.wait(aborted=1)[0]["fin_ns"]
    return float(fin - on.clock.to_ns(on.times()["click"])) / 1e6
