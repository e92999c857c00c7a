"""Files and symbols for `@` mentions. The index is built in a thread, bounded, and renewed when it is old; a file is
read again only when it changed."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import msgspec
from cellar import wire
from cellar.errors import CellarError

from .notebooks import notebook_part

if TYPE_CHECKING:
    from .files import Files

MAX_ENTRIES = 50_000
MAX_HITS = 50
MAX_SOURCE_BYTES = 1_000_000
MAX_SYMBOLS = 100_000
FRESH = 3.0
"""Seconds for which an index is good for what it has."""
SHARE = 10
"""It is made anew for what it has not, but the making takes at most one part in so many of the time."""
_SYMBOL = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+([^\W\d]\w*)", re.MULTILINE)


class Symbol(msgspec.Struct, frozen=True):
    name: str
    line: int | None  # 1-based; None in a notebook, whose lines mean nothing to a reader


class Entry(msgspec.Struct, frozen=True):
    path: str
    folder: bool


class Search:
    """One index for the workspace."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._entries: list[Entry] = []
        self._symbols: dict[str, tuple[tuple[int, int], tuple[Symbol, ...]]] = {}
        self._truncated = False
        self._built_at = 0.0  # when its making began: what was written since may not be in it
        self._took = 0.0  # seconds
        self._building: asyncio.Task[None] | None = None

    async def find(self, query: str) -> wire.SearchResult:
        """Best first; "" lists what lies nearest to the root."""
        await self._renew()
        found = await asyncio.to_thread(self._find, query)
        if not found.hits and self._age > SHARE * self._took:
            await asyncio.shield(self._rebuilding())
            found = await asyncio.to_thread(self._find, query)
        return found

    @property
    def _age(self) -> float:
        return time.monotonic() - self._built_at

    async def _renew(self) -> None:
        if not self._built_at:
            await asyncio.shield(self._rebuilding())
        elif self._age > FRESH:
            await asyncio.wait([self._rebuilding()], timeout=0.15)

    def _rebuilding(self) -> asyncio.Task[None]:
        if self._building is None or self._building.done():
            self._building = asyncio.create_task(asyncio.to_thread(self._build))
        return self._building

    def _build(self) -> None:
        began = time.monotonic()
        entries: list[Entry] = []
        symbols: dict[str, tuple[tuple[int, int], tuple[Symbol, ...]]] = {}
        count = 0
        truncated = False
        for path, folder, size in self._files.walk(self._files.root):
            if len(entries) >= MAX_ENTRIES:
                truncated = True
                break
            entries.append(Entry(path, folder))
            if not folder and path.endswith((".py", ".ipynb")) and size <= MAX_SOURCE_BYTES and count < MAX_SYMBOLS:
                known = self._symbols_of(path)
                if known is not None:
                    symbols[path] = known
                    count += len(known[1])
        self._entries, self._symbols, self._truncated = entries, symbols, truncated
        self._built_at, self._took = began, time.monotonic() - began

    def _symbols_of(self, path: str) -> tuple[tuple[int, int], tuple[Symbol, ...]] | None:
        try:
            status = (self._files.root / path).stat()
            mark = (status.st_mtime_ns, status.st_size)
            known = self._symbols.get(path)
            if known is not None and known[0] == mark:
                return known
            return mark, self._parse(path)
        except (OSError, CellarError):
            return None

    def _parse(self, path: str) -> tuple[Symbol, ...]:
        if path.endswith(".ipynb"):
            part = notebook_part(path, self._files.read_bytes(path, MAX_SOURCE_BYTES))
            sources = [cell.source for cell in part.cells if cell.kind == "code"]
            return tuple(Symbol(match[1], None) for source in sources for match in _SYMBOL.finditer(source))
        source = self._files.read(path, MAX_SOURCE_BYTES)
        found: list[Symbol] = []
        line, at = 1, 0
        for match in _SYMBOL.finditer(source):
            line += source.count("\n", at, match.start(1))
            at = match.start(1)
            found.append(Symbol(match[1], line))
        return tuple(found)

    def _find(self, query: str) -> wire.SearchResult:
        needle = query.casefold()
        hits: list[tuple[int, int, str, wire.SearchHit]] = []
        for entry in self._entries:
            name = entry.path.rsplit("/", 1)[-1]
            rank = _rank(needle, name.casefold(), entry.path.casefold())
            if rank is not None:
                kind = "folder" if entry.folder else "file"
                hit = wire.SearchHit(kind=kind, path=entry.path, name=name)  # type: ignore[arg-type]  # one of the two
                hits.append((rank, entry.path.count("/"), entry.path, hit))
        if needle:
            for path, (_, symbols) in self._symbols.items():
                for symbol in symbols:
                    rank = _rank(needle, symbol.name.casefold(), "")
                    if rank is not None:
                        hit = wire.SearchHit(kind="symbol", path=path, name=symbol.name, line=symbol.line)
                        hits.append((rank, path.count("/") + 1, path, hit))
        hits.sort(key=lambda hit: hit[:3])
        return wire.SearchResult(
            hits=tuple(hit[3] for hit in hits[:MAX_HITS]), truncated=self._truncated or len(hits) > MAX_HITS
        )


def _rank(needle: str, name: str, path: str) -> int | None:
    """0: the name, 1: begins so, 2: in the name, 3: in the path, 4: its letters in order; None: no hit."""
    if not needle:
        return 0
    if name == needle:
        return 0
    if name.startswith(needle):
        return 1
    if needle in name:
        return 2
    if path and needle in path:
        return 3
    letters = iter(name)
    return 4 if len(needle) > 2 and all(letter in letters for letter in needle) else None
