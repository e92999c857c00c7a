"""What decides how much memory a model needs, from a preset or from a folder of weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellar_vllm.layers import kept

GIB = 2**30
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
# Where `hf download --local-dir` writes down which commit a file is of.
RECORD = ".cache/huggingface/download/config.json.metadata"
BESIDE = ("consolidated", "adapter_")  # files that hold the same once more, or something that is not served
MOST = 2**31  # no number of a configuration is larger

# What published configurations leave out, by their model_type: the defaults of transformers 5.19, Gemma3TextConfig
# (its 4B says nothing of heads, its 12B nothing of their size, neither of them nor the 27B how long the context is).
DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
}
# Where vLLM keeps one latent instead of keys and values (0.32, model_arch_config_convertor.py, is_deepseek_mla).
# fmt: off
LATENT = (
    "axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "deepseek_v41", "dots3_note",
    "deepseek_mtp", "k3_dspark", "glm5_next", "glm5_next_text", "glm_moe_dsa", "glm4_moe_lite", "glm4_moe_lite_mtp",
    "kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe", "pangu_ultra_moe_mtp", "bailing_hybrid",
    "bailing_hybrid_mtp", "bailing_hybrid_v3_mtp", "hy_v4", "hy_v4_mtp",
)
# fmt: on
# Where a configuration says how long the context is; the least counts.
CONTEXTS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
# Kinds of RoPE whose factor the context holds already.
SCALED = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "telechat3-yarn")


class BadWeights(ValueError):
    """A folder that vLLM could not serve; the message is for a person."""


@dataclass(frozen=True)
class Weights:
    """A model as the card's memory sees it."""

    name: str
    size: float  # bytes of all tensors
    layers: int  # layers that keep keys and values of the whole context
    kv_heads: int
    head_dim: int
    context: int  # tokens the model was trained for
    quantisation: str = ""  # "" is none: 16 bits a number
    latent: int = 0  # numbers of a token in a layer, where keys and values are kept as one latent (MLA)
    chat: bool = True  # it has a chat template; without one only /v1/completions makes sense
    heads: int = 0  # of attention; 0: not known
    windowed: int = 0  # layers that keep keys and values of the last `window` tokens
    window: int = 0
    state: int = 0  # bytes that a request holds in layers with a state, however long it is
    unknown: str = ""  # what of its layers is not in these numbers, in words
    experts: bool = False  # a mixture of experts
    revision: str = ""  # the commit of the published weights, where the folder tells it

    def kv_bytes(self, number: int = 2) -> int:
        """Bytes of one token of context: a key and a value in every head of every layer, `number` bytes each."""
        return self.layers * self._layer(number)

    def request_bytes(self, tokens: int, number: int = 2, step: int = 0) -> int:
        """Bytes that a request of so many tokens holds. `step`: tokens that a window keeps while more are read."""
        window = min(tokens, self.window + step)
        return tokens * self.kv_bytes(number) + window * self.windowed * self._layer(number) + self.state

    def _layer(self, number: int) -> int:
        return (self.latent or 2 * self.kv_heads * self.head_dim) * number


def read(folder: Path) -> Weights:
    """The weights in a folder, as Hugging Face lays them out. BadWeights says what is missing."""
    config_file = folder / "config.json"
    if not folder.is_dir():
        raise BadWeights(
            f"{folder} is not a folder. vLLM is served a folder of weights that was copied to this machine."
        )
    files = sorted(folder.glob("*.safetensors"))
    files = [file for file in files if not file.name.startswith(BESIDE)] or files
    if not files:
        ggufs = sorted(folder.glob("*.gguf"))
        why = " GGUF files are for llama.cpp; vLLM reads safetensors." if ggufs else ""
        raise BadWeights(f"{folder} holds no *.safetensors.{why}")
    try:
        config = _table(json.loads(config_file.read_text()), "it")
    except FileNotFoundError:
        raise BadWeights(f"{folder} holds no config.json: it is not a whole copy of a model's folder.") from None
    except (OSError, ValueError) as error:
        raise BadWeights(f"{config_file} cannot be read: {error}") from None
    try:
        text = _table(config.get("text_config") or config, "text_config")  # the language part of models that also see
        text = {**DEFAULTS.get(str(text.get("model_type")), {}), **text}
        heads = _number(text, "num_attention_heads")
        _number(text, "num_hidden_layers")
        keeps = kept(text)
        quantised = config.get("quantization_config") or text.get("quantization_config") or {}
        return Weights(
            name=Path(os.path.abspath(folder)).name,
            size=float(sum(file.stat().st_size for file in files)),
            layers=keeps.whole,
            kv_heads=_number(text, "num_key_value_heads", heads),
            head_dim=_head_dim(text, heads),
            context=_context(text),
            quantisation=str(_table(quantised, "quantization_config").get("quant_method", "")),
            latent=_latent(text),
            chat=_has_chat_template(folder),
            heads=heads,
            windowed=keeps.windowed,
            window=keeps.window,
            state=keeps.state,
            unknown=keeps.unknown,
            experts=any(text.get(name) for name in EXPERTS),
            revision=_revision(folder),
        )
    except KeyError as error:
        raise BadWeights(f"{config_file} does not say what a language model's says: {error} is missing.") from None
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BadWeights(f"{config_file} does not say what a language model's says: {error}") from None


def _table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no table")
    return value


def _number(text: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A whole number from 1 on. `default`: where it is absent, null or 0; without one it has to be there."""
    value = text.get(name) or default if default else text[name]
    if not isinstance(value, int | float) or not 1 <= value < MOST:
        raise ValueError(f"{name} is {value!r}")
    return int(value)


def _head_dim(text: Mapping[str, Any], heads: int) -> int:
    if text.get("qk_nope_head_dim") and text.get("qk_rope_head_dim"):  # keys and values are as wide as the two together
        return _number(text, "qk_nope_head_dim") + _number(text, "qk_rope_head_dim")
    if text.get("head_dim"):
        return _number(text, "head_dim")
    return _number({"the size of a head": _number(text, "hidden_size") // heads}, "the size of a head")


def _latent(text: Mapping[str, Any]) -> int:
    if text.get("model_type") not in LATENT or not text.get("kv_lora_rank"):
        return 0
    return _number(text, "kv_lora_rank") + _number(text, "qk_rope_head_dim")


def _context(text: Mapping[str, Any]) -> int:
    """The most that vLLM takes for --max-model-len (0.32, config/model.py, _get_and_verify_max_len)."""
    said = [name for name in CONTEXTS if text.get(name) is not None] or [CONTEXTS[0]]
    context = min(_number(text, name) for name in said)
    if text.get("model_max_length"):
        context = _number(text, "model_max_length")
    if "gemma3" in str(text.get("model_type")):  # its context is what RoPE has made of it
        return context
    rope = _table(text.get("rope_scaling") or text.get("rope_parameters") or {}, "rope_scaling")
    factor = 1.0
    for each in [rope, *rope.values()]:  # of the model, or of each kind of layer
        if isinstance(each, dict) and each.get("rope_type", each.get("type")) not in SCALED:
            factor = float(each.get("factor") or factor)
    return _number({"the context": context * factor}, "the context")


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    # Mistral's own form brings its tokenizer, which needs no template (vLLM 0.32, tokenizers/registry.py).
    mistral = any(any(folder.glob(pattern)) for pattern in ("tekken.json", "tokenizer.model.v*"))
    if mistral and any(folder.glob("consolidated*.safetensors")):
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template"))
    except (OSError, ValueError, AttributeError):
        return False


def _revision(folder: Path) -> str:
    try:
        return (folder / RECORD).read_text().partition("\n")[0].strip()
    except (OSError, ValueError):
        return ""
