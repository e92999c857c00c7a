"""Checks of NVIDIA cards and their driver against the preset that a release brings weights for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellar_offline.checks import WELL, WRONG, Check
from cellar_offline.target import Target

QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))


def cards() -> list[tuple[str, float, str]]:
    """Name, GiB and driver of each. OSError, ValueError, subprocess.SubprocessError when nothing answers."""
    said = subprocess.run(QUERY, capture_output=True, text=True, timeout=60, check=True).stdout
    rows = [line.rsplit(",", 2) for line in said.splitlines() if line.strip()]
    return [(name.strip(), float(mib) / 1024, driver.strip()) for name, mib, driver in rows]


def gpu(target: Target, name: str, info: dict[str, Any]) -> Iterator[Check]:
    """For preset `name`; "" needs no card. target.BadTarget."""
    if not name:
        yield Check("GPU", WELL, "none is needed: the embedded model runs on the processor")
        return
    preset = target.named(name)
    try:
        found = cards()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        cure = "Install NVIDIA's driver and start again; `nvidia-smi` must list the card. Without one: up --overlays ''"
        yield Check("GPU", WRONG, f"preset {name} wants one, and nvidia-smi does not answer: {error}", cure)
        return
    best = max(found, key=lambda each: each[1], default=("none", 0.0, ""))
    smaller = [each.name for each in target.presets if each.gpu_gib <= best[1]]
    cure = f"Presets that fit this card: {', '.join(smaller) or 'none'}. docs/models.md says which is best."
    good = best[1] >= preset.gpu_gib
    words = f"{best[0]}, {best[1]:.1f} GiB; preset {name} wants {preset.gpu_gib:g}"
    yield Check("GPU", WELL if good else WRONG, words, cure)
    if target.driver and best[2]:
        good = _version(best[2]) >= _version(target.driver)
        cure = f"vLLM's image wants driver {target.driver} or newer. Bring it as your distribution's package."
        yield Check("GPU driver", WELL if good else WRONG, f"{best[2]}, wanted {target.driver}", cure)
    ready = "nvidia" in (info.get("Runtimes") or {}) or any(path.is_dir() and any(path.iterdir()) for path in CDI)
    cure = "Install nvidia-container-toolkit, then: nvidia-ctk runtime configure --runtime=docker, and restart Docker."
    yield Check(
        "GPU in containers", WELL if ready else WRONG, "set up" if ready else "Docker cannot hand a card in", cure
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
