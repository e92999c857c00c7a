"""What is read from bytes and tables: packets, questions, sockets."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from cellar_offline.proving import controls, lookups, processes
from cellar_offline.proving.lookups import NoQuestion
from cellar_offline.proving.packets import Packet, parse_packet
from cellar_offline.proving.sink import FIRST, Leg, leg_of


def ipv4(protocol: int, payload: bytes, fragment: int = 0) -> bytes:
    places = [ipaddress.IPv4Address(each).packed for each in ("198.18.1.0", "203.0.113.9")]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, fragment, 64, protocol, 0, *places) + payload


def ipv6(protocol: int, payload: bytes) -> bytes:
    places = [ipaddress.IPv6Address(each).packed for each in ("fd5e:a1ed::100", "2001:db8::9")]
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64, *places) + payload


PORTS = struct.pack("!HH", 40000, 443) + b"\0" * 16


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (ipv4(6, PORTS), Packet(4, "tcp", "198.18.1.0", 40000, "203.0.113.9", 443)),
        (ipv4(17, PORTS[:4]), Packet(4, "udp", "198.18.1.0", 40000, "203.0.113.9", 443)),
        (ipv4(1, b"\x08\0"), Packet(4, "icmp", "198.18.1.0", 0, "203.0.113.9", 0)),
        (ipv4(47, b""), Packet(4, "protocol 47", "198.18.1.0", 0, "203.0.113.9", 0)),
        (ipv4(17, PORTS, fragment=185), Packet(4, "udp", "198.18.1.0", 0, "203.0.113.9", 0)),
        (ipv6(6, PORTS), Packet(6, "tcp", "fd5e:a1ed::100", 40000, "2001:db8::9", 443)),
        (ipv6(0, bytes([17, 0]) + b"\0" * 6 + PORTS), Packet(6, "udp", "fd5e:a1ed::100", 40000, "2001:db8::9", 443)),
        (ipv6(58, b"\x80\0"), Packet(6, "icmpv6", "fd5e:a1ed::100", 0, "2001:db8::9", 0)),
        (ipv6(58, b"\x87\0"), None),  # asks for a neighbour
        (b"", None),
        (b"\x45\0", None),
    ],
)
def test_a_packet_tells_where_it_wants_to_go(data: bytes, wanted: Packet | None) -> None:
    assert parse_packet(data) == wanted


def test_a_question_is_answered_with_the_sink_and_an_unknown_type_with_nothing() -> None:
    for kind, length in ((lookups.A, 16), (lookups.AAAA, 28), (15, 0)):
        message = lookups.question("Telemetry.Example.com", kind, number=7)
        asked = lookups.parse_question(message)
        assert (asked.number, asked.name, asked.kind) == (7, "telemetry.example.com", kind)
        reply = lookups.answer(message, asked, "198.18.0.1", "fd5e:a1ed::1")
        assert struct.unpack_from("!HHHH", reply) == (7, 0x8180, 1, 1 if length else 0)
        assert len(reply) == len(message) + length


def test_there_is_no_such_name_without_a_dot() -> None:
    message = lookups.question("hub-control")
    reply = lookups.answer(message, lookups.parse_question(message), "198.18.0.1", "fd5e:a1ed::1", known=False)
    assert struct.unpack_from("!HHHH", reply) == (1, 0x8183, 1, 0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0" * 11,
        lookups.question("example.com")[:-5],
        struct.pack("!HHHHHH", 1, 0x8100, 1, 0, 0, 0) + b"\0\0\1\0\1",  # an answer
        struct.pack("!HHHHHH", 1, 0x0100, 2, 0, 0, 0) + b"\0\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
    ],
)
def test_what_is_no_question_is_said_to_be_none(message: bytes) -> None:
    with pytest.raises(NoQuestion):
        lookups.parse_question(message)


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  12: 0100007F:A5D8 0B00007F:0035 01 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0 0
  13: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0
  14: 0100007F:A5D9 0B00007F:0050 06 00000000:00000000 00:00000000 00000000  1000        0 0 2 0 0
"""


def test_a_socket_is_found_by_its_ports() -> None:
    assert processes.sockets(TABLE, remote=53) == {"4711"}
    assert processes.sockets(TABLE, local=0xA5D8) == {"4711"}
    assert processes.sockets(TABLE, local=0xA5D9) == set()  # nobody holds it any more


def test_a_leg_is_known_by_its_addresses() -> None:
    leg = Leg(FIRST + 700)
    assert leg_of(leg.ipv4) == leg_of(leg.ipv6) == leg.number
    assert leg_of(f"::ffff:{leg.ipv4}") == leg.number
    assert [leg_of(each) for each in ("127.0.0.1", "198.18.0.1", "fe80::1%out256", "nonsense")] == [None] * 4


def test_the_resolver_of_a_container_is_the_first_that_it_names() -> None:
    assert controls.nameservers("search .\nnameserver 127.0.0.11\nnameserver 8.8.8.8\noptions ndots:0\n") == [
        "127.0.0.11",
        "8.8.8.8",
    ]
