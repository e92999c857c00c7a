"""What is served for a measurement, where its weights are, and what `cellar-vllm fit` says of it."""

from __future__ import annotations

import argparse
import math
import subprocess
import time
from pathlib import Path

from cellar_vllm import presets, weights
from cellar_vllm.fit import Fit, fit, reads
from cellar_vllm.weights import GIB

from bench.gpu import made, shapes
from bench.gpu.card import card
from bench.vllm_serve import Load
from tools import vllm_cpu

TINY = ("--enforce-eager", "--block-size=32", "--max-num-batched-tokens=256")
TINY_SHARE = 0.2
TINY_CONTEXT = 16384
CPU_GIB = 1  # of keys and values


class Plan:
    """`options`: of the command line. SystemExit: there is no GPU, no vLLM, or no such role."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.card = card()
        self.tiny = options.shape == "tiny"
        self.preset = presets.find(options.preset)
        try:
            self.wanted = self.preset.role(options.role)
        except presets.BadPreset as problem:
            raise SystemExit(str(problem)) from None
        self.python = self._python(options.python)
        self.out: Path = options.out.resolve()
        self.more = list(options.options)
        self.name = "-".join([options.preset, *self.wanted.roles, options.shape])

    def _python(self, named: Path | None) -> Path:
        if self.card is None and not self.tiny:
            raise SystemExit(
                "There is no NVIDIA GPU here (nvidia-smi names none). --shape tiny tries the script without."
            )
        if named is None and not (self.card is None and vllm_cpu.there()):
            raise SystemExit("Say where vLLM is: --python /opt/cellar-vllm/bin/python (docs/models.md installs it).")
        python = named or vllm_cpu.python()
        # A folder that is only called so has no origin.
        look = "import importlib.util as of, sys; sys.exit(getattr(of.find_spec('vllm'), 'origin', None) is None)"
        try:
            found = subprocess.run([str(python), "-c", look]).returncode == 0
        except OSError:
            found = False
        if not found:
            raise SystemExit(f"{python} has no vLLM: docs/models.md says how it is installed.")
        return python

    def make(self, tiny: bool) -> Path:
        """The folder of weights; one that was made whole is taken again."""
        shape = shapes.SHAPES[self.wanted.model]
        if tiny:
            shape = shapes.small(shape, plain=self.card is None)
        folder = self.out / "weights" / (self.name if tiny == self.tiny else f"{self.name}-tiny")
        ready = folder.with_suffix(".ready")
        if not ready.is_file():
            began = time.perf_counter()
            size = made.write(folder, shape, made.learn_tokenizer(self.python, self.out))
            ready.touch()
            print(f"{folder}: {size / GIB:.1f} GiB, made in {time.perf_counter() - began:.0f} s", flush=True)
        return folder

    @property
    def share(self) -> float:
        """Of the card that is here: as much as the preset takes of its own."""
        assert self.card is not None
        if self.tiny:
            return TINY_SHARE
        return math.floor(1000 * self.wanted.share * min(1, self.preset.gpu_gib * GIB / self.card.memory)) / 1000

    @property
    def context(self) -> int:
        return TINY_CONTEXT if self.tiny else self.wanted.context

    def asked(self, tiny: bool) -> list[str]:
        """Options of `cellar-vllm serve`."""
        if self.card is None:
            return ["--gpu=8", f"--context={TINY_CONTEXT}", "--", *TINY, *self.more]
        taken = [f"--gpu={self.card.memory // 2**20:.0f}MiB", f"--share={TINY_SHARE if tiny else self.share}"]
        if tiny:
            return [*taken, f"--context={TINY_CONTEXT}", "--", *TINY, *self.more]
        # Prompts are read in the steps of the preset's card.
        read = reads(self.preset.gpu_gib * GIB)
        steps = [f"--max-num-batched-tokens={read}"] if reads(self.card.memory) > read else []
        return [f"--preset={self.preset.name}", f"--role={self.wanted.roles[0]}", *taken, "--", *steps, *self.more]

    def fit(self, folder: Path) -> Fit:
        found = weights.read(folder)
        if self.card is None:
            return Fit(found, CPU_GIB * GIB + found.size, 0)
        return fit(found, self.card.memory, share=self.share)

    @property
    def load(self) -> Load:
        tokenizer = self.out / "weights" / self.name
        if self.card is None:
            return Load(self.python, tokenizer, prompts=8, rounds=1, input=64, output=16)
        at_once = min(16, self.wanted.sequences)
        return Load(self.python, tokenizer, 4 * at_once, at_once, input=1024, output=128, rounds=2)
