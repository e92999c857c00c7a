"""Writes the golden files: `python -m tests.contract.write`. Look at the diff before you commit it: it is the contract.

cases.json lists everything, so that pytest and jest need no other knowledge:
`streams[]`: name, why, file, events `[id, event]`, folds (per turn of the request). `requests[]`: name, type, file.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.contract.posts import ACCEPTED
from tests.contract.streams import cases

HERE = Path(__file__).parent


def golden_files() -> dict[str, bytes]:
    """Path below this folder -> content."""
    files: dict[str, bytes] = {}
    index: dict[str, list[object]] = {"streams": [], "requests": []}
    for case in cases():
        file = f"streams/{case.name}.sse"
        files[file] = case.data
        index["streams"].append(
            {"name": case.name, "why": case.why, "file": file, "events": case.events, "folds": case.folds}
        )
    for name, (kind, body) in ACCEPTED.items():
        file = f"requests/{name}.json"
        files[file] = _json(body)
        index["requests"].append({"name": name, "type": kind, "file": file})
    files["cases.json"] = _json(index)
    return files


def _json(value: object) -> bytes:
    """ASCII only, so that no editor, diff or parser changes a separator."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def main() -> None:
    for file, content in golden_files().items():
        path = HERE / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
