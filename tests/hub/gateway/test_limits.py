"""Requests per minute, counted alone and together."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import redis
from cellar_hub import resolver
from cellar_hub.gateway.limits import RequestRate
from cellar_hub.gateway.refused import Refused

from tests.fakes.fixtures import unused_port

POOL = IPv4Network("10.213.0.0/16")


class Redis:
    """A real server on loopback, without a file."""

    def __init__(self, folder: Path) -> None:
        self.port = unused_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < deadline

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


@pytest.fixture
def a_redis(tmp_path: Path) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


async def taken(rate: RequestRate, user: str, tries: int, limit: int = 5) -> int:
    """How many of so many requests went through."""
    through = 0
    for _ in range(tries):
        try:
            await rate.hit(user, limit)
            through += 1
        except Refused as refused:
            assert refused.status == 429 and refused.retry_after is not None and 1 <= refused.retry_after <= 60
    return through


async def test_a_gateway_alone_counts_in_its_memory() -> None:
    rate = RequestRate("", POOL)
    assert await taken(rate, "ann", 8) == 5
    assert await taken(rate, "ben", 3) == 3
    await rate.hit("ann", None)


async def test_several_gateways_count_together_in_redis(a_redis: Redis) -> None:
    first, second = RequestRate(a_redis.url, POOL), RequestRate(a_redis.url, POOL)
    assert await taken(first, "ann", 3) + await taken(second, "ann", 6) == 5
    assert await taken(second, "ben", 3) == 3
    await first.close()
    await second.close()


async def test_without_redis_each_counts_alone_and_nobody_is_locked_out(a_redis: Redis) -> None:
    rate = RequestRate(a_redis.url, POOL)
    assert await taken(rate, "ann", 5) == 5
    a_redis.stop()
    assert await taken(rate, "ann", 8) == 5 and not rate.redis_up
    a_redis.start()
    rate._again_at = 0.0
    assert await taken(rate, "ann", 5) == 5 and rate.redis_up
    await rate.close()


async def test_a_name_that_leads_away_from_the_stack_is_no_redis(
    a_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The building's DNS answers for a container that does not run just now."""
    asked = socket.getaddrinfo

    def everywhere(host: str, *more: Any, **named: Any) -> list[Any]:
        return asked("127.0.0.1" if host in ("near", "redis.corp") else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", everywhere)
    monkeypatch.setattr(resolver, "_is_near", lambda address, pool, here: False)
    far, whole = (RequestRate(f"redis://{name}:{a_redis.port}/0", POOL) for name in ("near", "redis.corp"))
    for rate in (far, whole):
        await rate.hit("ann", 5)
        await rate.close()
    assert (far.redis_up, whole.redis_up) == (False, True)
