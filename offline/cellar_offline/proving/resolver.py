"""A resolver that knows every name of the world, at the sink's address, and writes each question down.

It listens in the sink, where it answers for any address that is asked, and inside of each container at 127.0.0.1, the
`dns` of the stack's services and of workspaces that has nobody there otherwise. A name without a dot is none of the
world's: it is written down, and answered with "no such name", as it would be on a real site.

Docker's own resolver (127.0.0.11 in a container) passes on what it does not know; since Docker 26 not for a container
whose networks are all isolated. So what it is asked is read on its way there, too, by UDP and by TCP. It answers the
stack's own names itself: `ledger` keeps names without a dot that come this way apart from the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from cellar_offline.proving import lookups, namespaces
from cellar_offline.proving.ledger import DOCKERS
from cellar_offline.proving.lookups import NoQuestion
from cellar_offline.proving.sink import IPV4, IPV6, PORT, leg_of

ETHERNET_IPV4 = 0x0800
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
SO_ATTACH_FILTER = 26
TO_DOCKERS = (  # of IPv4 packets: UDP and TCP to that address
    (0x30, 0, 0, 9),
    (0x15, 1, 0, 17),
    (0x15, 0, 3, 6),
    (0x20, 0, 0, 16),
    (0x15, 0, 1, 0x7F00000B),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
LARGEST = 4096  # bytes of a question
PATIENCE = 2.0  # seconds for a question over TCP to come in whole
UNREADABLE = "(no question that can be read)"

Asked = Callable[[Optional[int], str, str, str], None]
"""Told of each question before it is answered: the leg's number (None: nobody known), name, type, address asked."""


@dataclass(frozen=True)
class Desk:
    """A socket that takes questions; `leg` is whose container it is in, None in the sink; how they come: "udp", "tcp",
    or "read" on their way to another."""

    leg: int | None
    how: str


class Resolver:
    """`open` listens in the sink, `open_within` in a container, too."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._selector = selectors.DefaultSelector()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="resolver", daemon=True)

    def open(self, sink: int) -> None:
        """`sink`: a file descriptor of its namespace."""

        def listen() -> None:
            for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                self._listen(family, any_address, None)

        namespaces.within(sink, listen)
        self._thread.start()

    def open_within(self, namespace: int, leg: int) -> None:
        """At 127.0.0.1, where nobody else has the port; and on the way to Docker's resolver."""
        namespaces.within(namespace, lambda: self._read_along(leg))
        with contextlib.suppress(OSError):
            namespaces.within(namespace, lambda: self._listen(socket.AF_INET, "127.0.0.1", leg))

    def _listen(self, family: int, address: str, leg: int | None) -> None:
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        for each in (udp, tcp):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address, PORT))
        if leg is None and family == socket.AF_INET:
            udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        elif leg is None:
            udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        tcp.listen(16)
        self._selector.register(udp, selectors.EVENT_READ, Desk(leg, "udp"))
        self._selector.register(tcp, selectors.EVENT_READ, Desk(leg, "tcp"))

    def _read_along(self, leg: int) -> None:
        code = b"".join(struct.pack("=HBBI", *each) for each in TO_DOCKERS)
        held = ctypes.create_string_buffer(code, len(code))
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(TO_DOCKERS), ctypes.addressof(held)))
        tap.bind(("lo", ETHERNET_IPV4))
        self._selector.register(tap, selectors.EVENT_READ, Desk(leg, "read"))

    def _serve(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.2):
                desk: Desk = key.data
                with contextlib.suppress(OSError):
                    assert isinstance(key.fileobj, socket.socket)
                    if desk.how == "read":
                        self._note(key.fileobj, desk)
                    elif desk.how == "tcp":
                        connection, sender = key.fileobj.accept()
                        threading.Thread(target=self._converse, args=(connection, sender, desk), daemon=True).start()
                    else:
                        self._answer_packet(key.fileobj, desk)

    def _answer_packet(self, desk_socket: socket.socket, desk: Desk) -> None:
        message, notes, _, sender = desk_socket.recvmsg(LARGEST, 128)
        kept = [note for note in notes if note[1] in (IP_PKTINFO, IPV6_PKTINFO)]
        if reply := self._reply(message, sender, desk, _asked_address(kept)):
            desk_socket.sendmsg([reply], [_as_sender(note) for note in kept], 0, sender)

    def _note(self, tap: socket.socket, desk: Desk) -> None:
        """Each packet comes twice by this interface: once as it leaves."""
        data, sender = tap.recvfrom(LARGEST)
        if sender[2] == socket.PACKET_OUTGOING:
            return
        message = lookups.message_of(data)
        if not message or lookups.is_answer(message):
            return
        try:
            question = lookups.parse_question(message)
            self._asked(desk.leg, question.name, question.type, DOCKERS)
        except NoQuestion:
            self._asked(desk.leg, UNREADABLE, "", DOCKERS)

    def _converse(self, connection: socket.socket, sender: tuple[str, int], desk: Desk) -> None:
        """Questions over one TCP connection. One that says nothing, or waits for us to speak first, is written down as
        well."""
        here, told = "", False
        with contextlib.suppress(OSError), connection:
            here = str(connection.getsockname()[0])
            connection.settimeout(PATIENCE)
            with connection.makefile("rb") as stream:
                while len(head := stream.read(2)) == 2:
                    message = stream.read(struct.unpack("!H", head)[0])
                    told = True
                    reply = self._reply(message, sender, desk, here)
                    if not reply:
                        break
                    connection.sendall(struct.pack("!H", len(reply)) + reply)
        if not told:
            self._reply(b"", sender, desk, here)

    def _reply(self, message: bytes, sender: tuple[str, int], desk: Desk, asked_address: str) -> bytes:
        leg = leg_of(str(sender[0])) if desk.leg is None else desk.leg
        try:
            question = lookups.parse_question(message)
        except NoQuestion:
            self._asked(leg, UNREADABLE, "", asked_address)
            return b""
        self._asked(leg, question.name, question.type, asked_address or "127.0.0.1")
        return lookups.answer(message, question, IPV4, IPV6, known="." in question.name)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()


def _asked_address(notes: list[tuple[int, int, bytes]]) -> str:
    """Whom the question was sent to, from the kernel's note beside it."""
    for level, _, data in notes:
        if level == socket.IPPROTO_IP:
            return socket.inet_ntop(socket.AF_INET, data[8:12])
        return socket.inet_ntop(socket.AF_INET6, data[:16])
    return ""


def _as_sender(note: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """The note that has the answer sent from the address that was asked."""
    level, kind, data = note
    if level == socket.IPPROTO_IP:
        return level, kind, struct.pack("=I4s4s", 0, data[8:12], b"\0" * 4)
    return level, kind, data[:16] + b"\0" * 4
