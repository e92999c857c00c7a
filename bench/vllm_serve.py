"""`vllm bench serve`, unchanged, against a real vLLM and against the gateway in front of it, side by side.

On a processor the model is the slow part, and both runs share its cores: the difference is what the gateway adds,
within what two such runs differ by themselves. The gateway's own cost is measured against a fast model server (section
"gateway").
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway_stage import POLICY
from bench.report import Row, Section, median, spread
from tests.hub import jupyter
from tests.hub.gateway.process import running
from tests.vllm.contract.conftest import KEY, Served, vllm_running
from tools import vllm_cpu


@dataclass(frozen=True)
class Load:
    """What is asked, again and again; `tokenizer` is the folder of the model's, `python` that of vLLM's environment."""

    python: Path
    tokenizer: Path
    prompts: int = 24
    at_once: int = 4
    input: int = 256
    output: int = 48
    rounds: int = 3

    def __str__(self) -> str:
        return (
            f"{self.prompts} random prompts of {self.input} tokens, {self.output} answered, {self.at_once} at once; "
            f"directly and through the gateway (authentication, quota, audit on) in turn, {self.rounds} times"
        )


PACKAGES = ("starlette", "uvicorn", "httpx", "aiohttp")
PROGRAM = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
"""What `vllm bench serve` runs; the command itself looks for a distribution called vllm, which `vllm-cpu` is not."""


def section() -> Section:
    if not vllm_cpu.there():
        raise SystemExit("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    load = Load(vllm_cpu.python(), vllm_cpu.weights())
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        with vllm_running(Path(folder)) as served, behind_gateway(Path(folder), served) as (gateway, token):
            rows = compare(Path(folder), served, gateway, token, load)
    return Section("vllm bench serve", f"Real vLLM on the processor (SmolLM2-135M), {load}.", rows, PACKAGES)


@contextmanager
def behind_gateway(home: Path, served: Served) -> Iterator[tuple[str, str]]:
    """The gateway's address and a user's token."""
    (home / "hub").mkdir()
    (home / "policy.toml").write_text(POLICY)
    with jupyter.running(home / "hub") as hub:
        env = {
            "VLLM_BASE_URL": served.url,
            "VLLM_API_KEY": KEY,
            "CELLAR_DATA": str(home / "data"),
            "CELLAR_HUB_API_URL": hub.api,
            "CELLAR_GATEWAY_TOKEN": hub.gateway_token,
            "CELLAR_POLICY": str(home / "policy.toml"),
            "CELLAR_PRIORITY": "on",
            "CELLAR_MAX_INFLIGHT": "512",
            "CELLAR_AUDIT_HEADS": str(home / "heads"),
        }
        with running(env, home / "gateway.log") as gateway:
            yield gateway.url, hub.user("bench")


def compare(home: Path, served: Served, gateway: str, token: str, load: Load) -> list[Row]:
    _run(home, served, served.root, KEY, load)  # both are warm
    direct, through = [], []
    for _ in range(load.rounds):
        direct.append(_run(home, served, served.root, KEY, load))
        through.append(_run(home, served, gateway, token, load))
    return [
        _row("time to first token, median", "median_ttft_ms", direct, through),
        _row("time per token, median", "median_tpot_ms", direct, through),
        Row(
            "tokens per second",
            median([each["output_throughput"] for each in through]),
            "/s",
            detail=spread([each["output_throughput"] for each in through], "/s"),
            against="directly " + spread([each["output_throughput"] for each in direct], "/s"),
        ),
    ]


def _row(what: str, key: str, direct: list[dict[str, Any]], through: list[dict[str, Any]]) -> Row:
    ours, theirs = [each[key] for each in through], [each[key] for each in direct]
    return Row(f"{what}, through the gateway", median(ours), "ms", None, spread(ours), "directly " + spread(theirs))


def _run(home: Path, served: Served, root: str, key: str, load: Load) -> dict[str, Any]:
    result = home / "result.json"
    command = [
        *(str(load.python), "-c", PROGRAM, "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"),
        *("--base-url", root, "--model", served.model, "--tokenizer", str(load.tokenizer)),
        *("--dataset-name", "random", "--random-input-len", str(load.input), "--random-output-len", str(load.output)),
        *("--num-prompts", str(load.prompts), "--max-concurrency", str(load.at_once), "--ignore-eos", "--disable-tqdm"),
        *("--save-result", "--result-filename", str(result), "--percentile-metrics", "ttft,tpot"),
    ]
    env = os.environ | vllm_cpu.OFFLINE | {"OPENAI_API_KEY": key}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=home)
    if done.returncode != 0:
        raise SystemExit(f"vllm bench serve ended with {done.returncode}: {done.stderr[-1500:]}")
    said: dict[str, Any] = json.loads(result.read_text())
    if said["completed"] != load.prompts:
        raise SystemExit(
            f"vllm bench serve: {said['completed']} of {load.prompts} requests were answered: {done.stdout[-1500:]}"
        )
    return said
