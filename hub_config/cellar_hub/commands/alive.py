"""`python -m cellar_hub.commands.alive URL`: exit status 0 when GET answers 200. Containers are checked by it."""

from __future__ import annotations

import sys
import urllib.request

PATIENCE = 4.0  # seconds


def answers(url: str) -> bool:
    """Through no proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
