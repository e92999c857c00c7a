"""The command line `cellar-hub`."""

from __future__ import annotations

import sys


def main() -> None:
    """The script that is installed everywhere; what it needs is there on a hub alone."""
    try:
        from .program import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"cellar-hub is for the hub's side, and {error.name} is missing: pip install 'jupyter-cellar[hub]'")
    run()
