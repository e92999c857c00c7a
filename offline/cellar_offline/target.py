"""target.json of a release: what the target's checks go by, decided where the bundle was built.

{"overlays": ["vllm"],                  compose overlays whose images the bundle has
 "preset": "24gb",                      the preset its weights are for; "" is the embedded model
 "presets": [{"name": "24gb", "gpu_gib": 22.5, "weights_gib": 18.0, "note": "..."}],
 "driver": "580.65",                    the least NVIDIA driver of the vLLM image; ""
 "memory_gib": 16.0,                    of the machine, for hub, model server and one workspace
 "weights": ["weights/NAME"]}           folders of the release with a model each
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

PATH = "target.json"
LARGEST = 1 << 20  # bytes


class BadTarget(ValueError):
    """target.json cannot be used; the message is for a person."""


@dataclass(frozen=True)
class Preset:
    """A model (or two) for one GPU, as hub_config/cellar_vllm/presets.toml has it."""

    name: str
    gpu_gib: float
    weights_gib: float
    note: str


@dataclass(frozen=True)
class Target:
    overlays: tuple[str, ...] = ()
    preset: str = ""
    presets: tuple[Preset, ...] = ()
    driver: str = ""
    memory_gib: float = 4.0
    weights: tuple[str, ...] = ()

    def dump(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()

    def named(self, preset: str) -> Preset:
        """BadTarget when the release knows no such preset."""
        for each in self.presets:
            if each.name == preset:
                return each
        known = ", ".join(each.name for each in self.presets) or "none"
        raise BadTarget(f"There is no preset {preset!r}. This release knows: {known}.")


def parse(text: bytes) -> Target:
    """From the bytes of target.json. BadTarget."""
    try:
        table: dict[str, Any] = json.loads(text)
        table["presets"] = [Preset(**each) for each in table["presets"]]
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in table.items()}
        return Target(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTarget(f"{PATH} cannot be read: {error}.") from None
