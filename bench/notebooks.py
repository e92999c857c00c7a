"""The notebook of the design's large case: 200 cells, 100 kB of source, 2 MB of outputs."""

from __future__ import annotations

import json
from typing import Any

CELLS = 200
SOURCE = 100_000
OUTPUTS = 2_000_000


def large() -> str:
    """A notebook file with code cells of 500 characters and an output of 10,000 in each."""
    cells = [_cell(i) for i in range(CELLS)]
    return json.dumps({"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5})


_METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def _cell(i: int) -> dict[str, Any]:
    line = f"total_{i} = sum(value * {i} for value in readings if value > threshold_{i})\n"
    row = "  ".join(f"{i * 7 + k:8.3f}" for k in range(8)) + "\n"
    return {
        "id": f"cell-{i}",
        "cell_type": "code",
        "execution_count": i + 1,
        "metadata": {},
        "source": (line * (SOURCE // CELLS // len(line) + 1))[: SOURCE // CELLS],
        "outputs": [
            {
                "output_type": "stream",
                "name": "stdout",
                "text": (row * (OUTPUTS // CELLS // len(row) + 1))[: OUTPUTS // CELLS],
            }
        ],
    }
