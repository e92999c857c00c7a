"""The command `build`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from cellar_offline.release import Unusable

SOURCE = Path(__file__).resolve().parents[3]
INTERRUPTED = 130


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = "make a bundle where there is internet; a build that was ended goes on with the same command"
    command = commands.add_parser("build", help=words, description=words)
    command.set_defaults(run=run)
    command.add_argument("-c", dest="recipe", type=Path, default=Path("offline.toml"), metavar="offline.toml")
    command.add_argument("--out", type=Path, default=Path("dist/bundle"), metavar="DIR", help="where (dist/bundle)")
    words = "the OpenSSH key that signs, instead of the recipe's; its .pub where ssh-agent holds the key"
    command.add_argument("--key", type=Path, metavar="FILE", help=words)
    words = "the folder of an earlier bundle: only what it lacks is written, and it must be loaded before"
    command.add_argument("--since", type=Path, metavar="OLD", help=words)
    command.add_argument("--allow-unsigned", action="store_true", help="for tests: a recipe without a key")


def run(options: argparse.Namespace) -> int:
    """A build leaves nothing behind that the next one would not find: so it may end at any moment."""
    if sys.version_info < (3, 11):
        raise Unusable("`build` needs Python 3.11 or newer.")
    from cellar_offline import signature
    from cellar_offline.building.assembling import build
    from cellar_offline.building.house import House
    from cellar_offline.building.images import Engine
    from cellar_offline.building.problems import CannotBuild
    from cellar_offline.building.progress import Steps
    from cellar_offline.building.recipe import read
    from cellar_offline.building.sealing import Order, summary

    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    house = House(SOURCE)
    try:
        recipe = read(options.recipe, house.version())
        if options.key:
            recipe = replace(recipe, key=options.key)
        order = Order(options.out, options.since, options.allow_unsigned)
        manifest = build(recipe, order, house, Engine(), Steps())
    except OSError as error:
        raise CannotBuild(
            f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}. Nothing was named complete; "
            "what was done stays, and the same command goes on from there."
        ) from None
    public = recipe.public_key
    summary(manifest, order, signature.fingerprint(signature.read_key(public)) if public else "")
    return 0


def _end(*_: object) -> None:
    """Threads wait for pip and Docker, which end when we do; there is nothing to tidy up."""
    sys.stderr.write("\nEnded. What was done stays, and the same command goes on from there.\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)
