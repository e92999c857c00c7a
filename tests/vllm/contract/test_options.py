"""vLLM's own parser reads what `cellar-vllm serve` writes, for every preset."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from cellar_vllm.command import ENVIRONMENT, REFUSED, Server
from cellar_vllm.presets import load

from tools import vllm_cpu

READ = """
import json, sys
from vllm import envs
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.tool_parsers import ToolParserManager
from vllm.utils.argparse_utils import FlexibleArgumentParser

found = []
for options in json.load(sys.stdin):
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(["/models/m", *options])
    validate_parsed_serve_args(parsed)
    if parsed.tool_call_parser:
        ToolParserManager.get_tool_parser(parsed.tool_call_parser)
    names = ("max_model_len", "max_num_queued_reqs", "scheduling_policy", "sse_keep_alive_interval", "shutdown_timeout",
             "enable_log_requests", "enable_log_outputs", "trust_remote_code", "tool_call_parser", "tool_strict_level",
             "kv_cache_dtype", "tensor_parallel_size", "data_parallel_size")
    found.append({name: getattr(parsed, name) for name in names})
names = [name for action in make_arg_parser(FlexibleArgumentParser())._actions for name in action.option_strings]
known = [name for name in json.loads(sys.argv[1]) if name in envs.environment_variables]
json.dump({"parsed": found, "known": known, "names": names}, sys.stdout)
"""

SUSPECT = re.compile(
    "plugin|cls|class|trust|trace|events|transfer|middleware|profil|log-config|logging-config|log-req|log-out"
    "|domain|local-media|tool-server|api-key|observ|io-proc|logits-proc"
)
"""Words in the names of options that may run code, call out, or write down what users ask."""
HARMLESS = {
    "--skip-mm-profiling",
    "--max-lora-cls-labels",
}


@pytest.mark.timeout(120)
def test_every_option_and_variable_is_one_that_vllm_knows() -> None:
    if not vllm_cpu.there():
        pytest.skip("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    asked = [
        Server(Path("/models/m"), "coder", serve.context, serve.sequences, serve.share, tools=serve.tools).options()
        for preset in load().values()
        for serve in preset.serve
    ]
    asked.append(Server(Path("/models/m"), "coder", 4096, 8, 0.9, gpus=2, copies=2, kv=8).options())
    done = subprocess.run(
        [str(vllm_cpu.python()), "-c", READ, json.dumps(list(ENVIRONMENT))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=os.environ | dict(ENVIRONMENT),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for parsed in found["parsed"]:
        assert (parsed["scheduling_policy"], parsed["sse_keep_alive_interval"], parsed["shutdown_timeout"]) == (
            "priority",
            10,
            60,
        )
        assert not (parsed["enable_log_requests"] or parsed["enable_log_outputs"] or parsed["trust_remote_code"])
        assert parsed["tool_strict_level"] == ("parameter" if parsed["tool_call_parser"] else "auto")
    spread = found["parsed"][-1]
    assert (spread["kv_cache_dtype"], spread["tensor_parallel_size"], spread["data_parallel_size"]) == ("fp8", 2, 2)
    # What is not vLLM's own is Hugging Face's, and the sign that everybody understands.
    assert set(ENVIRONMENT) - set(found["known"]) == {
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
    }
    suspect = {name for name in found["names"] if SUSPECT.search(name) and not name.startswith("--no-")}
    assert suspect - HARMLESS - set(REFUSED) == set()
