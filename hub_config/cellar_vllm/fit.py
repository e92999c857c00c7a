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
# A prompt is read in steps of so many tokens on a card from so many bytes on, as vLLM 0.32 has it (engine/arg_utils.py,
# get_batch_defaults). An A100 of 80 GB reads 2,048: here its kind is not known, and the larger step takes more.
READS = ((160 * GIB, 16384), (70 * GIB, 8192), (0, 2048))
STEPS = 2  # are under way; what has left a window is given back only behind them


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
    return Fit(weights, gpu * gpus * share, OVERHEAD * gpus, kv_number, copies, STEPS * reads(gpu))


def reads(gpu: float) -> int:
    """Tokens of a prompt that are read at once on a card of so many bytes (vLLM's --max-num-batched-tokens)."""
    return next(tokens for least, tokens in READS if gpu >= least)


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


def least_gpu(weights: Weights, tokens: int, *, gpus: int = 1, share: float = SHARE, kv_number: int = 2) -> float:
    """Bytes of the smallest card on which `tokens` of context fit; of each, where the model is spread over several."""
    for card, _ in reversed(READS):  # a larger one reads in larger steps, for which it needs more
        room = fit(weights, card, gpus=gpus, share=share, kv_number=kv_number)
        least = max(card, (weights.size + room.overhead + room.request_bytes(tokens)) / (gpus * share))
        if reads(least) == reads(card):
            break
    return least
