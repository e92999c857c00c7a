"""A file of the administrator's in a running process, read again when it changes. A broken one changes nothing but the
log."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from cellar.settings import SettingsError

LOOK_EVERY = 1.0
MAX_BYTES = 4 * 1024 * 1024

T = TypeVar("T")

log = logging.getLogger(__name__)


class WatchedFile(Generic[T]):
    """`current()` is cheap: the file's times are looked at once a second. `read` raises `SettingsError`; the first time
    that is let through. `what`: of the log's sentences. `value`: what counts. `ok`: whether it is what stands there."""

    def __init__(self, path: Path, read: Callable[[Path], T], what: str) -> None:
        self._path = path
        self._read = read
        self._what = what
        self._looked_at = time.monotonic()
        self._seen = _stamp(path)
        self.value = read(path)
        self.ok = True

    def current(self) -> T:
        if time.monotonic() - self._looked_at > LOOK_EVERY:
            self._looked_at = time.monotonic()
            self.look()
        return self.value

    def look(self) -> None:
        """Now: whoever has just written it wants to see it."""
        seen = _stamp(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            value = self._read(self._path)
        except SettingsError as problem:
            self.ok = False
            log.error("%s stays as it was: %s", self._what, problem)
            return
        if _stamp(self._path) != seen:
            return  # somebody writes into it just now, and a part of a file may be a good one: the next look finds all
        self.value = value
        self.ok = True
        log.info("%s was read again", self._what)


def read_text(path: Path, name: str) -> str:
    """Raises `SettingsError` that begins with `name`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise SettingsError(name, f"cannot be read: {problem.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SettingsError(name, "is too large")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SettingsError(name, "is not UTF-8") from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
