"""From a closed connection to a server that works on nothing: the time in which a GPU still computes for nobody."""

from __future__ import annotations

import time

import httpx

from bench.report import Row, median, spread
from tests.vllm.contract.conftest import Served

RUNS = 5
RUNNING = "vllm:num_requests_running"


def rows(served: Served, gateway: str, gateway_token: str) -> list[Row]:
    found = {
        "directly": [_stop(served, served.root, served.key) for _ in range(RUNS)],
        "through the gateway": [_stop(served, gateway, gateway_token) for _ in range(RUNS)],
    }
    return [Row(f"stop -> nothing runs, {how}", median(each), "ms", 1000, spread(each)) for how, each in found.items()]


def _stop(served: Served, root: str, key: str) -> float:
    """Milliseconds, to some 30 ms: the metric is asked again and again."""
    body = {
        "model": served.model,
        "messages": [{"role": "user", "content": "Count as far as you can."}],
        "stream": True,
        "max_tokens": 2000,
        "ignore_eos": True,
    }
    with httpx.Client(trust_env=False, timeout=120, headers={"authorization": f"Bearer {key}"}) as http:
        with http.stream("POST", f"{root}/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            next(answer.iter_raw())
            began = time.perf_counter()
    served.wait_for(RUNNING, 0, 30)
    return 1000 * (time.perf_counter() - began)
