"""Who may wait for approval, when others wait already."""

from __future__ import annotations

import itertools

import pytest
from cellar_hub.login.refusals import FULL, NETWORK_FULL
from cellar_hub.login.waiting import network, refusal


def crowd(most: int, *clients: str) -> list[str]:
    """Who waits, when each of these has asked in turn as often as it may."""
    waiting: list[str] = []
    asking = list(clients)
    for client in itertools.cycle(clients):
        if client in asking and refusal(waiting, client, most):
            asking.remove(client)
        elif client in asking:
            waiting.append(client)
        if not asking:
            return waiting
    return waiting


@pytest.mark.parametrize("most", [200, 12, 6])
def test_four_addresses_together_leave_places_for_others(most: int) -> None:
    four = [f"198.51.{number}.1" for number in range(4)]
    assert len(crowd(most, *four[:1])) == most // 2
    waiting = crowd(most, *four)
    assert most // 5 <= most - len(waiting) < most // 5 + 2
    assert refusal(waiting, four[0], most) == NETWORK_FULL and not refusal(waiting, "203.0.113.1", most)


def test_any_number_of_addresses_of_one_network_has_its_share_alone() -> None:
    many = [f"198.51.100.{number}" for number in range(250)]
    six = [f"2001:db8:7:{number:x}::1" for number in range(250)]
    assert len(crowd(200, *many)) == len(crowd(200, *six)) == 100


def test_when_all_places_are_taken_that_is_said_to_everybody() -> None:
    assert refusal(["198.51.100.1", "203.0.113.1"], "192.0.2.1", 2) == FULL
    assert refusal([], "192.0.2.1", 0) == FULL
    assert refusal([], "192.0.2.1", 1) == ""


def test_what_is_one_network() -> None:
    assert network("198.51.100.7") == network("198.51.100.200") != network("198.51.101.7")
    assert network("2001:db8:1:2::3") == network("2001:db8:1:ffff::3") != network("2001:db8:2:2::3")
    assert network("") == "" and network("no address") == "no address"
