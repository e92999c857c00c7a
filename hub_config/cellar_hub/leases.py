"""Whose a workspace's network is, as hub and keeper tell the forwarders: a folder with one small file for each network.

The file's name is the network's addresses, so no two files can claim the same; it holds the user, the groups, and which
forwarder serves which destinations there. It is written whole or not at all. What it says is only half of the truth: a
forwarder connects to nothing that the policy file, which it reads itself, does not give to these groups. So whoever
writes here can at most open what the administrator has listed.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import stat
from pathlib import Path
from typing import Annotated

import msgspec

SUFFIX = ".json"
MOST = 10_000  # files that are read
LARGEST = 64 * 1024  # bytes of one

log = logging.getLogger("cellar.leases")
Network4 = ipaddress.IPv4Network


class Lease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network's. `shares`: destinations by the forwarder's number. `attached`: ids of the containers that have been
    attached under these names, for the keeper alone."""

    user: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]  # as long as JupyterHub's, and as the audit takes
    groups: tuple[str, ...] = ()
    network: str = ""
    shares: dict[int, tuple[str, ...]] = {}
    attached: dict[int, str] = {}


def file_name(subnet: Network4) -> str:
    return f"{subnet.network_address}_{subnet.prefixlen}{SUFFIX}"


def subnet_of(name: str, pool: Network4) -> Network4 | None:
    """The addresses that a file's name says; None when it is no workspace's network of this pool."""
    found = re.fullmatch(r"([0-9.]{7,15})_([0-9]{2})\.json", name, re.ASCII)
    try:
        subnet = Network4(f"{found[1]}/{found[2]}") if found else None
    except ValueError:
        return None
    return subnet if subnet is not None and subnet.prefixlen >= 24 and subnet.subnet_of(pool) else None


def write_lease(folder: Path, subnet: Network4, lease: Lease) -> None:
    """Raises `OSError`."""
    path = folder / file_name(subnet)
    part = path.with_suffix(f".part{os.getpid()}")
    part.write_bytes(msgspec.json.encode(lease))
    part.replace(path)


def read_lease(folder: Path, subnet: Network4) -> Lease | None:
    """None when there is none, or none that can be read."""
    return _read(folder / file_name(subnet))


def drop_lease(folder: Path, subnet: Network4) -> None:
    (folder / file_name(subnet)).unlink(missing_ok=True)


def read_leases(folder: Path, pool: Network4) -> dict[Network4, Lease]:
    """All of them. What is no lease is left out: the folder belongs to somebody who may have been taken over."""
    found: dict[Network4, Lease] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                subnet = subnet_of(entry.name, pool)
                lease = _read(Path(entry.path)) if subnet is not None else None
                if subnet is not None and lease is not None:
                    found[subnet] = lease
                if len(found) >= MOST:
                    break
    except OSError as problem:
        log.warning("%s cannot be read: %s", folder, problem.strerror)
    return found


def _read(path: Path) -> Lease | None:
    try:
        with open(path, "rb", opener=_open_plain) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            data = file.read(LARGEST + 1)
        return msgspec.json.decode(data, type=Lease) if len(data) <= LARGEST else None
    except (OSError, msgspec.DecodeError, UnicodeError):
        return None


def _open_plain(path: str, flags: int) -> int:
    """Follows no link, and waits for no writer of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
