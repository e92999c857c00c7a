"""What the gateway is measured on: a real JupyterHub, the gateway with everything on, a model server, nginx.

Gateway and nginx run on the first core, everything else on the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from bench import gateway_load
from bench.gateway_load import PREFILL, Seen
from tests.fakes.fixtures import unused_port
from tests.hub import jupyter
from tests.hub.gateway.process import GatewayProcess, running

PATH = "/v1/chat/completions"
PACKAGES = ("jupyterhub", "uvicorn", "starlette", "httpx", "aiohttp", "sqlalchemy", "uvloop", "msgspec")
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
def model_server() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = unused_port()
    with subprocess.Popen([sys.executable, "-m", "bench.gateway_model", str(port)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline() == b"ready\n"
        try:
            yield port, server
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
def gateway(home: Path, model: int, hub: jupyter.Hub) -> Iterator[GatewayProcess]:
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
    with running(env, home / "gateway.log") as started:
        pin(started.pid, {0})
        yield started


def pin(pid: int, cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        for thread in psutil.Process(pid).threads():
            os.sched_setaffinity(thread.id, cores)


@dataclass
class Used:
    """Processor seconds, and the time they were used in."""

    gateway: float = 0.0
    clients: float = 0.0
    model: float = 0.0
    wall: float = 0.0


class Stage:
    """`direct` and `peer` are ports: of the model server, and of nginx where it is installed."""

    def __init__(
        self, hub: jupyter.Hub, direct: int, model: subprocess.Popen[bytes], peer: int | None, ours: GatewayProcess
    ) -> None:
        self.hub, self.direct, self.peer, self.ours = hub, direct, peer, ours
        self.tokens = [hub.user(f"bench{n}") for n in range(100)]
        self.processes = psutil.Process(ours.pid), psutil.Process(), psutil.Process(model.pid)

    def ask(self, load: Coroutine[Any, Any, Seen]) -> Seen:
        seen = uvloop.run(load)
        if seen.failures:
            raise SystemExit(f"a request failed: {seen.failures[0].decode('utf-8', 'replace')}")
        return seen

    def streams(self, port: int, count: int, seconds: float, prefill: int = PREFILL) -> Seen:
        length = 100 if count > 1 else 5  # one stream alone would otherwise begin four times in eight seconds
        return self.ask(gateway_load.streams(port, PATH, self.tokens, count, seconds, length, prefill))

    def introduce(self, count: int) -> None:
        """Have the gateway know these tokens: what an unknown one costs is measured in a section of its own."""
        self.ask(gateway_load.questions(self.ours.port, PATH, self.tokens[:count], 2 * count, min(count, 16)))

    @contextlib.contextmanager
    def measured(self, used: Used) -> Iterator[None]:
        before, began = self._seconds(), time.perf_counter()
        yield
        spent = [after - start for after, start in zip(self._seconds(), before, strict=True)]
        used.gateway += spent[0]
        used.clients += spent[1]
        used.model += spent[2]
        used.wall += time.perf_counter() - began

    def _seconds(self) -> list[float]:
        return [times.user + times.system for times in (each.cpu_times() for each in self.processes)]

    @property
    def resident(self) -> float:
        """MB of the gateway."""
        return float(self.processes[0].memory_info().rss) / 2**20


@contextlib.contextmanager
def standing() -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cellar-bench-")))
        (home / "hub").mkdir()
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))  # this thread, and whoever is started from it
        hub = stack.enter_context(jupyter.running(home / "hub"))
        port, model = stack.enter_context(model_server())
        peer = stack.enter_context(nginx(home, port))
        ours = stack.enter_context(gateway(home, port, hub))
        yield Stage(hub, port, model, peer, ours)
