"""The presets: one file of models by the memory of a GPU."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellar_vllm.weights import GIB, Weights

FILE = Path(__file__).with_name("presets.toml")
LIKE = 0.1  # sizes of one model's weights differ by less than this from build to build


class BadPreset(ValueError):
    """A preset or a role that is not there; the message is for a person."""


@dataclass(frozen=True)
class Serve:
    """One server of a preset. Names and units as presets.toml explains them."""

    role: str
    model: str
    revision: str
    licence: str
    weights: Weights
    context: int
    sequences: int
    share: float
    tools: str = ""
    reasoning: str = ""
    fim: str = ""

    @property
    def roles(self) -> list[str]:
        return self.role.split()

    def differences(self, found: Weights) -> list[str]:
        """In what a folder's weights are not those of the preset, in words."""
        wanted = self.weights
        pairs = [
            ("layers", wanted.layers, found.layers),
            ("heads", wanted.heads, found.heads),
            ("heads of keys and values", wanted.kv_heads, found.kv_heads),
            ("numbers in a head", wanted.head_dim, found.head_dim),
            ("quantisation", wanted.quantisation or "none", found.quantisation or "none"),
        ]
        words = [f"{what}: {is_} instead of {should}" for what, should, is_ in pairs if is_ != should]
        if abs(found.size - wanted.size) > LIKE * wanted.size + GIB / 2:
            words.append(f"size: {found.size / GIB:.1f} GiB instead of {wanted.size / GIB:.1f}")
        if "chat" in self.roles and not found.chat:
            words.append("chat template: none (a base model completes text; take the Instruct weights)")
        if self.revision and found.revision and found.revision != self.revision:
            words.append(f"commit: {found.revision} instead of {self.revision}")
        return words


@dataclass(frozen=True)
class Preset:
    name: str
    gpu_gib: float
    note: str
    serve: Sequence[Serve]

    def role(self, role: str) -> Serve:
        """The server for "chat" or "completion"; `role` "" where there is one only. BadPreset."""
        found = [each for each in self.serve if not role or role in each.roles]
        if len(found) == 1:
            return found[0]
        roles = ", ".join(each.role for each in self.serve)
        if not found:
            raise BadPreset(f"Preset {self.name} has no server for {role}. It has: {roles}.")
        raise BadPreset(f"Preset {self.name} has several servers. Say which with --role: {roles}.")


def load(file: Path = FILE) -> dict[str, Preset]:
    """All presets by name, in the file's order."""
    table: dict[str, Any] = tomllib.loads(file.read_text())
    presets = [
        Preset(row["name"], float(row["gpu_gib"]), row["note"], [_serve(each) for each in row["serve"]])
        for row in table["preset"]
    ]
    return {preset.name: preset for preset in presets}


def find(name: str, file: Path = FILE) -> Preset:
    presets = load(file)
    if name not in presets:
        raise BadPreset(f"There is no preset {name!r}. There are: {', '.join(presets)}.")
    return presets[name]


def cards(file: Path = FILE) -> dict[float, float]:
    """GB that are printed on a card's box: GiB that the driver reports of the smallest of these cards."""
    return {float(name.partition("gb")[0]): preset.gpu_gib for name, preset in load(file).items()}


def _serve(row: dict[str, Any]) -> Serve:
    row = dict(row)
    weights = Weights(
        name=row["model"],
        size=row.pop("weights_gib") * GIB,
        layers=row.pop("layers"),
        kv_heads=row.pop("kv_heads"),
        head_dim=row.pop("head_dim"),
        context=row.pop("trained"),
        quantisation=row.pop("quantisation", ""),
        chat="chat" in row["role"].split(),
        heads=row.pop("heads"),
    )
    return Serve(weights=weights, **row)
