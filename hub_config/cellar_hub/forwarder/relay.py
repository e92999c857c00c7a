"""Bytes both ways between two connections, with bounded buffers and half-close."""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter

PIECE = 64 * 1024
"""Bytes read at once. Each direction holds at most a few of these: who reads slowly slows the other side down."""

KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A connection may be idle for ever, as databases' are; a side that is gone without a word is found in two minutes."""


async def relay(one: tuple[StreamReader, StreamWriter], other: tuple[StreamReader, StreamWriter]) -> None:
    """Until both sides have ended; when one breaks, the other is broken as well. Closes neither."""
    async with asyncio.TaskGroup() as directions:
        directions.create_task(_copy(one[0], other[1]))
        directions.create_task(_copy(other[0], one[1]))


async def _copy(source: StreamReader, sink: StreamWriter) -> None:
    while piece := await source.read(PIECE):
        sink.write(piece)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def keep_alive(writer: StreamWriter) -> None:
    found: socket.socket = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
