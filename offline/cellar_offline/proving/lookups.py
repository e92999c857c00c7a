"""Questions to a resolver, and its answers: as much of DNS (RFC 1035) as leads whoever asks to the sink. Pure."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
A, AAAA = 1, 28
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
