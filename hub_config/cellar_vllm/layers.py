"""What the layers of a model keep of each request, by its config.json.

Three kinds: keys and values of the whole context; those of a window of it; a state whose size does not grow. What is of
none of these is named, so that nobody takes an estimate for the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WHOLE = ("full_attention", "attention")
STATES = 2  # of each request: where it is, and the last one that the prefix cache holds (vLLM's "align")

# Models whose configuration may leave out in which order their layers come: every so-manieth keeps the whole context.
EVERY = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2, "olmo3": 4}
# Names by which others tell of layers of several kinds, each in its own way.
OTHERS = (
    "hybrid_override_pattern",
    "attn_layer_indices",
    "attn_type_list",
    "linear_attn_config",
    "block_configs",
    "global_head_dim",
    "num_kv_shared_layers",
    "compress_ratios",
    "layer_group_size",
)
# Kinds that keep what is near, and where the configuration says how much that is.
WINDOWS = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}


@dataclass(frozen=True)
class Kept:
    """By one request, in all layers together."""

    whole: int  # layers that keep the whole context
    windowed: int = 0  # layers that keep its last `window` tokens
    window: int = 0
    state: int = 0  # bytes
    unknown: str = ""  # what is not computed, in words


def kept(text: Mapping[str, Any]) -> Kept:
    """`text`: the language part of config.json. KeyError, TypeError or ValueError where it does not say enough."""
    layers = int(text["num_hidden_layers"])
    kinds = text.get("layer_types") or text.get("layers_block_type")
    if isinstance(kinds, list) and not text.get("global_head_dim"):
        own = max(0, len(kinds) - int(text.get("num_kv_shared_layers") or 0))  # the last ones read what others keep
        return _by_kinds(text, Counter(map(str, kinds[:own])))
    if text.get("full_attention_interval"):
        whole = layers // int(text["full_attention_interval"])
        return _by_kinds(text, Counter({"full_attention": whole, "linear_attention": layers - whole}))
    if text.get("attn_layer_period"):  # Jamba
        whole = len(range(int(text.get("attn_layer_offset") or 0), layers, int(text["attn_layer_period"])))
        return _by_kinds(text, Counter({"attention": whole, "mamba": layers - whole}))
    if text.get("attention_chunk_size"):  # Llama 4
        every = int(text.get("no_rope_layer_interval") or 4)
        near = sum(map(bool, text.get("no_rope_layers") or [])) or layers - layers // every
        return _by_kinds(text, Counter({"full_attention": layers - near, "chunked_attention": near}))
    other = next((name for name in OTHERS if text.get(name)), "")
    if other:
        return Kept(layers, unknown=f"its layers are of several kinds ({other}); all are counted as whole context")
    return _by_kinds(text, Counter({"full_attention": layers - (few := _windowed(text)), "sliding_attention": few}))


def _windowed(text: Mapping[str, Any]) -> int:
    """Layers with a window, where they are not listed."""
    layers, window = int(text["num_hidden_layers"]), text.get("sliding_window")
    if not window or text.get("use_sliding_window") is False or int(window) >= int(text["max_position_embeddings"]):
        return 0
    every = text.get("sliding_window_pattern") or EVERY.get(str(text.get("model_type")))
    if every:
        return layers - layers // (len(every) if isinstance(every, str) else int(every))
    return max(0, layers - int(text.get("max_window_layers") or 0))


def _by_kinds(text: Mapping[str, Any], kinds: Counter[str]) -> Kept:
    near = next((kind for kind in WINDOWS if kinds[kind]), "")
    windowed, linear = kinds[near], kinds["linear_attention"]
    whole = sum(kinds[kind] for kind in WHOLE)
    window = int(text[WINDOWS[near]]) if windowed else 0
    if window < 0:
        raise ValueError(f"{WINDOWS[near]} is {window}")
    known = {*WHOLE, near}
    state = 0
    if "linear_num_value_heads" in text:
        known.add("linear_attention")
        state = linear * STATES * _state(text)
    rest = ", ".join(
        f"{count} layers of the kind {kind}" for kind, count in sorted(kinds.items()) if count and kind not in known
    )
    if not whole and not windowed:
        raise ValueError(f"what its layers keep is not known: {rest or 'nothing that grows with the context'}")
    return Kept(whole, windowed, window, state, f"what {rest} keep is not counted" if rest else "")


def _state(text: Mapping[str, Any]) -> int:
    """Bytes of one state of a gated delta net: the end of its convolution, and a matrix in each head."""
    values = int(text["linear_num_value_heads"]) * int(text["linear_value_head_dim"])
    keys = int(text["linear_num_key_heads"]) * int(text["linear_key_head_dim"])
    convolution = (2 * keys + values) * (int(text["linear_conv_kernel_dim"]) - 1)
    number = 4 if text.get("mamba_ssm_dtype") == "float32" else 2
    return 2 * convolution + number * values * int(text["linear_key_head_dim"])
