"""For which Python and machine a wheel is, by its name (PEP 425, PEP 600)."""

from __future__ import annotations

import re

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Docker's name of a machine: the wheels'."""


def complaint(name: str, python: str, platform: str) -> str:
    """Why a wheel cannot be installed by this Python ("3.11") on this platform ("linux/amd64"); "" when it can."""
    parts = name[: -len(".whl")].split("-") if name.endswith(".whl") else []
    if len(parts) not in (5, 6):
        return f"{name} is not the name of a wheel"
    tags, abi, places = (part.split(".") for part in parts[-3:])
    if python and not any(_fits(tag, abi, int(python.partition(".")[2])) for tag in tags):
        return f"{name} is not for Python {python}"
    machine = MACHINES.get(platform.partition("/")[2], platform.partition("/")[2])
    if not any(place == "any" or re.fullmatch(rf"(many|musl)?linux\w*_{machine}", place) for place in places):
        return f"{name} is not for {platform}"
    return ""


def glibc(name: str) -> int:
    """The least minor version of glibc 2 that a wheel wants; 0 for none."""
    old = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
    found = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", name)]
    found += [minor for word, minor in old.items() if f"{word}_" in name]
    return min(found, default=0)


def _fits(tag: str, abi: list[str], minor: int) -> bool:
    if tag in ("py3", f"py3{minor}"):
        return True
    found = re.fullmatch(r"cp3(\d+)", tag)
    if found is None:
        return False
    return int(found[1]) == minor or ("abi3" in abi and int(found[1]) <= minor)
