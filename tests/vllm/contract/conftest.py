"""Servers of the contract's cases: a real vLLM on the processor, started by `cellar-vllm serve`, and the fake.

`served` is each of them in turn, `vllm` the real one alone. Whoever has no real one (`python -m tools.vllm_cpu` makes
it) sees which tests did not run.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cellar.client import ModelClient, make_http

from tests.fakes.fixtures import unused_port
from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import wait_until
from tools import vllm_cpu

ROOT = Path(__file__).resolve().parents[3]
KEY = "a-key-that-only-the-gateway-has"
CONTEXT = 4096
# Steps of 256 tokens: a processor takes seconds for what a GPU reads in a tenth, and nothing stops within a step.
OPTIONS = (
    "--enforce-eager",
    "--block-size=32",
    "--max-num-batched-tokens=256",
    "--enable-auto-tool-choice",
    "--tool-call-parser=hermes",
)
# Of bench/gpu, which asks the same of a vLLM on a GPU: JSON with its Python, a folder of weights, options of `serve`.
OTHER: dict[str, Any] = json.loads(os.environ.get("CELLAR_TEST_VLLM", "{}"))
STRICT = "--tool-strict-level=parameter"


HTTP = httpx.Client(trust_env=False, verify=False, timeout=30)
"""One for all of a run: what it costs to make another, 50 ms of a processor, a server lacks that is asked meanwhile."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A model server; `url` is its base URL, as in VLLM_BASE_URL."""

    root: str
    model: str
    context: int
    key: str = ""
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.root + "/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def client(self) -> ModelClient:
        return ModelClient(make_http(self.url), self.url, self.key)

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """`fields` as JSON, with the model's name."""
        with httpx.Client(trust_env=False, timeout=60) as http:
            body = {"model": self.model, **fields}
            return http.post(self.root + path, json=body, headers=self.headers | (headers or {}))

    def chat(self, text: str = "Say hello.", **fields: Any) -> httpx.Response:
        fields = {"max_tokens": 8, "temperature": 0.0, **fields}
        return self.post("/v1/chat/completions", messages=[{"role": "user", "content": text}], **fields)

    def metric(self, name: str) -> float:
        """Sum over its engines."""
        text = HTTP.get(self.root + "/metrics").text
        return sum(map(float, re.findall(rf"^{re.escape(name)}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)))

    def wait_for(self, name: str, value: float, seconds: float) -> float:
        """Until a metric has that value; the seconds that took."""
        started = time.monotonic()
        seen: list[tuple[float, float]] = []
        waits: list[float] = []

        def has_it() -> bool:
            asked = time.monotonic()
            found = self.metric(name)
            waits.append(time.monotonic() - asked)
            seen.append((round(time.monotonic() - started, 1), found))
            return found == value

        try:
            # /metrics costs the server 30 ms of a processor that its engine wants for itself: it is asked gently.
            wait_until(has_it, f"{name} to be {value:g}", timeout=seconds, every=0.1)
        except AssertionError as error:
            error.add_note(f"(seconds, value) last seen: {seen[-10:]} of {len(seen)}")
            error.add_note(f"slowest answer of /metrics: {max(waits):.1f} s; load of the machine: {os.getloadavg()}")
            raise
        took = time.monotonic() - started
        if took > 1:
            # Whether vLLM was late or its answer: a test that fails shows it.
            LOG.warning("%s was %g after %.1f s; /metrics took %.1f s at most", name, value, took, max(waits))
        return took


@contextmanager
def vllm_running(folder: Path, *options: str, context: int = CONTEXT, **env: str) -> Iterator[Served]:
    """A vLLM of its own for as long as the block lasts: the one for processors, or the one that OTHER names."""
    if OTHER:
        python, weights, first = Path(OTHER["python"]), Path(OTHER["weights"]), list(OTHER["options"])
    elif vllm_cpu.there():
        python, weights, first = vllm_cpu.python(), vllm_cpu.weights(), ["--gpu=8"]
    else:
        pytest.skip("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    asked = [*first, f"--context={context}", "--", *OPTIONS, *options]
    # By itself its threads spin on each processor there is, and its own front, which aborts and counts, waits for them.
    spared = str(min(1, (os.cpu_count() or 1) - 1))
    own = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_NUM_OF_RESERVED_CPU": spared,
        "PYTHONPATH": f"{ROOT / 'hub_config'}:{_named_vllm(folder)}",
    }
    with serving(folder, python, weights, asked, context, own | env) as served:
        yield served


def _named_vllm(folder: Path) -> Path:
    """What says that the package `vllm` is installed: `vllm-cpu` has another name, by which `vllm serve`, which GPU
    servers start, does not find its own version."""
    version = vllm_cpu.VLLM.partition("==")[2]
    described = folder / "named" / f"vllm-{version}.dist-info" / "METADATA"
    described.parent.mkdir(parents=True, exist_ok=True)
    described.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    return folder / "named"


@contextmanager
def serving(
    folder: Path,
    python: Path,
    weights: Path,
    asked: Sequence[str],
    context: int,
    env: Mapping[str, str],
    patience: float = 240,
) -> Iterator[Served]:
    """`cellar-vllm serve` in vLLM's environment; `asked` are its options, vLLM's own behind --."""
    port = unused_port()
    log = folder / f"vllm-{port}.log"
    command = [str(python), "-m", "cellar_vllm", "serve", f"--weights={weights}", f"--port={port}", *asked]
    own = {"PYTHONPATH": str(ROOT / "hub_config"), "VLLM_API_KEY": KEY}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | own | env, cwd=folder)
    served = Served(f"http://127.0.0.1:{port}", weights.name, context, KEY, log, process)

    def healthy() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"vLLM ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            return HTTP.get(served.root + "/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(healthy, f"vLLM (log: {log})", timeout=patience)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the whole run. Its queue is short on purpose: sixteen at work, twenty-four in all."""
    with vllm_running(
        tmp_path_factory.mktemp("vllm"), "--max-num-seqs=16", "--max-num-queued-reqs=24", STRICT
    ) as served:
        yield served


@pytest.fixture(params=["fake", "vllm"])
def served(request: pytest.FixtureRequest) -> Served:
    if request.param == "vllm":
        real: Served = request.getfixturevalue("vllm")
        return real
    fake: FakeVLLM = request.getfixturevalue("model")
    fake.options.api_key = KEY
    fake.options.max_model_len = CONTEXT
    return Served(fake.root, fake.options.models[0], CONTEXT, KEY)


@pytest.fixture(scope="session")
def plain_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One as it is without our switches: first come first served, arguments of tools unchecked."""
    with vllm_running(tmp_path_factory.mktemp("plain"), "--scheduling-policy=fcfs") as served:
        yield served
