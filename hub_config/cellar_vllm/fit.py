"""How many tokens of context, and so how many people, fit beside a model's weights.

Estimates: vLLM prints the true number when it starts ("GPU KV cache size").
"""

from __future__ import annotations

from dataclasses import dataclass

from cellar_vllm.weights import GIB, Weights

# What vLLM holds beside weights and cache: activations of the longest batch, CUDA graphs, the CUDA context. An estimate
# for models of 7 to 32 billion parameters; of several GPUs each has its own.
OVERHEAD = 1.5 * GIB
SHARE = 0.92  # vLLM's own --gpu-memory-utilization
BLOCK = 16  # tokens; the cache is given out in these


@dataclass(frozen=True)
class Fit:
    """What a card has room for."""

    weights: Weights
    memory: float  # bytes this server may take, all GPUs
    overhead: float  # bytes
    kv_bytes: int  # of one token

    @property
    def room(self) -> float:
        """Bytes for keys and values; negative: the weights themselves do not fit."""
        return self.memory - self.weights.size - self.overhead

    @property
    def tokens(self) -> int:
        """Of all requests together."""
        return max(0, int(self.room // self.kv_bytes) // BLOCK * BLOCK)

    @property
    def context(self) -> int:
        """The longest that one request may be."""
        return min(self.weights.context, self.tokens)

    def requests(self, tokens: int) -> int:
        """So many of that length at once; what they share at their beginning is kept once and comes on top."""
        return self.tokens // tokens if tokens <= self.context else 0


def fit(weights: Weights, gpu: float, *, gpus: int = 1, share: float = SHARE, kv_number: int = 2) -> Fit:
    """`gpu`: bytes of one card, of which `share` is taken; `kv_number`: bytes of a number in the cache (2; fp8: 1).

    With several cards the heads are divided among them; more cards than heads keep copies.
    """
    copies = gpus if weights.latent else max(1, gpus // weights.kv_heads)
    return Fit(weights, gpu * gpus * share, OVERHEAD * gpus, weights.kv_bytes(kv_number) * copies)


def least_gpu(weights: Weights, tokens: int, *, share: float = SHARE) -> float:
    """Bytes of the smallest single card on which `tokens` of context fit."""
    return (weights.size + OVERHEAD + tokens * weights.kv_bytes()) / share
