"""The positive control: what is done on purpose from within each container, so that it must be counted.

One connection over IPv4, one over IPv6, one lookup by the resolver that the container itself would ask. Each round has
a port and a name of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from cellar_offline.proving import lookups

IPV4, IPV6 = "203.0.113.53", "2001:db8::53"
"""Of the blocks that documents use as examples (RFC 5737, RFC 3849): nobody's."""
DOMAIN = "control.example"
FIRST_PORT = 40001
KINDS = ("ipv4", "ipv6", "lookup")
TRIES = 4
PATIENCE = 2.0  # seconds for a resolver's answer


@dataclass(frozen=True)
class Round:
    """One round of controls; `name` as a suffix tells its lookups."""

    number: int
    nonce: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def port(self) -> int:
        return FIRST_PORT + self.number

    @property
    def domain(self) -> str:
        return f"{self.nonce}.{DOMAIN}"

    def name(self, leg: int) -> str:
        return f"leg{leg}.{self.domain}"


def connect(which: Round) -> None:
    """Begin both connections, from the namespace of the thread that calls, and give them up."""
    for family, address in ((socket.AF_INET, IPV4), (socket.AF_INET6, IPV6)):
        with socket.socket(family, socket.SOCK_STREAM) as begun, contextlib.suppress(OSError):
            begun.setblocking(False)
            begun.connect_ex((address, which.port))


def nameservers(text: str) -> list[str]:
    """Of a resolv.conf. Pure."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def look_up(server: str, name: str) -> bool:
    """Ask a resolver from the namespace of the thread that calls; whether it answered."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    for _ in range(TRIES):
        with socket.socket(family, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.settimeout(PATIENCE)
            asking.connect((server, 53))
            asking.send(lookups.question(name))
            if asking.recv(512):
                return True
    return False


def resolver_of(pid: int) -> str:
    """The first resolver that a container's programs ask; OSError when it has ended."""
    text = Path(f"/proc/{pid}/root/etc/resolv.conf").read_text()
    return next(iter(nameservers(text)), "127.0.0.1")
