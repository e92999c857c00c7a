"""Questions to a resolver, and its answers: as much of DNS (RFC 1035) as leads whoever asks to the sink. Pure."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
A, AAAA = 1, 28
UDP = 17
INTERNET = 1
ANSWER = 0x8180  # a response, recursion wished and had
NO_SUCH_NAME = 3
TTL = 1  # second: whoever asks again is written down again


class NoQuestion(ValueError):
    """The bytes are not one question."""


@dataclass(frozen=True)
class Question:
    """`name` without the dot at its end, in small letters; `end`: of the question in its message, in bytes."""

    number: int
    name: str
    kind: int
    end: int

    @property
    def type(self) -> str:
        return TYPES.get(self.kind, f"type {self.kind}")


def message_of(packet: bytes) -> bytes:
    """The DNS message in an IPv4 packet of UDP, or in a segment of TCP, where its length may stand before it or have
    come by itself. Empty where there is none."""
    length = struct.unpack_from("!H", packet, 2)[0]
    payload = packet[(packet[0] & 15) * 4 : length]
    if packet[9] == UDP:
        return payload[8:]
    said = payload[(payload[12] >> 4) * 4 :] if len(payload) > 12 else b""
    if len(said) == 2:
        return b""
    return said[2:] if len(said) > 2 and struct.unpack_from("!H", said)[0] == len(said) - 2 else said


def is_answer(message: bytes) -> bool:
    return len(message) > 2 and bool(message[2] & 0x80)


def parse_question(message: bytes) -> Question:
    """NoQuestion."""
    try:
        number, flags, questions = struct.unpack_from("!HHH", message)
        if flags & 0x8000 or questions != 1:
            raise NoQuestion("not a question")
        labels, at = [], 12
        while length := message[at]:
            if length > 63 or at + 1 + length > len(message):
                raise NoQuestion("its name is broken")
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "backslashreplace").lower())
            at += 1 + length
        kind = struct.unpack_from("!H", message, at + 1)[0]
    except (struct.error, IndexError):
        raise NoQuestion("cut short") from None
    return Question(number, ".".join(labels), kind, at + 5)


def question(name: str, kind: int = A, number: int = 1) -> bytes:
    """A question to send."""
    labels = b"".join(bytes([len(each)]) + each.encode("ascii") for each in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, INTERNET)


def answer(message: bytes, asked: Question, ipv4: str, ipv6: str, known: bool = True) -> bytes:
    """The sink's address, for a question of one; else an answer without any. Not `known`: there is no such name."""
    addresses = {A: ipaddress.ip_address(ipv4).packed, AAAA: ipaddress.ip_address(ipv6).packed} if known else {}
    data = addresses.get(asked.kind)
    flags = ANSWER if known else ANSWER | NO_SUCH_NAME
    head = struct.pack("!HHHHHH", asked.number, flags, 1, 1 if data else 0, 0, 0)
    if not data:
        return head + message[12 : asked.end]
    record = struct.pack("!HHHIH", 0xC00C, asked.kind, INTERNET, TTL, len(data)) + data
    return head + message[12 : asked.end] + record
