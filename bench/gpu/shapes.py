"""The architectures of the presets' models, as their published config.json says, and the same in small.

Speed and memory of a server depend on these numbers and not on what a model has learned.
"""

from __future__ import annotations

from typing import Any

TOKENS = 49152  # of the small shape: as many as the embedded model has

DENSE: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "vocab_size": 152064,
    "bos_token_id": None,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = DENSE | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 2048,
    "intermediate_size": 5472,
    "max_position_embeddings": 262144,
    "mlp_only_layers": [],
    "moe_intermediate_size": 768,
    "norm_topk_prob": True,
    "num_attention_heads": 32,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "rope_theta": 10000000.0,
    "vocab_size": 151936,
}
AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
FP8: dict[str, Any] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
FP8 |= {"weight_block_size": [128, 128]}
ROUTERS = [f"model.layers.{number}.mlp.gate" for number in range(48)]  # they keep 16 bits


def _awq(*plain: str) -> dict[str, Any]:
    return {"torch_dtype": "float16", "quantization_config": AWQ | {"modules_to_not_convert": list(plain)}}


def _dense(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int) -> dict[str, Any]:
    return DENSE | {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


SHAPES: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-Coder-1.5B": _dense(1536, 8960, 28, 12, 2)
    | {"torch_dtype": "bfloat16", "tie_word_embeddings": True, "vocab_size": 151936},
    "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ": _dense(3584, 18944, 28, 28, 4) | _awq(),
    "Qwen/Qwen2.5-Coder-14B-Instruct-AWQ": _dense(5120, 13824, 48, 40, 8) | _awq(),
    "QuantTrio/Qwen3-Coder-30B-A3B-Instruct-AWQ": EXPERTS | _awq(*ROUTERS),
    "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8": EXPERTS
    | {
        "torch_dtype": "bfloat16",
        "quantization_config": FP8 | {"modules_to_not_convert": ["lm_head", *ROUTERS]},
    },
}


def small(shape: dict[str, Any], plain: bool = False) -> dict[str, Any]:
    """The same kind of model with fewer and smaller layers: for the way through the script, not for its figures.

    `plain`: a mixture of experts in 16 bits, since vLLM has no other on processors.
    """
    tiny = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": TOKENS}
    tiny |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 16384}
    if "num_experts" in shape:
        tiny |= {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
        if plain:
            shape = {name: value for name, value in shape.items() if name != "quantization_config"}
    return shape | tiny
