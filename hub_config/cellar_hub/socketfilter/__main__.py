"""`python -m cellar_hub.socketfilter`: the one process that holds the Docker socket.

With the word `ping` it asks a running one whether the engine answers behind it (exit status 0 or 1).

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


def ping(listen: Path) -> bool:
    """Whether the filter answers, and the engine behind it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(str(listen))
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            return client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def main(env: Mapping[str, str], arguments: list[str]) -> None:
    listen = Path(env.get("CELLAR_FILTER_LISTEN") or "/run/cellar/docker.sock")
    if arguments == ["ping"]:
        raise SystemExit(0 if ping(listen) else 1)
    try:
        policy = policy_from_env(env)
    except PolicyError as error:
        raise SystemExit(str(error)) from None
    engine = Path(env.get("CELLAR_FILTER_ENGINE") or "/var/run/docker.sock")
    try:
        listener = bind(listen)
    except OSError as error:
        raise SystemExit(f"CELLAR_FILTER_LISTEN: cannot listen on {listen}: {error.strerror}") from None
    try:
        asyncio.run(run(policy, engine, listener))
    finally:
        listen.unlink(missing_ok=True)


if __name__ == "__main__":
    main(os.environ, sys.argv[1:])
