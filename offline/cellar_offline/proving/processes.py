"""Who holds a socket: from the tables that the kernel keeps of each network namespace under /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cellar_offline.proving.packets import Packet

PROC = Path("/proc")
WORDS = 100  # characters of a command line that are told


def namespace_of(pid: int) -> int:
    """The inode of a process's network namespace; OSError when it has ended."""
    return os.stat(PROC / str(pid) / "ns" / "net").st_ino


def sockets(table: str, local: int = 0, remote: int = 0) -> set[str]:
    """Inodes of the sockets in a table of /proc/PID/net with this local or remote port; 0 is any. Pure."""
    found = set()
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 10:
            continue
        here, there = (int(words[at].rpartition(":")[2], 16) for at in (1, 2))
        if local in (0, here) and remote in (0, there) and words[9] != "0":
            found.add(words[9])
    return found


def who_sent(pid: int, packet: Packet) -> str:
    """The process in the namespace of `pid` that holds the packet's socket; "" when it cannot be seen any more."""
    if packet.protocol not in ("tcp", "udp"):
        return ""
    return _holder(pid, packet.protocol, local=packet.source_port)


def who_asks(pid: int) -> str:
    """The process in the namespace of `pid` that waits for a resolver's answer just now."""
    return _holder(pid, "udp", remote=53) or _holder(pid, "tcp", remote=53)


def _holder(pid: int, protocol: str, local: int = 0, remote: int = 0) -> str:
    inodes: set[str] = set()
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError):
            text = (PROC / str(pid) / "net" / table).read_text()
            inodes |= sockets(text, local, remote)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = (_told(each) for each in _inhabitants(pid) if _holds(each, wanted))
    return next(found, "")


def _inhabitants(pid: int) -> Iterator[int]:
    """Processes of the same network namespace."""
    with contextlib.suppress(OSError):
        home = namespace_of(pid)
        for each in PROC.iterdir():
            if each.name.isdigit():
                with contextlib.suppress(OSError):
                    if namespace_of(int(each.name)) == home:
                        yield int(each.name)


def _holds(pid: int, wanted: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for each in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(each) in wanted:
                    return True
    return False


def _told(pid: int) -> str:
    """Its number and the beginning of its command line."""
    with contextlib.suppress(OSError):
        line = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return f"{pid} {' '.join(line.split())[:WORDS]}"
    return str(pid)
