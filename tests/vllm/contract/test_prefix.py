"""What of a conversation vLLM finds in its cache, as our own server writes the prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.servers import running
from tests.vllm.contract.conftest import KEY, Served

pytestmark = pytest.mark.timeout(300)
TURNS = 10
CELLS = [
    {"id": f"c{number}", "kind": "code", "source": f"total_{number} = frame['column {number}'].sum()\ntotal_{number}"}
    for number in range(20)
]


def notebook(edits: int) -> dict[str, Any]:
    """One more of its cells has been edited and run at each turn."""
    output = {"kind": "result", "text": "42.5"}
    changed = [
        cell | {"source": f"{cell['source']}\n# edited", "execution_count": edits, "outputs": [output]}
        for cell in CELLS[:edits]
    ]
    return {"type": "notebook", "path": "work.ipynb", "cells": [*changed, *CELLS[edits:]], "auto": True}


async def test_ten_turns_with_a_notebook_that_changes_find_ninety_percent_of_what_was_there(
    vllm: Served, tmp_path: Path
) -> None:
    shares: list[float] = []
    held, conversation = 0, {}
    with running(tmp_path, vllm.url, api_key=KEY, max_tokens=16) as server:
        async with server.panel() as panel:
            for turn in range(TURNS):
                context = [notebook(turn)]
                done = await panel.finished(f"What is total_{turn}?", context=context, **conversation)
                assert done["state"] in ("complete", "length"), done
                conversation = {"conversation_id": done["conversation_id"]}
                usage = done["usage"]
                if held:
                    shares.append(usage["cached"] / held)
                held = usage["prompt"] + usage["completion"]
    assert len(shares) == TURNS - 1
    assert sum(shares) / len(shares) >= 0.9, shares
    assert min(shares) >= 0.8, shares
