"""How many tokens of context, and so how many people, fit beside a model's weights.

Estimates: vLLM prints the true number when it starts ("GPU KV cache size").
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from cellar_vllm.weights import GIB, Weights

# What vLLM holds beside weights and cache: activations of the longest batch, CUDA graphs, the CUDA context. An estimate
# for models of 7 to 32 billion parameters; of several GPUs each has its own.
OVERHEAD = 1.5 * GIB
SHARE = 0.92  # vLLM's own --gpu-memory-utilization
BLOCK = 16  # tokens; the cache is given out in these
# A prompt is read in steps of 2,048 tokens, 8,192 on a card from 70 GiB on (vLLM's --max-num-batched-tokens), of which
# two are under way; what has left a window is given back only behind them.
LARGE = 70 * GIB
STEPS = 2


@dataclass(frozen=True)
class Fit:
    """What a card has room for."""

    weights: Weights
    memory: float  # bytes this server may take, all GPUs
    overhead: float  # bytes
    kv_number: int = 2  # bytes of a number in the cache
    copies: int = 1  # of each key and value, where there are more cards than heads
    step: int = 0  # tokens that a layer with a window holds above it while a prompt is read

    @property
    def room(self) -> float:
        """Bytes for keys and values; negative: the weights themselves do not fit."""
        return self.memory - self.weights.size - self.overhead

    @property
    def kv_bytes(self) -> int:
        """Of one more token, in layers that keep the whole context."""
        return self.copies * self.weights.kv_bytes(self.kv_number)

    def request_bytes(self, tokens: int) -> int:
        return self.copies * self.weights.request_bytes(tokens, self.kv_number, self.step)

    @property
    def context(self) -> int:
        """The longest that one request may be."""
        whole = bisect_right(range(BLOCK, self.weights.context + 1, BLOCK), self.room, key=self.request_bytes)
        return min(self.weights.context, whole * BLOCK)

    @property
    def tokens(self) -> int:
        """Of all requests together, if each is as long as it may be: what vLLM prints."""
        longest = self.context
        return int(self.room * longest // self.request_bytes(longest)) // BLOCK * BLOCK if longest else 0

    def requests(self, tokens: int) -> int:
        """So many of that length at once; what they share at their beginning is kept once and comes on top."""
        return int(self.room // self.request_bytes(tokens)) if tokens <= self.context else 0


def fit(weights: Weights, gpu: float, *, gpus: int = 1, share: float = SHARE, kv_number: int = 2) -> Fit:
    """`gpu`: bytes of one card, of which `share` is taken; `kv_number`: bytes of a number in the cache (2; fp8: 1).

    With several cards the heads are divided among them; more cards than heads keep copies.
    """
    copies = gpus if weights.latent else max(1, gpus // weights.kv_heads)
    step = STEPS * (8192 if gpu >= LARGE else 2048)
    return Fit(weights, gpu * gpus * share, OVERHEAD * gpus, kv_number, copies, step)


def spread(weights: Weights, gpus: int) -> str:
    """Why a model's heads cannot be divided among so many cards, in words; "" if they can."""
    if _divides(weights, gpus):
        return ""
    possible = ", ".join(str(count) for count in range(1, 17) if _divides(weights, count))
    heads = f"{weights.heads} heads of attention and " if weights.heads else ""
    return (
        f"{weights.name} cannot be spread over {gpus} cards: it has {heads}{weights.kv_heads} heads of keys and "
        f"values, which are divided evenly. Possible: {possible}."
    )


def _divides(weights: Weights, gpus: int) -> bool:
    even = weights.latent or weights.kv_heads % gpus == 0 or gpus % weights.kv_heads == 0
    return bool(even) and weights.heads % gpus == 0


def least_gpu(weights: Weights, tokens: int, *, share: float = SHARE) -> float:
    """Bytes of the smallest single card on which `tokens` of context fit."""
    return (weights.size + OVERHEAD + weights.request_bytes(tokens)) / share
