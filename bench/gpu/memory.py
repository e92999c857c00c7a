"""What vLLM says of its memory when it starts, beside what `cellar-vllm fit` computes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cellar_vllm.fit import Fit

from bench.report import Row

GIB = 2**30
LINES = {
    "weights": r"Model loading took ([\d.]+) GiB",
    "cache": r"Available KV cache memory: ([\d.]+) GiB",
    "graphs": r"CUDA graph pool memory: ([\d.]+) GiB \(actual\)",
    "tokens": r"[A-Z]+ KV cache size: ([\d,]+) tokens",
}


@dataclass(frozen=True)
class Said:
    """GiB, and tokens; None: vLLM wrote no such line."""

    weights: float | None
    cache: float | None
    graphs: float | None
    tokens: float | None


def read(log: str) -> Said:
    """The last line of each kind."""
    found = {name: re.findall(pattern, log) for name, pattern in LINES.items()}
    return Said(**{name: float(each[-1].replace(",", "")) if each else None for name, each in found.items()})


def rows(said: Said, room: Fit, used: float | None, preset: float | None = None) -> list[Row]:
    """`used`: bytes in use on the card by nvidia-smi, less what was in use before.

    `preset`: bytes of the published weights, which may be more than those made here: what others quantised leaves more
    in 16 bits.
    """
    theirs, left = "", ""
    if preset is not None:
        theirs = f"; the published weights: {preset / GIB:.1f} GiB"
        left = f"; beside the published weights: {(room.memory - preset - room.overhead) / GIB:.1f} GiB"
    itself = None
    if said.weights is not None and said.cache is not None:
        itself = room.memory / GIB - said.weights - said.cache
    pairs = [
        ("weights on the card", said.weights, "GiB", f"fit: {room.weights.size / GIB:.1f} GiB{theirs}"),
        ("vLLM itself: what it takes, less weights and cache", itself, "GiB", f"fit: {room.overhead / GIB:.1f} GiB"),
        ("keys and values", said.cache, "GiB", f"fit: {room.room / GIB:.1f} GiB{left}"),
        ("tokens of all requests together", said.tokens, "tokens", f"fit: {room.tokens} tokens"),
        ("CUDA graphs", said.graphs, "GiB", "fit: a part of what is vLLM itself"),
        ("in use by nvidia-smi", None if used is None else used / GIB, "GiB", f"asked: {room.memory / GIB:.1f} GiB"),
    ]
    return [Row(what, value, unit, against=against) for what, value, unit, against in pairs if value is not None]
