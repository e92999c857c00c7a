"""What decides how much memory a model needs, from a preset or from a folder of weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellar_vllm.layers import kept

GIB = 2**30
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
# Where `hf download --local-dir` writes down which commit a file is of.
RECORD = ".cache/huggingface/download/config.json.metadata"


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
    files = [file for file in files if not file.name.startswith("consolidated")] or files  # the same once more
    if not files:
        ggufs = sorted(folder.glob("*.gguf"))
        why = " GGUF files are for llama.cpp; vLLM reads safetensors." if ggufs else ""
        raise BadWeights(f"{folder} holds no *.safetensors.{why}")
    try:
        config: dict[str, Any] = json.loads(config_file.read_text())
    except FileNotFoundError:
        raise BadWeights(f"{folder} holds no config.json: it is not a whole copy of a model's folder.") from None
    except (OSError, ValueError) as error:
        raise BadWeights(f"{config_file} cannot be read: {error}") from None
    text = config.get("text_config", config)  # models that also see keep their language part there
    try:
        heads = int(text["num_attention_heads"])
        keeps = kept(text)
        return Weights(
            name=folder.name,
            size=float(sum(file.stat().st_size for file in files)),
            layers=keeps.whole,
            kv_heads=int(text.get("num_key_value_heads") or heads),
            head_dim=int(text.get("head_dim") or int(text["hidden_size"]) // heads),
            context=int(text["max_position_embeddings"]),
            quantisation=str((config.get("quantization_config") or {}).get("quant_method", "")),
            latent=int(text.get("kv_lora_rank") or 0) and int(text["kv_lora_rank"]) + int(text["qk_rope_head_dim"]),
            chat=_has_chat_template(folder),
            heads=heads,
            windowed=keeps.windowed,
            window=keeps.window,
            state=keeps.state,
            unknown=keeps.unknown,
            experts=any(text.get(name) for name in EXPERTS),
            revision=_revision(folder),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BadWeights(f"{config_file} does not say what a language model's says: {error}") from None


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template"))
    except (OSError, ValueError):
        return False


def _revision(folder: Path) -> str:
    try:
        return (folder / RECORD).read_text().partition("\n")[0].strip()
    except (OSError, ValueError):
        return ""
