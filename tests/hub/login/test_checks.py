"""Whose password is compared next, and who is told to come again."""

from __future__ import annotations

import asyncio
import threading

import pytest
from cellar_hub.login.checks import Checks, Crowded


class Gate:
    """A check that ends when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self) -> bool:
        return self.go.wait(30)


async def settle() -> None:
    """Until every task has gone as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_flood_from_one_address_lets_another_go_first() -> None:
    checks, gate, order = Checks(at_once=1), Gate(), list[str]()

    async def log_in(client: str) -> None:
        await checks.run(client, lambda: True)
        order.append(client)

    first = asyncio.create_task(checks.run("10.0.0.1", gate))
    await settle()
    flood = [asyncio.create_task(log_in("10.0.0.1")) for _ in range(20)]
    await settle()
    other = asyncio.create_task(log_in("10.0.0.2"))
    await settle()
    gate.go.set()
    await asyncio.gather(first, other, *flood)
    assert order.index("10.0.0.2") <= 1 and len(order) == 21


async def test_too_many_that_wait_are_refused_of_one_address_and_of_all() -> None:
    checks, gate = Checks(at_once=1, most=2, of_one=1), Gate()
    running = [asyncio.create_task(checks.run("10.0.0.1", gate)) for _ in range(2)]
    await settle()
    with pytest.raises(Crowded):
        await checks.run("10.0.0.1", lambda: True)
    running.append(asyncio.create_task(checks.run("10.0.0.2", lambda: True)))
    await settle()
    with pytest.raises(Crowded):
        await checks.run("10.0.0.3", lambda: True)
    gate.go.set()
    assert await asyncio.gather(*running) == [True] * 3
    assert await checks.run("10.0.0.1", lambda: False) is False


async def test_a_full_house_of_a_few_addresses_has_a_place_for_a_newcomer() -> None:
    checks, gate = Checks(at_once=1, most=8, of_one=4), Gate()
    first = asyncio.create_task(checks.run("10.0.0.1", gate))
    await settle()
    crowd = [asyncio.create_task(checks.run(f"10.0.0.{1 + number % 2}", lambda: True)) for number in range(8)]
    await settle()
    newcomer = asyncio.create_task(checks.run("10.0.0.9", lambda: True))
    await settle()
    assert sum(each.done() and isinstance(each.exception(), Crowded) for each in crowd) == 1
    with pytest.raises(Crowded):
        await checks.run("10.0.0.1", lambda: True)
    gate.go.set()
    assert await newcomer and await first
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_whoever_is_known_goes_before_a_flood_of_many_addresses() -> None:
    checks, gate, order = Checks(at_once=1, most=20), Gate(), list[str]()

    async def log_in(client: str, known: bool = False) -> None:
        async with checks.turn(client, known):
            order.append(client)

    first = asyncio.create_task(checks.run("10.0.0.1", gate))
    await settle()
    flood = [asyncio.create_task(log_in(f"10.1.0.{number}")) for number in range(20)]
    await settle()
    with pytest.raises(Crowded):
        await log_in("10.2.0.1")
    known = asyncio.create_task(log_in("10.2.0.2", known=True))
    await settle()
    gate.go.set()
    await asyncio.gather(first, known, *flood, return_exceptions=True)
    assert order[0] == "10.2.0.2" and len(order) == 20


async def test_who_leaves_gives_the_place_up() -> None:
    checks, gate = Checks(at_once=1), Gate()
    running = asyncio.create_task(checks.run("a", gate))
    await settle()
    leaving = [asyncio.create_task(checks.run(client, lambda: True)) for client in ("a", "b", "b")]
    await settle()
    for each in leaving:
        each.cancel()
    gate.go.set()
    assert await running
    assert await asyncio.wait_for(checks.run("c", lambda: True), 10)
