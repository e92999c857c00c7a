"""The program `cellar-offline`, and `python3 cellar-offline.pyz` at the target.

0: done, or all is well. 1: the answer is no, with what is wrong. 2: it could not be done, with the reason and the cure.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Sequence

from cellar_offline import commands
from cellar_offline.engine import EngineError
from cellar_offline.manifest import BadManifest
from cellar_offline.media import BadMedia
from cellar_offline.release import Unusable
from cellar_offline.signature import BadSignature, NoOpenSSH
from cellar_offline.target import BadTarget

ROOMS = ("cellar_offline.building.commands", "cellar_offline.proving.commands")
"""Each has `add(commands)`, as `commands.py` has; a zipapp lacks the first."""
PROBLEMS = (Unusable, BadManifest, BadMedia, BadSignature, NoOpenSSH, BadTarget, EngineError)
"""Whose message is for a person. The rooms' own are subclasses of `Unusable`."""


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(prog="cellar-offline", description="Cellar without internet, from one bundle.")
    known = program.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add(known)
    for room in ROOMS:
        if _there(room.rpartition(".")[0]) and _there(room):
            importlib.import_module(room).add(known)
    return program


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    os.umask(0o022)  # releases are read by services of other users; what is private has its own mode
    if isinstance(sys.stdout, io.TextIOWrapper):  # names on media, and Korean, in whatever the terminal can
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(options.run(options))
    except PROBLEMS as problem:
        words = str(problem)
    except PermissionError as error:
        words = f"{error.filename or 'Something'} may not be read or written by this user. Try it as root."
    except OSError as error:
        words = str(error)
    except KeyboardInterrupt:
        words = "Interrupted. What is there stays; the same command goes on from here."
    sys.stdout.flush()
    print("cellar-offline: " + "\n".join(map(commands.one_line, words.split("\n"))), file=sys.stderr)
    return 2


def run() -> None:
    """With standard output's reader gone, end quietly, as other programs do."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    sys.exit(status)
