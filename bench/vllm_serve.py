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
from pathlib import Path
from typing import Any

from bench.gateway_stage import POLICY
from bench.report import Row, Section, median, spread
from tests.hub import jupyter
from tests.hub.gateway.process import running
from tests.vllm.contract.conftest import KEY, Served, vllm_running
from tools import vllm_cpu

ROUNDS = 3
PROMPTS, AT_ONCE, INPUT, OUTPUT = 24, 4, 256, 48
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
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        home = Path(folder)
        (home / "hub").mkdir()
        (home / "policy.toml").write_text(POLICY)
        with jupyter.running(home / "hub") as hub, vllm_running(home) as served:
            env = {
                "VLLM_BASE_URL": served.url,
                "VLLM_API_KEY": KEY,
                "CELLAR_DATA": str(home / "data"),
                "CELLAR_HUB_API_URL": hub.api,
                "CELLAR_GATEWAY_TOKEN": hub.gateway_token,
                "CELLAR_POLICY": str(home / "policy.toml"),
                "CELLAR_PRIORITY": "on",
                "CELLAR_AUDIT_HEADS": str(home / "heads"),
            }
            with running(env, home / "gateway.log") as gateway:
                token = hub.user("bench")
                _run(home, served, served.root, KEY)  # both are warm
                direct, through = [], []
                for _ in range(ROUNDS):
                    direct.append(_run(home, served, served.root, KEY))
                    through.append(_run(home, served, f"http://127.0.0.1:{gateway.port}", token))
    return Section(
        "vllm bench serve",
        f"Real vLLM on the processor (SmolLM2-135M), {PROMPTS} random prompts of {INPUT} tokens, {OUTPUT} answered, "
        f"{AT_ONCE} at once; directly and through the gateway (authentication, quota, audit on) in turn, "
        f"{ROUNDS} times.",
        [
            _row("time to first token, median", "median_ttft_ms", direct, through),
            _row("time per token, median", "median_tpot_ms", direct, through),
            Row(
                "tokens per second",
                median([each["output_throughput"] for each in through]),
                "/s",
                detail=spread([each["output_throughput"] for each in through], "/s"),
                against="directly " + spread([each["output_throughput"] for each in direct], "/s"),
            ),
        ],
        packages=("starlette", "uvicorn", "httpx", "aiohttp"),
    )


def _row(what: str, key: str, direct: list[dict[str, Any]], through: list[dict[str, Any]]) -> Row:
    ours, theirs = [each[key] for each in through], [each[key] for each in direct]
    return Row(f"{what}, through the gateway", median(ours), "ms", None, spread(ours), "directly " + spread(theirs))


def _run(home: Path, served: Served, root: str, key: str) -> dict[str, Any]:
    result = home / "result.json"
    command = [
        *(str(vllm_cpu.python()), "-c", PROGRAM, "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"),
        *("--base-url", root, "--model", served.model, "--tokenizer", str(vllm_cpu.weights())),
        *("--dataset-name", "random", "--random-input-len", str(INPUT), "--random-output-len", str(OUTPUT)),
        *("--num-prompts", str(PROMPTS), "--max-concurrency", str(AT_ONCE), "--ignore-eos", "--disable-tqdm"),
        *("--save-result", "--result-filename", str(result), "--percentile-metrics", "ttft,tpot"),
    ]
    env = os.environ | vllm_cpu.OFFLINE | {"OPENAI_API_KEY": key}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=home)
    if done.returncode != 0:
        raise SystemExit(f"vllm bench serve ended with {done.returncode}: {done.stderr[-1500:]}")
    said: dict[str, Any] = json.loads(result.read_text())
    if said["completed"] != PROMPTS:
        raise SystemExit(
            f"vllm bench serve: {said['completed']} of {PROMPTS} requests were answered: {done.stdout[-1500:]}"
        )
    return said
