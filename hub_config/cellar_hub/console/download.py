"""Files that are made while they are sent, so that memory does not grow with them; a few at a time, in all.

Each holds one of the store's reading connections for as long as it takes: more of them would keep pages waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from sqlalchemy import Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from .page import Page

MOST = 2
SLOWEST = 60.0
"""Seconds that a reader may take no byte."""


class Download(Page):
    under_way = 0

    async def send(self, write: Callable[[Connection], Iterator[bytes]], kind: str, name: str) -> None:
        """What `write` gives, on one snapshot of the books. Raises HTTPError when others are being sent already."""
        if Download.under_way >= MOST:
            raise HTTPError(429, "Others are downloading just now. Please try again in a moment.")
        Download.under_way += 1
        try:
            self.set_header("Content-Type", kind)
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
            with closing(self._pieces(write)) as pieces:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    self.write(piece)
                    await asyncio.wait_for(self.flush(), SLOWEST)
        except StreamClosedError:
            pass  # its reader has left
        finally:
            Download.under_way -= 1

    def _pieces(self, write: Callable[[Connection], Iterator[bytes]]) -> Generator[bytes, None, None]:
        with self.desk.store.reading() as conn:
            yield from write(conn)
