"""Leases: whole or not at all, and what a hub that was taken over may write changes nothing else."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest
from cellar_hub.leases import LARGEST, Lease, drop_lease, file_name, read_lease, read_leases, write_lease

POOL = ipaddress.IPv4Network("10.213.0.0/16")
SUBNET = ipaddress.IPv4Network("10.213.0.16/28")
LEASE = Lease(user="kim", groups=("analysts",), network="cellar-ws-kim", shares={1: ("a.corp:443",)}, attached={1: "f"})


def test_what_is_written_is_read_again_until_it_is_dropped(tmp_path: Path) -> None:
    write_lease(tmp_path, SUBNET, LEASE)
    assert read_leases(tmp_path, POOL) == {SUBNET: LEASE}
    assert [each.name for each in tmp_path.iterdir()] == ["10.213.0.16_28.json"]
    drop_lease(tmp_path, SUBNET)
    drop_lease(tmp_path, SUBNET)
    assert read_leases(tmp_path, POOL) == {} and read_lease(tmp_path, SUBNET) is None


def test_a_networks_next_owner_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    write_lease(tmp_path, SUBNET, LEASE)
    write_lease(tmp_path, SUBNET, Lease(user="lee"))
    assert [each.user for each in read_leases(tmp_path, POOL).values()] == ["lee"]


@pytest.mark.parametrize(
    "name",
    [
        "10.213.0.16_28.json.part1",
        "0.0.0.0_00.json",
        "10.213.0.0_16.json",
        "10.213.0.17_28.json",
        "10.214.0.16_28.json",
        "10.213.0.016_28.json",
        "kim.json",
    ],
)
def test_a_file_that_is_no_workspaces_network_is_left_out(tmp_path: Path, name: str) -> None:
    write_lease(tmp_path, SUBNET, LEASE)
    (tmp_path / file_name(SUBNET)).rename(tmp_path / name)
    assert read_leases(tmp_path, POOL) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"user": 7}',
        b'{"user": ""}',
        b'{"user": "' + b"k" * 256 + b'"}',
        b'{"user": "kim", "more": 1}',
        b'{"user": "kim", "shares": {"1": "a.corp:443"}}',
        b'{"user": "\xff"}',
        b'{"user": "' + b"k" * LARGEST + b'"}',
    ],
)
def test_a_file_that_is_no_lease_is_left_out_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    write_lease(tmp_path, SUBNET, LEASE)
    (tmp_path / "10.213.0.32_28.json").write_bytes(content)
    assert read_leases(tmp_path, POOL) == {SUBNET: LEASE}


def test_links_pipes_and_folders_are_not_followed_nor_waited_for(tmp_path: Path) -> None:
    write_lease(tmp_path, SUBNET, LEASE)
    (tmp_path / "10.213.0.32_28.json").symlink_to(tmp_path / file_name(SUBNET))
    os.mkfifo(tmp_path / "10.213.0.48_28.json")
    (tmp_path / "10.213.0.64_28.json").mkdir()
    assert read_leases(tmp_path, POOL) == {SUBNET: LEASE}


def test_a_folder_that_is_not_there_holds_no_lease(tmp_path: Path) -> None:
    assert read_leases(tmp_path / "nowhere", POOL) == {}
