"""What the gateway adds to an answer: time to the first token, processor time for each event, memory.

    python -m bench.gateway [--seconds 20] [--requests 100000] [--users 5000]

A real JupyterHub, the gateway as its own process with everything on (identity, policy, quotas, an fsynced audit in
SQLite), a model server that costs nearly nothing, and nginx before the same model server as the peer. Gateway and nginx
run on the first core, everything else on the others. "Added" is against the model server asked directly, percentile by
percentile, in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import uvloop

from bench import gateway_load, machine
from bench.gateway_load import PREFILL, Seen
from bench.report import Row, Section, percentile
from tests.fakes.fixtures import unused_port
from tests.hub import jupyter
from tests.hub.gateway import process

PATH = "/v1/chat/completions"
STREAMS = {1: (1.0, 2.0), 20: (2.0, 5.0), 100: (8.0, 40.0)}
"""Streams -> what may be added at the median and at the 99th percentile, in ms."""
PEERS = {
    1: "LiteLLM proxy: 16 ms, p99 21",
    20: "LiteLLM proxy: 165 ms, p99 310",
    100: "LiteLLM proxy: 1,370 ms, p99 5,250",
}
EVENTS = 8_000
POLICY = """
[default]
tokens_per_day = 100000000000
tokens_per_month = 1000000000000
requests_per_minute = 1000000
max_running = 1000
max_waiting = 1000
"""
NGINX = """
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log warn;
daemon off;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    upstream model {{ server 127.0.0.1:{model}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


@contextlib.contextmanager
def model_server() -> Iterator[int]:
    port = unused_port()
    with subprocess.Popen([sys.executable, "-m", "bench.gateway_model", str(port)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline() == b"ready\n"
        try:
            yield port
        finally:
            server.terminate()


@contextlib.contextmanager
def nginx(home: Path, model: int) -> Iterator[int | None]:
    """None where it is not installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        print("nginx is missing (apt-get install nginx): the gateway is compared with the model server alone")
        yield None
        return
    port = unused_port()
    config = home / "nginx.conf"
    config.write_text(NGINX.format(home=home, model=model, port=port))
    with subprocess.Popen([binary, "-p", str(home), "-c", str(config)]) as server:
        pin(server.pid, {0})
        time.sleep(0.5)
        try:
            yield port
        finally:
            server.terminate()


@contextlib.contextmanager
def gateway(home: Path, model: int, hub: jupyter.Hub) -> Iterator[process.GatewayProcess]:
    (home / "policy.toml").write_text(POLICY)
    env = {
        "VLLM_BASE_URL": f"http://127.0.0.1:{model}/v1",
        "CELLAR_DATA": str(home / "data"),
        "CELLAR_HUB_API_URL": hub.api,
        "CELLAR_GATEWAY_TOKEN": hub.gateway_token,
        "CELLAR_POLICY": str(home / "policy.toml"),
        "CELLAR_MAX_INFLIGHT": "512",
        "CELLAR_LOG_LEVEL": "warning",
        "CELLAR_AUDIT_HEADS": str(home / "heads"),
    }
    with process.running(env, home / "gateway.log") as running:
        pin(running.pid, {0})
        yield running


def pin(pid: int, cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        for thread in psutil.Process(pid).threads():
            os.sched_setaffinity(thread.id, cores)


class Stage:
    def __init__(self, direct: int, peer: int | None, ours: process.GatewayProcess, tokens: list[str]) -> None:
        self.direct, self.peer, self.ours, self.tokens = direct, peer, ours, tokens

    def streams(self, port: int, count: int, seconds: float, prefill: int = PREFILL) -> Seen:
        length = 100 if count > 1 else 10  # one stream alone would otherwise begin ten times in twenty seconds
        seen = uvloop.run(gateway_load.streams(port, PATH, self.tokens, count, seconds, length, prefill))
        if seen.failures:
            raise SystemExit(f"a request failed: {seen.failures[0].decode('utf-8', 'replace')}")
        return seen


def first_tokens(stage: Stage, seconds: float) -> list[Row]:
    rows = []
    for count, reaches in STREAMS.items():
        direct = stage.streams(stage.direct, count, seconds).first
        peer = stage.streams(stage.peer, count, seconds).first if stage.peer is not None else []
        ours = stage.streams(stage.ours.port, count, seconds).first
        for q, reach in zip((50, 99), reaches, strict=True):
            added = (percentile(ours, q) - percentile(direct, q)) * 1e3
            nginx_added = f"nginx: {(percentile(peer, q) - percentile(direct, q)) * 1e3:.1f} ms" if peer else ""
            rows.append(
                Row(
                    f"added time to first token, {count} stream{'s' if count > 1 else ''}, p{q}",
                    added,
                    "ms",
                    reach,
                    f"{percentile(ours, q) * 1e3:.1f} ms, direct {percentile(direct, q) * 1e3:.1f} ms, n={len(ours)}",
                    "; ".join(filter(None, (nginx_added, PEERS[count]))),
                )
            )
    direct, ours = (stage.streams(port, 1, seconds, 0).first for port in (stage.direct, stage.ours.port))
    added = (percentile(ours, 50) - percentile(direct, 50)) * 1e3
    what = "the same before a model server without any prefill, 1 stream, p50: the commit shows"
    rows.append(Row(what, added, "ms", None, f"n={len(ours)}"))
    return rows


def events(stage: Stage, seconds: float) -> list[Row]:
    """Events in a second of the gateway's processor time, at 100 streams of 50 a second."""
    ours = psutil.Process(stage.ours.pid)
    before, began = ours.cpu_times(), time.perf_counter()
    seen = stage.streams(stage.ours.port, 100, seconds)
    after, took = ours.cpu_times(), time.perf_counter() - began
    cpu = after.user + after.system - before.user - before.system
    return [
        Row(
            "processor time for each event",
            cpu / seen.events * 1e6,
            "us",
            1e6 / EVENTS,
            f"{seen.events / cpu:.0f} events/s on one core (reach: {EVENTS}); {seen.events / took:.0f}/s passed, "
            f"requests with their books included",
        )
    ]


def memory(stage: Stage, requests: int) -> list[Row]:
    ours = psutil.Process(stage.ours.pid)

    def ask(count: int) -> float:
        seen = uvloop.run(gateway_load.questions(stage.ours.port, PATH, stage.tokens, count))
        if seen.failures:
            raise SystemExit(f"a request failed: {seen.failures[0].decode('utf-8', 'replace')}")
        return float(ours.memory_info().rss)

    warm = ask(max(1000, requests // 10))
    began = time.perf_counter()
    after = ask(requests)
    rate = requests / (time.perf_counter() - began)
    growth = (after / warm - 1) * 100
    detail = f"{warm / 2**20:.0f} to {after / 2**20:.0f} MB over {requests} requests, {rate:.0f} a second"
    return [Row("growth of memory", growth, "%", 5, detail)]


def users(stage: Stage, hub: jupyter.Hub, count: int) -> list[Row]:
    """Every request with another user's token: the hub is asked for each."""
    tokens = [hub.user(f"user{n}") for n in range(count)]
    rows = []
    for what in ("new tokens", "the same again, within 30 s"):
        began = time.perf_counter()
        seen = uvloop.run(gateway_load.questions(stage.ours.port, PATH, tokens, count))
        took = time.perf_counter() - began
        if seen.failures:
            raise SystemExit(f"a request failed: {seen.failures[0].decode('utf-8', 'replace')}")
        rows.append(
            Row(f"{count} users in turn, {what}: a request", took / count * 1e3, "ms", None, f"{count / took:.0f}/s")
        )
    return rows


def measure(seconds: float, requests: int, many: int) -> Section:
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cellar-bench-")))
        (home / "hub").mkdir()
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))  # and whoever is started from here
        hub = stack.enter_context(jupyter.running(home / "hub"))
        model = stack.enter_context(model_server())
        peer = stack.enter_context(nginx(home, model))
        ours = stack.enter_context(gateway(home, model, hub))
        stage = Stage(model, peer, ours, [hub.user(f"bench{n}") for n in range(100)])
        stage.streams(ours.port, 20, 3)  # warm
        rows = first_tokens(stage, seconds) + events(stage, seconds)
        if requests:
            rows += memory(stage, requests)
        if many:
            rows += users(stage, hub, many)
    how = (
        f"{machine.cpu_model()}; gateway and nginx on one core, clients, model server and hub on the rest; 50 tokens "
        f"a second in each stream after {PREFILL} ms of prefill; identity, policy, quota, fsynced audit (SQLite) on."
    )
    return Section("The gateway", how, rows)


def section(seconds: float = 20, requests: int = 100_000, many: int = 5_000) -> Section:
    """In a thread of its own: it is bound to cores, and has event loops."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(measure, seconds, requests, many).result()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the gateway.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=5_000)
    args = parser.parse_args()
    print(section(args.seconds, args.requests, args.users).text())


if __name__ == "__main__":
    main()
