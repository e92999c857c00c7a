"""The journal of one turn: an append-only file that outlives the server.

First line: which conversation, and the turn as it was asked; it is on the disk before the request leaves. Then one line
for what was sent, and events as they happened, text in pieces of at most a quarter of a second. When the turn has been
folded into its conversation's file, the journal goes. A journal found at start, whose lock nobody holds, is a turn that
a server left behind.

Methods block on the disk: the caller runs them in the disk thread, never on the event loop.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cellar import wire
from cellar.context import RedactionState, SentTurn
from cellar.conversation import SCHEMA, TurnRecord, fold

from .disk import open_private, try_lock, write_all


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="question"):
    """The first line."""

    version: int = SCHEMA
    conversation_id: str
    title: str
    created: float  # of the conversation
    turn: TurnRecord


class Dispatched(msgspec.Struct, frozen=True, kw_only=True, tag="dispatched"):
    """The prompt was built: what goes out, and the conversation's memory of masked secrets."""

    model: str
    parent_id: str | None
    sent: SentTurn
    redaction: RedactionState


Line = Question | Dispatched | wire.Event
_encode = msgspec.json.encode
_decode_line = msgspec.json.Decoder(Question | Dispatched | wire.Event).decode


class Recovered(msgspec.Struct, frozen=True):
    """What a journal tells: the turn with all its text, and the redaction state if the prompt had been built."""

    question: Question
    turn: TurnRecord
    redaction: RedactionState | None


class Journal:
    """An open journal; holds its file's lock until closed. `fd`: of one that was adopted, with its lock."""

    def __init__(self, path: Path, fd: int | None = None) -> None:
        self.path = path
        self._fd = fd
        self._torn = fd is not None  # its last line may have been cut

    def put(self, question: Question) -> None:
        """Write the question as it is now, and wait until it is on the disk. Raises `OSError`; a journal that could not
        be begun leaves no file."""
        if self._fd is None:
            self._fd = open_private(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL)
            try_lock(self._fd)
            try:
                self._put(question)
            except OSError:
                self.remove()
                raise
        else:
            self._put(question)

    def _put(self, question: Question) -> None:
        assert self._fd is not None
        self.append([question])
        os.fsync(self._fd)

    def append(self, lines: Iterable[Line]) -> None:
        """Add lines; a no-op before `put` and after `remove`, so that a late flush is harmless."""
        if self._fd is not None:
            data = b"".join(_encode(line) + b"\n" for line in lines)
            torn, self._torn = self._torn, True
            write_all(self._fd, b"\n" + data if torn else data)
            self._torn = False

    def remove(self) -> None:
        """The turn is kept elsewhere now."""
        if self._fd is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def release(self) -> None:
        """Close without removing: the next server will find it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def adopt(path: Path) -> tuple[int, bytes] | None:
    """A journal that nobody holds: its file descriptor, with the lock, and its content. None: another server's, or one
    that cannot be read now."""
    try:
        fd = open_private(path, os.O_RDWR | os.O_APPEND)
    except OSError:
        return None
    if not try_lock(fd) or not path.exists():
        os.close(fd)
        return None
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        return fd, file.read()


def recover(content: bytes) -> Recovered | None:
    """What stands in a journal; a last line that was cut is ignored. None: the first line cannot be read."""
    lines = content.split(b"\n")
    try:
        question = _decode_line(lines[0])
    except (msgspec.DecodeError, UnicodeError):
        return None
    if not isinstance(question, Question) or question.version > SCHEMA:
        return None
    turn = question.turn
    redaction: RedactionState | None = None
    events: list[wire.Event] = []
    for raw in lines[1:]:
        try:
            line = _decode_line(raw)
        except (msgspec.DecodeError, UnicodeError):
            continue
        if isinstance(line, Dispatched):
            redaction = line.redaction
            turn = msgspec.structs.replace(
                turn, state="running", model=line.model, parent_id=line.parent_id, sent=line.sent, context=None
            )
        elif isinstance(line, Question):
            turn = line.turn  # edited while it waited, or started
        else:
            events.append(line)
    if not turn.waiting:  # it waits no longer, whatever was told before its start
        events = [event for event in events if not isinstance(event, wire.PendingEvent)]
    return Recovered(question, fold(turn, events), redaction)
