"""`python -m cellar_hub.forwarder`: one forwarder; `... alive` says with its exit status whether it still looks.

Looks every second at the policy file, the leases and its own addresses. Ends on SIGTERM, with its connections; what was
not reported is reported first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cellar.settings import SettingsError

from cellar_hub.destinations import Network, check_targets
from cellar_hub.interfaces import addresses_here, networks_with_a_way_out
from cellar_hub.leases import read_leases
from cellar_hub.policyfile import PolicyFile
from cellar_hub.settings import ForwarderSettings

from .doors import Door, Place, doors
from .post import make_client, post_due, post_reports
from .reports import Reports
from .server import Forwarder

LOOK = 1.0  # seconds
HEARTBEAT = Path("/tmp/forwarder-looked")
STUCK = 20.0  # seconds without a look
LAST_WORDS = 5.0

log = logging.getLogger("cellar.forwarder")


def own_networks(settings: ForwarderSettings) -> list[Network]:
    """Where no destination may lead: the workspaces' networks, and all that this container is on but the one with the
    way out."""
    ways_out = networks_with_a_way_out()
    return [settings.pool, *(each.network for each in addresses_here() if each.network not in ways_out)]


def look(settings: ForwarderSettings, policy: PolicyFile) -> dict[Place, Door]:
    """What must be open now."""
    leases = read_leases(settings.leases, settings.pool)
    HEARTBEAT.touch()
    return doors(leases, policy.current(), settings.number, addresses_here())


async def run(settings: ForwarderSettings, policy: PolicyFile, stop: asyncio.Event) -> None:
    reports = Reports(f"{settings.number}-{os.urandom(4).hex()}")
    forwarder = Forwarder(reports, settings.connections, lambda: own_networks(settings))
    looking = ThreadPoolExecutor(1)  # of its own: names that are being looked up fill the others
    async with make_client(settings.token, settings.pool) as http:
        posting = asyncio.create_task(post_reports(http, settings.report_url, reports))
        try:
            while not stop.is_set():
                await forwarder.set(await asyncio.get_running_loop().run_in_executor(looking, look, settings, policy))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK)
        finally:
            looking.shutdown(wait=False)
            await forwarder.close()
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await post_due(http, settings.report_url, reports, end=True)


def is_alive() -> bool:
    try:
        return time.time() - HEARTBEAT.stat().st_mtime < STUCK
    except OSError:
        return False


def allow_many_sockets() -> None:
    """Each connection has two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str], env: Mapping[str, str]) -> int:
    """The exit status: 2 for a wrong setting."""
    if arguments == ["alive"]:
        return 0 if is_alive() else 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s forwarder: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = ForwarderSettings.from_env(env)
        policy = PolicyFile(settings.policy)
        check_targets(policy.current().destinations, settings.pool, f"CELLAR_POLICY ({settings.policy})")
    except SettingsError as problem:
        log.error("%s", problem)
        return 2
    allow_many_sockets()
    log.info("ready: number %d, %d destinations in the policy", settings.number, len(policy.current().destinations))

    async def until_told() -> None:
        stop = asyncio.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
        await run(settings, policy, stop)

    asyncio.run(until_told())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
