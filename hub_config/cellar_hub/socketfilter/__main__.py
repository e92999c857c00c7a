"""`python -m cellar_hub.socketfilter`: the one process that holds the Docker socket.

Environment: `CELLAR_FILTER_LISTEN` (default /run/cellar/docker.sock), `CELLAR_FILTER_ENGINE` (default
/var/run/docker.sock), and the bounds that `policy.policy_from_env` reads. Ends on SIGTERM and SIGINT.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from .policy import Policy, PolicyError, policy_from_env
from .refusals import RefusalLog
from .server import bind, start


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


async def run(policy: Policy, engine: Path, listener: socket.socket) -> None:
    over = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, over.set)
    server = await start(policy, engine, listener, RefusalLog(say))
    say(f"ready: {listener.getsockname()} in front of {engine}, for {policy.prefix}* with {', '.join(policy.images)}")
    await over.wait()
    server.close()


def main(env: Mapping[str, str]) -> None:
    try:
        policy = policy_from_env(env)
    except PolicyError as error:
        raise SystemExit(str(error)) from None
    engine = Path(env.get("CELLAR_FILTER_ENGINE") or "/var/run/docker.sock")
    listen = Path(env.get("CELLAR_FILTER_LISTEN") or "/run/cellar/docker.sock")
    try:
        listener = bind(listen)
    except OSError as error:
        raise SystemExit(f"CELLAR_FILTER_LISTEN: cannot listen on {listen}: {error.strerror}") from None
    try:
        asyncio.run(run(policy, engine, listener))
    finally:
        listen.unlink(missing_ok=True)


if __name__ == "__main__":
    main(os.environ)
