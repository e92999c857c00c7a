"""The process: two uvicorn servers in one event loop, structured logs, and an end that settles everything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Generator, Mapping
from typing import Any

import uvicorn
from cellar.settings import SettingsError

from cellar_hub.backup.staging import check_whole
from cellar_hub.logs import configure_logs
from cellar_hub.settings import GatewaySettings
from cellar_hub.store import StoreDown

from .app import make_app
from .door import BoundedProtocol, Crowd
from .house import House
from .operations import make_operations

BACKLOG = 2048
KEEP_ALIVE = 75
MAX_CONNECTIONS = 20_000
SOCKETS = 65_536
SWITCH_INTERVAL = 0.0005
"""Seconds that the books' writer may keep the interpreter from the loop; Python's own 5 ms show in first tokens."""

log = logging.getLogger("cellar_hub.gateway")


class Server(uvicorn.Server):
    """One of two: the signals belong to the process, not to either."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def make_server(app: Any, crowd: Crowd | None = None) -> Server:
    class Protocol(BoundedProtocol):
        pass

    Protocol.crowd = crowd
    return Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
    )


def bind(address: tuple[str, int]) -> socket.socket:
    """Raises `OSError`."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.create_server(address, family=family, backlog=BACKLOG)


async def serve(house: House, users: socket.socket, operations: socket.socket, stop: asyncio.Event) -> None:
    """Until `stop`; then no more requests are taken, those under way end or are ended, and all of it is settled."""
    await house.start()
    servers = [make_server(make_app(house), Crowd(house.settings.pool)), make_server(make_operations(house))]
    tasks = [
        asyncio.create_task(server.serve(sockets=[port]))
        for server, port in zip(servers, (users, operations), strict=True)
    ]
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping", extra={"running": len(house.running)})
        await house.drain()
    finally:
        stopped.cancel()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.close()


def main(env: Mapping[str, str]) -> int:
    """The exit status: 2 for a wrong setting, 1 for a database or port that is not there."""
    try:
        settings = GatewaySettings.from_env(env)
        check_whole(settings.data)
        configure_logs(settings.log_level)
        house = House.open(settings, env)
        ports = bind(settings.listen), bind(settings.operations)
    except SettingsError as problem:
        print(f"cellar gateway: {problem}", file=sys.stderr)  # noqa: T201 - whoever starts it reads this
        return 2
    except (StoreDown, OSError) as problem:
        print(f"cellar gateway: {problem}", file=sys.stderr)  # noqa: T201
        return 1

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        addresses = ["{}:{}".format(*port.getsockname()[:2]) for port in ports]
        print(f"cellar gateway ready on {addresses[0]}, operations on {addresses[1]}", flush=True)  # noqa: T201
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it in the midst of an answer
        await serve(house, *ports, stop)

    sys.setswitchinterval(SWITCH_INTERVAL)
    allow_many_sockets()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run())
    except StoreDown as problem:
        print(f"cellar gateway: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def allow_many_sockets() -> None:
    """Each answer under way has two; the usual soft limit of 1,024 would be reached by 500 users."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS if hard == resource.RLIM_INFINITY else min(hard, SOCKETS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
