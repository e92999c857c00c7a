"""Each thing that would not work at the target is said before, with its cure."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from cellar_offline import gpu, machine, preflight, room, wheels
from cellar_offline.checks import DOUBT, WELL, WRONG, Check
from cellar_offline.engine import Engine
from cellar_offline.media import Media
from cellar_offline.release import Root
from cellar_offline.target import BadTarget, Preset, Target

from tests.offline.bundles import Maker

PRESET = Preset("24gb", 22.0, 17.0, "")
ENGINE: dict[str, Any] = {
    "ServerVersion": "20.10.24+dfsg1",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "SecurityOptions": ["name=seccomp,profile=default", "name=apparmor"],
    "MemoryLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}


def by_name(checks: Any) -> dict[str, Check]:
    found = {check.what: check for check in checks}
    assert all(check.cure for check in found.values() if check.state != WELL), "each failure has its cure"
    return found


def test_an_engine_as_debian_has_it_is_well() -> None:
    assert {each.state for each in preflight.docker(ENGINE)} == {WELL}


@pytest.mark.parametrize(
    ("change", "what", "state"),
    [
        ({"ServerVersion": "19.03.8"}, "Docker", WRONG),
        ({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "Docker's images", WRONG),
        ({"SecurityOptions": []}, "system calls of workspaces", WRONG),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "system calls of workspaces", WRONG),
        ({"SecurityOptions": ["name=seccomp,profile=default"]}, "AppArmor or SELinux", DOUBT),
        ({"PidsLimit": False}, "limits of workspaces", WRONG),
    ],
)
def test_what_an_engine_lacks_is_named(change: dict[str, Any], what: str, state: str) -> None:
    assert by_name(preflight.docker(ENGINE | change))[what].state == state


def nvidia(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """A stand-in for nvidia-smi, which no machine for tests has."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(gpu, "QUERY", [str(program)])


@pytest.mark.parametrize(
    ("says", "states"),
    [
        ("NVIDIA L4, 23034, 580.95.05", {"GPU": WELL, "GPU driver": WELL, "GPU in containers": WELL}),
        ("NVIDIA L4, 23034, 570.10", {"GPU": WELL, "GPU driver": WRONG, "GPU in containers": WELL}),
        ("Tesla T4, 15360, 580.95.05", {"GPU": WRONG, "GPU driver": WELL, "GPU in containers": WELL}),
    ],
)
def test_card_and_driver_are_held_against_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, states: dict[str, str]
) -> None:
    nvidia(tmp_path, monkeypatch, says)
    target = Target(presets=(PRESET,), driver="580.65")
    found = by_name(gpu.gpu(target, "24gb", {"Runtimes": {"nvidia": {}}}))
    assert {name: each.state for name, each in found.items()} == states


def test_without_a_card_the_preset_says_so_and_the_embedded_model_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "QUERY", [str(tmp_path / "none")])
    monkeypatch.setattr(gpu, "CDI", ())
    target = Target(presets=(PRESET,))
    assert by_name(gpu.gpu(target, "24gb", {}))["GPU"].state == WRONG
    assert by_name(gpu.gpu(target, "", {}))["GPU"].state == WELL
    with pytest.raises(BadTarget, match="knows: 24gb"):
        list(gpu.gpu(target, "80gb", {}))


def test_the_processor_and_memory_are_read(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("flags\t\t: fpu sse4_2 popcnt\n")
    assert [each.state for each in machine._processor(True, info)] in ([DOUBT], [])
    info.write_text("flags\t\t: fpu\n")
    assert [each.state for each in machine._processor(False, info)] in ([WRONG], [])
    info.write_text("MemTotal:        8000000 kB\n")
    assert machine._memory(Target(memory_gib=16), info).state == WRONG
    assert machine._memory(Target(memory_gib=8), info).state == WELL


def test_a_clock_before_the_bundle_was_built_is_wrong(maker: Maker, medium: Path) -> None:
    made = maker.make(medium, built="2999-01-01T00:00:00Z")
    assert machine._clock(made).state == WRONG


def test_a_port_that_somebody_has_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = str(other.getsockname()[1])
        assert machine.port("port", "127.0.0.1", number, ours=False).state == WRONG
        assert machine.port("port", "127.0.0.1", number, ours=True).state == WELL
    assert machine.port("port", "127.0.0.1", "80a", ours=False).state == WRONG


def test_addresses_of_workspaces_are_nobody_elses() -> None:
    routes = [IPv4Network("0.0.0.0/0"), IPv4Network("10.213.4.0/28")]
    assert preflight.pool("10.213.0.0/16", routes).state == WELL  # its own
    assert preflight.pool("10.213.0.0/16", [*routes, IPv4Network("10.0.0.0/8")]).state == WRONG
    assert preflight.pool("10.213.0.1/16", routes).state == WRONG


def test_routes_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text("Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0 0000D50A 0 1 0 0 0 0000FFFF 0 0 0\n")
    assert preflight._routes(table) == [IPv4Network("10.213.0.0/16")]


def test_a_disk_that_is_too_small_is_said_with_what_is_needed(
    maker: Maker, medium: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = maker.make(medium)
    checks = list(preflight.disks(Root(root), made, Media([medium]), Engine("/none")))
    assert [each.state for each in checks] == [WELL]
    monkeypatch.setattr(room, "SPARE", 1 << 60)
    (check,) = preflight.disks(Root(root), made, Media([medium]), Engine("/none"))
    assert (check.state, "too small" in check.found) == (WRONG, True)


@pytest.mark.parametrize(
    ("name", "python", "fits"),
    [
        ("a-1-py3-none-any.whl", "3.11", True),
        ("a-1-py2.py3-none-any.whl", "3.11", True),
        ("a-1-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "3.11", True),
        ("a-1-cp312-abi3-manylinux_2_17_x86_64.whl", "3.11", False),
        ("a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "3.11", False),
        ("a-1-cp311-cp311-manylinux_2_17_aarch64.whl", "3.11", False),
        ("a-1-1build-cp311-cp311-linux_x86_64.whl", "3.11", True),
    ],
)
def test_a_wheels_name_says_whom_it_fits(name: str, python: str, fits: bool) -> None:
    assert (wheels.complaint(name, python, "linux/amd64") == "") is fits


def test_the_glibc_of_a_wheel() -> None:
    assert wheels.glibc("a-1-cp39-abi3-manylinux_2_28_x86_64.manylinux2014_x86_64.whl") == 17
    assert wheels.glibc("a-1-py3-none-any.whl") == 0
