"""What a packet says of itself: where it wants to go. Pure."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmpv6"}
OF_THE_KERNEL = (130, 131, 132, 133, 134, 135, 136, 137, 143)
"""ICMPv6 types that a kernel sends wherever IPv6 is on: routers, neighbours and multicast groups of the link."""
EXTENSIONS = (0, 43, 60)  # of IPv6: hop-by-hop, routing, destination options


@dataclass(frozen=True)
class Packet:
    """`version` 4 or 6; ports are 0 where the protocol has none."""

    version: int
    protocol: str
    source: str
    source_port: int
    destination: str
    port: int


def parse_packet(data: bytes) -> Packet | None:
    """From the bytes of an IP packet, which may be cut short; None for what is no IP and for the kernel's own talk
    with the link."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        payload, protocol = data[(data[0] & 15) * 4 :], data[9]
        source, destination = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
        fragment = struct.unpack_from("!H", data, 6)[0] & 0x1FFF
        ports = (0, 0) if fragment else _ports(protocol, payload)
        return Packet(4, _named(protocol), source, ports[0], destination, ports[1])
    if len(data) >= 40 and data[0] >> 4 == 6:
        protocol, payload = data[6], data[40:]
        while protocol in EXTENSIONS and len(payload) >= 8:
            protocol, payload = payload[0], payload[(payload[1] + 1) * 8 :]
        if protocol == ICMP6 and payload[:1] and payload[0] in OF_THE_KERNEL:
            return None
        source, destination = (str(ipaddress.IPv6Address(data[at : at + 16])) for at in (8, 24))
        ports = _ports(protocol, payload)
        return Packet(6, _named(protocol), source, ports[0], destination, ports[1])
    return None


def _ports(protocol: int, payload: bytes) -> tuple[int, int]:
    """Source and destination."""
    if protocol not in (TCP, UDP) or len(payload) < 4:
        return 0, 0
    source, destination = struct.unpack_from("!HH", payload)
    return source, destination


def _named(protocol: int) -> str:
    return PROTOCOLS.get(protocol, f"protocol {protocol}")
