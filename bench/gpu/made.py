"""A folder of weights as a publisher would lay it out, with a real shape and random numbers.

Every tensor has its published name, type and size, so vLLM loads, repacks and computes as it does with the real ones.
The numbers come from short pools, repeated, so that writing is as fast as the disk (5 GiB in 23 s on a busy machine).
"""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import subprocess
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

BYTES = {"BF16": 2, "F16": 2, "F8_E4M3": 1, "I32": 4}
SHARD = 4 * 2**30
POOL = 2**19 + 129  # numbers: no power of two, lest rows of a matrix be equal
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SETTINGS = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": TEMPLATE}
# A tokenizer for Python and English, learned from Python's own library: it cuts notebooks about as small as a real one.
LEARN = """
import pathlib, sys, sysconfig
from tokenizers import ByteLevelBPETokenizer
learned = ByteLevelBPETokenizer()
files = sorted(map(str, pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")))
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
learned.train(files, vocab_size=16384, special_tokens=special, show_progress=False)
learned.save(sys.argv[1])
"""


@dataclass(frozen=True)
class Tensor:
    name: str
    kind: str
    shape: tuple[int, ...]
    fill: str = "normal"

    @property
    def size(self) -> int:
        return math.prod(self.shape) * BYTES[self.kind]


# --- which tensors


def tensors(config: dict[str, Any]) -> Iterator[Tensor]:
    """Of a Qwen2 or a Qwen3 mixture of experts, in the quantisation that the configuration names."""
    hidden, layers, vocabulary = config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim") or hidden // heads
    plain = "F16" if config["torch_dtype"] == "float16" else "BF16"
    experts = config.get("num_experts", 0)
    yield Tensor("model.embed_tokens.weight", plain, (vocabulary, hidden))
    for number in range(layers):
        layer = f"model.layers.{number}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield Tensor(f"{layer}.{norm}.weight", plain, (hidden,), "ones")
        sizes = {"q": heads * head, "k": kv_heads * head, "v": kv_heads * head}
        for name, size in sizes.items():
            yield from linear(config, f"{layer}.self_attn.{name}_proj", size, hidden)
            if config["model_type"] == "qwen2":
                yield Tensor(f"{layer}.self_attn.{name}_proj.bias", plain, (size,), "zeros")
        yield from linear(config, f"{layer}.self_attn.o_proj", hidden, heads * head)
        if experts:
            for name in ("q", "k"):
                yield Tensor(f"{layer}.self_attn.{name}_norm.weight", plain, (head,), "ones")
            yield Tensor(f"{layer}.mlp.gate.weight", plain, (experts, hidden))
        blocks = [f"{layer}.mlp.experts.{n}" for n in range(experts)] if experts else [f"{layer}.mlp"]
        width = config["moe_intermediate_size" if experts else "intermediate_size"]
        for block in blocks:
            for name in ("gate", "up"):
                yield from linear(config, f"{block}.{name}_proj", width, hidden)
            yield from linear(config, f"{block}.down_proj", hidden, width)
    yield Tensor("model.norm.weight", plain, (hidden,), "ones")
    if not config["tie_word_embeddings"]:
        yield Tensor("lm_head.weight", plain, (vocabulary, hidden))


def linear(config: dict[str, Any], name: str, out: int, into: int) -> Iterator[Tensor]:
    quantisation = config.get("quantization_config", {})
    method = quantisation.get("quant_method", "")
    if method == "awq":
        groups, packed = into // quantisation["group_size"], out * quantisation["bits"] // 32
        yield Tensor(f"{name}.qweight", "I32", (into, packed), "packed")
        yield Tensor(f"{name}.qzeros", "I32", (groups, packed), "eights")
        yield Tensor(f"{name}.scales", "F16", (groups, out), "scale")
    elif method == "fp8":
        rows, columns = quantisation["weight_block_size"]
        yield Tensor(f"{name}.weight", "F8_E4M3", (out, into), "codes")
        blocks = (math.ceil(out / rows), math.ceil(into / columns))
        yield Tensor(f"{name}.weight_scale_inv", "BF16", blocks, "scale")
    else:
        yield Tensor(f"{name}.weight", "F16" if config["torch_dtype"] == "float16" else "BF16", (out, into))


# --- what is in them


@cache
def pool(kind: str, fill: str) -> bytes:
    """POOL numbers. Products of a matrix and a vector stay of the vector's size, so nothing overflows."""
    chance = random.Random(f"{kind} {fill}")
    if fill in ("packed", "eights"):
        return chance.randbytes(4 * POOL) if fill == "packed" else b"\x88" * (4 * POOL)
    if fill == "codes":  # 0x7f and 0xff are no numbers
        return chance.randbytes(POOL).replace(b"\x7f", b"\x11").replace(b"\xff", b"\x91")
    one = {"ones": 1.0, "zeros": 0.0, "scale": 0.002 if kind == "F16" else 0.0001}.get(fill)
    numbers = [one] * POOL if one is not None else [chance.gauss(0, 0.02) for _ in range(POOL)]
    if kind == "F16":
        return struct.pack(f"<{POOL}e", *numbers)
    wide = array("H", struct.pack(f"<{POOL}f", *numbers))
    return wide[1::2].tobytes()  # bf16 is the upper half of a float


def _write_tensor(file: Any, tensor: Tensor) -> None:
    source = memoryview(pool(tensor.kind, tensor.fill))
    left = tensor.size
    while left:
        piece = source[: min(left, len(source))]
        file.write(piece)
        left -= len(piece)


# --- the folder


def write(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    """Fill a new folder; bytes of all tensors. `tokenizer`: what `learn_tokenizer` gave."""
    shutil.rmtree(folder, ignore_errors=True)  # half of one that was interrupted
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": config["eos_token_id"]}))
    (folder / "tokenizer_config.json").write_text(json.dumps(SETTINGS))
    (folder / "tokenizer.json").write_text(json.dumps(_filled(tokenizer, config["vocab_size"]), ensure_ascii=False))
    shards: list[list[Tensor]] = [[]]
    total = 0
    for tensor in tensors(config):
        total += tensor.size
        if total > SHARD * len(shards):
            shards.append([])
        shards[-1].append(tensor)
    for number, shard in enumerate(shards, 1):
        _write_shard(folder / f"model-{number:05}-of-{len(shards):05}.safetensors", shard)
    return total


def _write_shard(path: Path, shard: list[Tensor]) -> None:
    """As safetensors lays it out: the header's length, the header, the tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in shard:
        header[tensor.name] = {"dtype": tensor.kind, "shape": tensor.shape, "data_offsets": [at, at + tensor.size]}
        at += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in shard:
            _write_tensor(file, tensor)


def learn_tokenizer(python: Path, folder: Path) -> dict[str, Any]:
    """By the library that vLLM's environment has; a few seconds. `folder` is where it may write."""
    file = folder / "tokenizer.json"
    subprocess.run([str(python), "-c", LEARN, str(file)], check=True)
    learned: dict[str, Any] = json.loads(file.read_text())
    return learned


def _filled(tokenizer: dict[str, Any], size: int) -> dict[str, Any]:
    """With words of no meaning up to the model's number of tokens, so that whatever a random model says is text."""
    known: dict[str, int] = tokenizer["model"]["vocab"]
    taken = {*known.values(), *(each["id"] for each in tokenizer["added_tokens"])}
    words = {f"\u0120w{number}": number for number in range(size) if number not in taken}
    return tokenizer | {"model": tokenizer["model"] | {"vocab": known | words}}
