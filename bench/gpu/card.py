"""The GPU that is measured, as its driver reports it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Card:
    name: str
    memory: float  # bytes
    used: float  # bytes, of all processes
    driver: str

    def __str__(self) -> str:
        return f"{self.name}, {self.memory / GIB:.1f} GiB, driver {self.driver}"


def card() -> Card | None:
    """The first one that programs may see; None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    asked = "--query-gpu=name,memory.total,memory.used,driver_version"
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
    command = [program, asked, "--format=csv,noheader,nounits", *([f"--id={seen}"] if seen else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    return parse(done.stdout) if done.returncode == 0 else None


def parse(text: str) -> Card | None:
    """What nvidia-smi prints: a line for each card, sizes in MiB."""
    fields = [each.strip() for each in text.partition("\n")[0].split(",")]
    try:
        name, total, used, driver = fields
        return Card(name, float(total) * 2**20, float(used) * 2**20, driver)
    except ValueError:
        return None
