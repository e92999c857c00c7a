"""The program `cellar-hub`: reads its arguments, calls one room, turns errors into one line and an exit status.

0: done. 1: the answer is no (a check failed, the audit is not whole). 2: it could not be done, with the reason.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from cellar.settings import SettingsError

from ..accounts import Unusable
from ..hubapi import HubRefused
from ..store import StoreDown
from . import audit, books, checks, users


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(prog="cellar-hub", description="Cellar Hub's command line.")
    commands = program.add_subparsers(dest="command", required=True)
    users.add_arguments(commands.add_parser("users", help="local accounts"))
    books.add_usage_arguments(commands.add_parser("usage", help="tokens and requests by user and model"))
    audit.add_arguments(commands.add_parser("audit", help="verify, export or shorten the audit; add a key"))
    commands.add_parser("check", help="whether everything that belongs together works together")
    return program


def run(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Exit status."""
    options = parser().parse_args(arguments)
    does = {"users": users.run, "usage": books.usage, "audit": audit.run, "check": checks.run}
    try:
        return does[options.command](options, env)
    except (SettingsError, HubRefused, StoreDown, Unusable) as error:
        sys.stderr.write(f"cellar-hub: {error}\n")
        return 2


def main() -> None:
    sys.exit(run(sys.argv[1:], os.environ))
