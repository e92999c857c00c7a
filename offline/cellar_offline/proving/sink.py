"""Where every way out leads: a namespace with one leg to each container, and nothing behind it.

The rule of `RULE` stands before everything else in it. It counts and drops what is neither a question for the resolver
nor the kernel's talk with its neighbours; what it counts is read as well, packet by packet, with the leg it came by.
The two numbers must be the same in the end: what is told is then all there was.

Design note. The leg is an interface of the container's own (`cellar-out`), beside those that Docker gives it: the stack
stays exactly as it is delivered, its isolated networks too, and who sent a packet is known by the interface. A table of
routes of its own leads there whatever is on no network of the stack, before any default route of Docker's; halves of
the world in the main table would do so, too, but Docker then adds no network to a container that runs. The addresses
are of the blocks for benchmarks (RFC 2544) and of no site (RFC 4193).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cellar_offline.proving import namespaces
from cellar_offline.proving.namespaces import NAME
from cellar_offline.proving.packets import Packet, parse_packet

IPV4, IPV6 = "198.18.0.1", "fd5e:a1ed::1"
"""Of the sink; every name leads here."""
FIRST = 256  # legs are numbered from here, and their addresses with them
LEGS = 60000
PORT = 53
WORLD = 5353
"""Number of the table of routes in a container; the rules that lead to it stand before those of the kernel."""
RULE = {
    "iptables": ("icmp", ("destination-unreachable",)),
    "ip6tables": ("icmpv6", ("destination-unreachable", "130", "131", "132", "133", "134", "135", "136", "137", "143")),
}
"""What is let through besides questions: what a kernel says of an answer that came too late; of IPv6, neighbours."""
TABLE = "raw"
CHAIN = "PREROUTING"
SNAP = 256  # bytes of a packet that are read
BUFFER = 16 << 20  # bytes of packets that may wait to be read
SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33


@dataclass(frozen=True)
class Leg:
    """One way out."""

    number: int

    @property
    def interface(self) -> str:
        return f"out{self.number}"

    @property
    def ipv4(self) -> str:
        return str(ipaddress.IPv4Address(IPV4) - 1 + self.number)

    @property
    def ipv6(self) -> str:
        return str(ipaddress.IPv6Address(IPV6) - 1 + self.number)


def leg_of(address: str) -> int | None:
    """The number of the leg that has this address."""
    with contextlib.suppress(ValueError):
        if "%" not in address:
            found = ipaddress.ip_address(address.replace("::ffff:", "") if "." in address else address)
            first = ipaddress.ip_address(IPV4 if found.version == 4 else IPV6)
            number = int(found) - int(first) + 1
            return number if FIRST <= number < FIRST + LEGS else None
    return None


Seen = Callable[[int, Packet], None]
"""Told of each packet that the rule has dropped, with the number of its leg; called by one thread."""


class Sink:
    """Open it once; `lead` connects namespaces to it. `count` is what was read, by IP version."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._lock = threading.Lock()
        self._next = FIRST
        self._ended = threading.Event()
        self.count: Counter[int] = Counter()

    def open(self) -> None:
        """Unsealed when this kernel or this user cannot."""
        self.namespace = namespaces.make()
        namespaces.within(self.namespace, self._furnish)
        self._tap = namespaces.within(self.namespace, _listen)
        self._reader = threading.Thread(target=self._read, name="sink", daemon=True)
        self._reader.start()

    def _furnish(self) -> None:
        for name, value in (("ipv4/ip_forward", "0"), ("ipv6/conf/all/forwarding", "0")):
            namespaces.write(name, value)
        namespaces.write("ipv6/ip_nonlocal_bind", "1")  # the resolver answers as whoever was asked
        namespaces.ip(
            [
                "link set lo up",
                f"addr add {IPV4}/32 dev lo",
                "route add local 0.0.0.0/0 dev lo",  # a question to any resolver of the world arrives
                "route add local ::/0 dev lo",
            ]
        )
        for program, (protocol, kinds) in RULE.items():
            begin = (program, "-w", "-t", TABLE, "-A", CHAIN, "-i", "out+")
            for transport in ("udp", "tcp"):
                namespaces.run(*begin, "-p", transport, "--dport", str(PORT), "-j", "ACCEPT")
            for kind in kinds:
                namespaces.run(*begin, "-p", protocol, f"--{protocol}-type", kind, "-j", "ACCEPT")
            namespaces.run(*begin, "-j", "DROP")

    # --- legs

    def lead(self, namespace: int) -> Leg:
        """A way out for a namespace, given as a file descriptor. Unsealed when it cannot be made."""
        with self._lock:
            leg = Leg(self._next)
            self._next += 1
            here = f"/proc/{os.getpid()}/fd/{self.namespace}"
            namespaces.within(namespace, lambda: _make_leg(leg, here))
            namespaces.within(self.namespace, lambda: _receive_leg(leg))
            namespaces.within(namespace, lambda: _take_leg(leg))
        return leg

    # --- what comes

    def counted(self) -> dict[int, int]:
        """What the rule says, by IP version."""

        def asked(program: str) -> int:
            listed = namespaces.run(program, "-w", "-t", TABLE, "-L", CHAIN, "-v", "-x", "-n")
            return sum(int(found) for found in re.findall(r"^\s*(\d+)\s+\d+\s+DROP\b", listed, re.MULTILINE))

        return namespaces.within(self.namespace, lambda: {4: asked("iptables"), 6: asked("ip6tables")})

    def lost(self) -> int:
        """Packets that could not be read since this was last asked."""
        return int.from_bytes(self._tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)[4:8], "little")

    def _read(self) -> None:
        while not self._ended.is_set():
            try:
                data, sender = self._tap.recvfrom(SNAP)
            except socket.timeout:  # only since Python 3.10 the same as TimeoutError
                continue
            except OSError:
                return
            interface, _, kind = sender[:3]
            if kind == socket.PACKET_OUTGOING or not interface.startswith("out"):
                continue
            packet = parse_packet(data)
            if packet is None or is_let_through(packet, data):
                continue
            self.count[packet.version] += 1
            self._seen(int(interface[3:]), packet)

    def close(self) -> None:
        self._ended.set()
        self._reader.join()
        self._tap.close()
        os.close(self.namespace)


def is_let_through(packet: Packet, data: bytes) -> bool:
    """By the rule: the resolver tells of questions itself. Pure."""
    if packet.protocol in ("tcp", "udp"):
        return packet.port == PORT
    if packet.protocol == "icmp":
        return data[(data[0] & 15) * 4 :][:1] == b"\x03"
    return packet.protocol == "icmpv6" and data[40:41] == b"\x01"


def _listen() -> socket.socket:
    """A socket that reads a copy of each IP packet."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # 3: of every protocol
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    tap.settimeout(0.2)
    return tap


def _make_leg(leg: Leg, sink: str) -> None:
    """In the container: both ends."""
    namespaces.ip([f"link add {NAME} type veth peer name {leg.interface} netns {sink}"])
    for name, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("router_solicitations", "0"), ("accept_dad", "0")):
        namespaces.write(f"ipv6/conf/{NAME}/{name}", value)


def _receive_leg(leg: Leg) -> None:
    """In the sink."""
    namespaces.write(f"ipv4/conf/{leg.interface}/rp_filter", "0")
    namespaces.write(f"ipv6/conf/{leg.interface}/accept_dad", "0")
    namespaces.ip(
        [
            f"link set {leg.interface} up",
            f"addr add {IPV6}/128 dev {leg.interface} nodad",  # who asks for a neighbour asks for one of the interface
            # where the way to the whole world lies, too: the kernel looks there first
            f"route add {leg.ipv4}/32 dev {leg.interface} src {IPV4} table local",
            f"route add {leg.ipv6}/128 dev {leg.interface} src {IPV6} table local",
        ]
    )


def _take_leg(leg: Leg) -> None:
    """In the container: addresses, and the way to the world in a table of its own."""
    namespaces.ip([f"link set {NAME} up"])
    for family, address, length, sink in ((4, leg.ipv4, 32, IPV4), (6, leg.ipv6, 128, IPV6)):
        lines = [
            f"addr add {address}/{length} dev {NAME}{' nodad' if family == 6 else ''}",
            f"route add {sink}/{length} dev {NAME}",
            f"route add default via {sink} dev {NAME} src {address} table {WORLD}",
            f"rule add pref {WORLD} lookup main suppress_prefixlength 0",  # networks that it is on, no default route
            f"rule add pref {WORLD + 1} lookup {WORLD}",
        ]
        namespaces.ip(lines, f"-{family}")
