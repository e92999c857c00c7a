"""Server-sent events: bytes in, events out, and back. No I/O.

The decoder follows the WHATWG rules ("9.2.6 Interpreting an event stream") on *bytes*: a line ends at LF, CRLF or CR
and nowhere else. Text splitters that also cut at U+0085, U+2028 or U+2029 (`str.splitlines`, httpx's `aiter_lines`)
corrupt what vLLM sends, which leaves those characters unescaped inside its JSON.

Two departures, both for the caller's sake: comments are handed out (a gateway says "queued" in them), and `close` hands
out an event whose final blank line never came, so that the caller decides whether a cut stream is an answer.
"""

from __future__ import annotations

import re

import msgspec

from cellar.errors import ModelFailed

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Bytes that one line, or the data of one event, may have. An endless line ends in an error, not in all of memory."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One event. `id` is the last id seen, as the specification says, not only this event's own."""

    data: str
    event: str = "message"
    id: str = ""


class Comment(msgspec.Struct, frozen=True, gc=False):
    """A line that began with a colon; one leading space is taken off."""

    text: str


SSEItem = Message | Comment


class SSEDecoder:
    """Feed it chunks cut anywhere; every call answers the items that became whole.

    Raises `ModelFailed` when a line or an event grows beyond `max_bytes`.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_bytes
        self._rest = bytearray()  # the line that has not ended
        self._after_cr = False  # a LF that comes next belongs to the line end before it
        self._at_start = True
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[SSEItem]:
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if b"\r" in data:
            lines = _LINE_END.split(data)
            self._after_cr = data[-1] == 0x0D
        elif b"\n" in data:
            lines = data.split(b"\n")
        else:
            self._keep(data)
            return []
        if self._rest:
            self._keep(lines[0])
            lines[0] = bytes(self._rest)
            self._rest.clear()
        last = lines.pop()
        items: list[SSEItem] = []
        for line in lines:
            self._line(line, items)
        self._keep(last)
        return items

    def close(self) -> list[SSEItem]:
        """The stream has ended: the item whose line end or blank line is missing, if there is one."""
        items: list[SSEItem] = []
        if self._rest:
            line = bytes(self._rest)
            self._rest.clear()
            self._line(line, items)
        self._dispatch(items)
        return items

    def _keep(self, piece: bytes) -> None:
        if len(self._rest) + len(piece) > self._max:
            raise self._too_long()
        self._rest += piece

    def _line(self, line: bytes, items: list[SSEItem]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):  # nearly every line
            self._add(line[6:] if line[5:6] == b" " else line[5:])
        elif not line:
            self._dispatch(items)
        elif line.startswith(b":"):
            items.append(Comment(line[1:].removeprefix(b" ").decode("utf-8", "replace")))
        else:
            name, _, value = line.partition(b":")
            self._field(name, value.removeprefix(b" "))

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > self._max:
            raise self._too_long()
        self._data.append(value)

    def _dispatch(self, items: list[SSEItem]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            items.append(Message(data.decode("utf-8", "replace"), self._event or "message", self._id))
            self._data.clear()
            self._size = 0
        self._event = ""

    def _too_long(self) -> ModelFailed:
        return ModelFailed(f"The event stream has an event of more than {self._max} bytes")


def encode_event(data: bytes, id: str = "") -> bytes:
    """One event. Data with line ends becomes several `data:` lines, which a reader joins by LF."""
    head = b"id: %b\n" % id.encode() if id else b""
    if b"\n" in data or b"\r" in data:
        return head + b"".join(b"data: %b\n" % line for line in _LINE_END.split(data)) + b"\n"
    return b"%bdata: %b\n\n" % (head, data)


def encode_comment(text: str) -> bytes:
    """A line that readers skip: keeps proxies from closing an idle connection."""
    return b"".join(b": %b\n" % line for line in _LINE_END.split(text.encode())) + b"\n"
