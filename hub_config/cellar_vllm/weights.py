"""What decides how much memory a model needs, from a preset or from a folder of weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30


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

    def kv_bytes(self, number: int = 2) -> int:
        """Bytes of one token of context: a key and a value in every head of every layer, `number` bytes each."""
        if self.latent:
            return self.layers * self.latent * number
        return 2 * self.layers * self.kv_heads * self.head_dim * number


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
    except (OSError, ValueError) as error:
        raise BadWeights(f"{config_file} cannot be read: {error}") from None
    text = config.get("text_config", config)  # models that also see keep their language part there
    try:
        heads = int(text["num_attention_heads"])
        return Weights(
            name=folder.name,
            size=float(sum(file.stat().st_size for file in files)),
            layers=_layers(text),
            kv_heads=int(text.get("num_key_value_heads") or heads),
            head_dim=int(text.get("head_dim") or int(text["hidden_size"]) // heads),
            context=int(text["max_position_embeddings"]),
            quantisation=str((config.get("quantization_config") or {}).get("quant_method", "")),
            latent=int(text.get("kv_lora_rank") or 0) and int(text["kv_lora_rank"]) + int(text["qk_rope_head_dim"]),
            chat=_has_chat_template(folder),
        )
    except BadWeights:
        raise
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BadWeights(f"{config_file} does not say what a language model's says: {error}") from None


def _layers(text: dict[str, Any]) -> int:
    """Layers whose keys and values grow with the context; those with a window or a state of fixed size do not."""
    kinds = text.get("layer_types")
    layers = int(text["num_hidden_layers"])
    if isinstance(kinds, list):
        growing = sum(kind in ("full_attention", "attention") for kind in kinds)
        if not growing:
            raise BadWeights(f"What its layers keep is not known ({', '.join(sorted(set(map(str, kinds))))}).")
        return growing
    return layers // int(text.get("full_attention_interval") or 1)


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template"))
    except (OSError, ValueError):
        return False
