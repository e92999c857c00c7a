"""SQLite's file when somebody puts another one under its name, or takes it away, while services run.

A connection goes on with the file that it has open. Nothing fails: what is written goes to a file without a name, and
is gone with the last process that has it open. So a store looks before each transaction, and after each commit, whether
the name still leads to the file that it knows; that costs one system call. A file that was overwritten in its place
looks the same: docs/operate.md says how a database is restored.
"""

from __future__ import annotations

import logging
from pathlib import Path

from cellar_hub.store.engine import StoreDown

log = logging.getLogger(__name__)

Identity = tuple[int, int]
"""Of a file: its device and its number there."""


class DatabaseFile:
    """The file under `path`, which is there already, and the log of writes beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = self.now()
        self._wal_path = path.with_name(path.name + "-wal")
        self._wal: Identity | None = None

    def now(self) -> Identity:
        """Of the file that is there. Raises StoreDown when there is none."""
        found = _identity(self.path)
        if found is None:
            raise StoreDown(f"{self.path} is gone: nothing is written until it is back")
        return found

    def remember_log(self) -> None:
        """While a connection of ours has it open, and so nobody removes it."""
        if self._wal is None:
            self._wal = _identity(self._wal_path)

    def adopt(self, identity: Identity) -> None:
        """Go on with another file. Beside it may still lie the log of the one before, whose pages SQLite would put into
        the new one. It is moved out of the way while our connections are open, so that no other file has its number."""
        if self._wal is not None and _identity(self._wal_path) == self._wal:
            aside = self._wal_path.with_name(self._wal_path.name + ".of-the-file-before")
            self._wal_path.replace(aside)
            self.path.with_name(self.path.name + "-shm").unlink(missing_ok=True)
            log.warning("the log of the file before lay beside the new one: it is %s now", aside)
        self._wal = None
        self.known = identity


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreDown(f"{path}: {error.strerror}") from None
    return found.st_dev, found.st_ino
