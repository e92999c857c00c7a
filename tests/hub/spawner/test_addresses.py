"""Allocation of workspaces' networks."""

from __future__ import annotations

import ipaddress
import itertools

from cellar_hub.spawner.addresses import free_slices, gateway_of

POOL = ipaddress.IPv4Network("10.213.0.0/24")  # 16 slices


def free(*taken: str, start: int = 0) -> list[str]:
    return [str(each) for each in free_slices(POOL, taken, start)]


def test_an_empty_pool_gives_each_slice_once() -> None:
    found = free()
    assert len(found) == len(set(found)) == 16
    assert found[0] == "10.213.0.0/28" and found[-1] == "10.213.0.240/28"


def test_slices_in_use_are_skipped() -> None:
    assert free("10.213.0.0/28", "10.213.0.32/28")[:2] == ["10.213.0.16/28", "10.213.0.48/28"]


def test_a_foreign_network_inside_of_the_pool_or_around_it_is_kept_clear_of() -> None:
    assert "10.213.0.16/28" not in free("10.213.0.20/30")
    assert free("10.213.0.0/25")[0] == "10.213.0.128/28"
    assert free("10.0.0.0/8") == []


def test_networks_elsewhere_and_what_is_no_ipv4_network_take_nothing() -> None:
    assert len(free("172.17.0.0/16", "10.214.0.0/28", "fd00::/64", "", "nonsense")) == 16


def test_an_exhausted_pool_gives_nothing() -> None:
    assert free(*(str(each) for each in POOL.subnets(new_prefix=28))) == []


def test_a_start_further_on_goes_round() -> None:
    found = free(start=15)
    assert found[:2] == ["10.213.0.240/28", "10.213.0.0/28"] and len(found) == 16
    assert free(start=31) == found


def test_a_pool_of_4096_slices_with_one_left_finds_it() -> None:
    pool = ipaddress.IPv4Network("10.213.0.0/16")
    slices = [str(each) for each in pool.subnets(new_prefix=28)]
    assert [str(each) for each in free_slices(pool, itertools.chain(slices[:2000], slices[2001:]))] == [slices[2000]]


def test_the_gateways_address_is_the_first_of_the_slice() -> None:
    assert gateway_of(ipaddress.IPv4Network("10.213.0.16/28")) == "10.213.0.17"
