"""The second place: a file on another volume, and syslog, that know how far each chain had come.

Lines are only ever appended, signed like everything else, and on the disk before `write` returns. Whoever can change
the database cannot change them, if the site gives the volume (or the log server) to somebody else.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
from collections.abc import Sequence
from logging.handlers import SysLogHandler
from pathlib import Path

import msgspec
from cellar.settings import SettingsError

from cellar_hub.audit.chain import Forged, Head, Lost, Seal, Signed, Statement, parse_statement, sign_statement
from cellar_hub.audit.keys import Keys, UnknownKey, sync_folder
from cellar_hub.audit.log import AuditLog

EVERY_SECONDS = 60.0
MOST_PROBLEMS = 100  # of the file that are told one by one

log = logging.getLogger(__name__)
_lines = msgspec.json.Decoder(Signed)


class Heads:
    """Where a process writes the heads of its chains. `syslog`: a socket's path like /dev/log, or HOST:PORT (UDP)."""

    def __init__(self, path: Path, keys: Keys, syslog: str = "") -> None:
        self.path = path
        self.failing: str | None = None  # why the last write failed
        self._keys = keys
        self._syslog = parse_syslog(syslog) if syslog else None
        self._written: dict[str, int] = {}  # the last `seq` by chain

    def write(self, *statements: Statement) -> None:
        """Append and fsync; then syslog. A head that was written before is left out. Raises OSError."""
        new = [s for s in statements if not isinstance(s, Head) or self._written.get(s.chain) != s.seq]
        lines = [msgspec.json.encode(sign_statement(self._keys, statement)) for statement in new]
        if not lines:
            return
        try:
            self._append(b"".join(line + b"\n" for line in lines))
            for line in lines:
                self._tell_syslog(line.decode())
        except OSError as error:
            self.failing = error.strerror or type(error).__name__
            raise
        self.failing = None
        self._written |= {s.chain: s.seq for s in new if isinstance(s, Head)}

    async def keep(self, logs: Sequence[AuditLog], every: float = EVERY_SECONDS) -> None:
        """Write the heads now, every minute, and when this task is cancelled. A second place that fails stops no
        request; it is logged and stands in `failing`."""
        try:
            while True:
                await asyncio.to_thread(self._try, logs)
                await asyncio.sleep(every)
        finally:
            self._try(logs)

    def _try(self, logs: Sequence[AuditLog]) -> None:
        try:
            self.write(*(each.head() for each in logs))
        except OSError as error:
            log.error("the heads of the audit cannot be written to %s: %s", self.path, error.strerror)

    def _append(self, content: bytes) -> None:
        """On a line of its own, also after a power cut. Several processes may share the file: one that looks while
        another writes would see half a line, and believe in a power cut."""
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed
            end = os.fstat(descriptor).st_size
            if end and os.pread(descriptor, 1, end - 1) != b"\n":
                content = b"\n" + content
            if os.write(descriptor, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            sync_folder(self.path.parent)

    def _tell_syslog(self, line: str) -> None:
        if self._syslog is None:
            return
        handler = _Syslog(self._syslog, SysLogHandler.LOG_AUTH)
        try:
            handler.ident = "cellar-audit: "
            handler.emit(logging.LogRecord("cellar", logging.INFO, "", 0, "%s", (line,), None))
        finally:
            handler.close()


def parse_syslog(text: str) -> str | tuple[str, int]:
    """Raises SettingsError."""
    if text.startswith("/"):
        return text
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65_536:
        raise SettingsError("CELLAR_AUDIT_SYSLOG", "is neither a socket's path, like /dev/log, nor HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Syslog(SysLogHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        raise


class Known(msgspec.Struct):
    """What the second place says. `heads`: MACs by chain and `seq`. `losses`: by chain, number and MAC of the row
    before. `problems`: lines that are not ours."""

    path: Path | None
    heads: dict[str, dict[int, str]]
    seals: set[Seal]
    problems: list[str]
    losses: dict[tuple[str, int, str], Lost] = {}

    def add(self, statement: Statement) -> None:
        if isinstance(statement, Seal):
            self.seals.add(statement)
        elif isinstance(statement, Lost):
            self.losses[statement.chain, statement.first_seq - 1, statement.previous_mac] = statement
        elif statement.seq:
            # what was said first stays: who has the key, and may append here, could say something else later
            self.heads.setdefault(statement.chain, {}).setdefault(statement.seq, statement.mac)

    def tell(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def knows(self, seal: Seal, keys: Keys) -> bool:
        """Whether a seal stands there. It is written there first; so one that is newer than this reading is found by
        another. Without a second place every seal counts as known."""
        return self.path is None or seal in self.seals or seal in read_heads(self.path, keys).seals


def read_heads(path: Path, keys: Keys, most: int | None = None) -> Known:
    """Raises OSError. A last line without its end is one that was being written when the power went; it is left out.
    `most`: bytes of the file that are read."""
    known = Known(path, {}, set(), [])
    unknown: set[str] = set()
    read = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            read += len(line)
            if not line.endswith(b"\n") or (most is not None and read > most):
                break
            try:
                statement = parse_statement(keys, _lines.decode(line))
            except UnknownKey as error:
                if error.key_id not in unknown:  # told once, not for each minute of a year
                    known.tell(f"line {number} of {path.name}, and others, cannot be verified: {error}")
                unknown.add(error.key_id)
            except (ValueError, Forged) as error:
                known.tell(f"line {number} of {path.name} is {'forged' if isinstance(error, Forged) else 'damaged'}")
            else:
                known.add(statement)
    return known
