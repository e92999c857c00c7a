"""The program `cellar-offline`, and `python3 cellar-offline.pyz` at the target.

0: done, or all is well. 1: the answer is no, with what is wrong. 2: it could not be done, with the reason and the cure.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence

ROOMS = ("cellar_offline.building.commands", "cellar_offline.proving.commands")
"""Each has `add(commands)`, which adds parsers with `set_defaults(run=FUNCTION)`; a zipapp lacks the first."""


class Unusable(Exception):
    """What was asked for cannot be done; the message is for a person."""


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(prog="cellar-offline", description="Cellar without internet, from one bundle.")
    commands = program.add_subparsers(dest="command", required=True)
    for room in ROOMS:
        if _there(room.rpartition(".")[0]) and _there(room):
            importlib.import_module(room).add(commands)
    return program


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except Unusable as problem:
        print(f"cellar-offline: {problem}", file=sys.stderr)
        return 2
