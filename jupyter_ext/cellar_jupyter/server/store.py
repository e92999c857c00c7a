"""Conversations on disk: one file each, under the Jupyter data directory, for their owner's eyes only.

A file is lines of JSON: a header (what a list of conversations needs), the redaction state, then one turn a line. It is
only ever replaced as a whole by a rename. A file that cannot be read is set aside under another name and reported,
never overwritten. Two servers may share the directory: a save under the lock takes up what the other one wrote.

Methods block on the disk; they may be called from several threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
from cellar import wire
from cellar.context import RedactionState
from cellar.conversation import SCHEMA, ConversationRecord, TurnRecord, find

from .disk import locked, private_directory, replace_private

KEPT_OPEN = 8
"""Conversations whose decoded form is kept in memory between two requests."""
KEYS_KEPT = 50
GONE = ".gone"
"""Of the file of a conversation that is being deleted; what is left under such a name was deleted."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a conversation's file."""

    version: int
    id: str
    title: str
    created: float
    updated: float
    turns: int
    head_id: str | None
    keys: dict[str, str]  # request_key -> turn id, of the newest turns


class Unsaved(Exception):
    """The disk refused, and all is as before; the reason is the cause."""


class Store(Protocol):
    """Where conversations live: on disk, or only in memory."""

    problems: list[str]

    def load(self, conversation_id: str) -> ConversationRecord | None: ...
    def save(self, conversation: ConversationRecord) -> ConversationRecord: ...
    def delete(self, conversation_id: str) -> bool: ...
    def summaries(self) -> list[wire.ConversationSummary]: ...
    def search(self, query: str) -> list[wire.ConversationSummary]: ...
    def size(self, conversation_id: str) -> int: ...


def _header(conversation: ConversationRecord) -> Header:
    keys = {turn.request_key: turn.id for turn in conversation.turns[-KEYS_KEPT:] if turn.request_key}
    return Header(
        version=SCHEMA,
        id=conversation.id,
        title=conversation.title,
        created=conversation.created,
        updated=conversation.updated,
        turns=len(conversation.turns),
        head_id=conversation.head_id,
        keys=keys,
    )


def _summary(header: Header, size: int, excerpt: str = "") -> wire.ConversationSummary:
    return wire.ConversationSummary(
        id=header.id,
        title=header.title,
        created=header.created,
        updated=header.updated,
        turns=header.turns,
        size=size,
        excerpt=excerpt,
    )


_decode_header = msgspec.json.Decoder(Header).decode
_decode_turn = msgspec.json.Decoder(TurnRecord).decode
_decode_redaction = msgspec.json.Decoder(RedactionState).decode
_Signature = tuple[int, int, int]


class DiskStore:
    """The store of `history = disk`."""

    def __init__(self, directory: Path, report: Callable[[str], None]) -> None:
        self.directory = private_directory(directory)
        self._conversations = private_directory(directory / "conversations")
        self.journals = private_directory(directory / "journals")
        for gone in self._conversations.glob(f"*{GONE}"):
            with contextlib.suppress(OSError):
                gone.unlink()
        self.problems: list[str] = []
        self._report = report
        self._lock = threading.RLock()
        self._headers: dict[str, tuple[_Signature, Header]] = {}
        self._cache: OrderedDict[str, tuple[_Signature, ConversationRecord]] = OrderedDict()

    # -- one conversation ---------------------------------------------------------------------------------------------

    def load(self, conversation_id: str) -> ConversationRecord | None:
        if not _is_id(conversation_id):  # part of an address somebody typed; it becomes a file's name below
            return None
        path = self._path(conversation_id)
        with self._lock:
            signature = _signature(path)
            if signature is None:
                self.forget(conversation_id)
                return None
            cached = self._cache.get(conversation_id)
            if cached is not None and cached[0] == signature:
                self._cache.move_to_end(conversation_id)
                return cached[1]
            conversation = self._read(path)
            if conversation is not None:
                self._remember(conversation, signature)
            return conversation

    def save(self, conversation: ConversationRecord) -> ConversationRecord:
        """Write it; what another server added since we read it is taken up. Answers what was written."""
        path = self._path(conversation.id)
        try:
            with self._lock, locked(self.directory / ".lock"):
                cached = self._cache.get(conversation.id)
                signature = _signature(path)
                if signature is not None and (cached is None or cached[0] != signature):
                    theirs = self._read(path)
                    if theirs is not None:
                        conversation = _merge(conversation, theirs)
                    elif path.exists():  # of a newer Cellar, or unreadable for now: what is in it is not ours to lose
                        raise Unsaved(f"{path.name} cannot be read")
                replace_private(path, _lines(conversation))
                written = _signature(path)
                if written is not None:
                    self._remember(conversation, written)
        except OSError as error:
            raise Unsaved(str(error)) from error
        return conversation

    def delete(self, conversation_id: str) -> bool:
        """With its journals: none may bring it back at the next start. A disk that refuses raises `Unsaved`, and the
        conversation is there as before."""
        if not _is_id(conversation_id):
            return False
        path = self._path(conversation_id)
        gone = path.with_suffix(GONE)
        try:
            with self._lock, locked(self.directory / ".lock"):
                was_there = path.exists()
                if was_there:
                    path.rename(gone)
                try:
                    for journal in self.journals.glob(f"{conversation_id}-*.jsonl"):
                        journal.unlink(missing_ok=True)
                except OSError:
                    if was_there:
                        gone.rename(path)
                    raise
                self.forget(conversation_id)
                gone.unlink(missing_ok=True)
        except OSError as error:
            raise Unsaved(str(error)) from error
        return was_there

    def size(self, conversation_id: str) -> int:
        signature = _signature(self._path(conversation_id)) if _is_id(conversation_id) else None
        return signature[1] if signature else 0

    # -- all of them --------------------------------------------------------------------------------------------------

    def summaries(self) -> list[wire.ConversationSummary]:
        with self._lock:
            self._refresh()
            return [_summary(header, signature[1]) for signature, header in self._headers.values()]

    def search(self, query: str) -> list[wire.ConversationSummary]:
        """Conversations with `query` in title, questions or answers. The lock is free between two files."""
        with self._lock:
            self._refresh()
            headers = list(self._headers.items())
        found: list[wire.ConversationSummary] = []
        for conversation_id, (signature, header) in headers:
            with self._lock:
                cached = self._cache.get(conversation_id)
                conversation = cached[1] if cached else self._read(self._path(conversation_id))
            excerpt = find(conversation, query) if conversation is not None else None
            if excerpt is not None:
                found.append(_summary(header, signature[1], excerpt))
        return found

    def keys(self) -> list[tuple[str, str, str]]:
        """(request_key, turn id, conversation id) of the newest stored turns of every conversation."""
        with self._lock:
            self._refresh()
            return [
                (key, turn_id, conversation_id)
                for conversation_id, (_, header) in self._headers.items()
                for key, turn_id in header.keys.items()
            ]

    # -- files --------------------------------------------------------------------------------------------------------

    def _path(self, conversation_id: str) -> Path:
        return self._conversations / f"{conversation_id}.jsonl"

    def _refresh(self) -> None:
        """Read the headers of files that are new or changed. A directory that cannot be read leaves what is known."""
        seen: set[str] = set()
        try:
            entries = list(os.scandir(self._conversations))
        except OSError as error:
            self.problem(f"The conversations' directory cannot be read: {error.strerror}")
            return
        for entry in entries:
            if not entry.name.endswith(".jsonl"):
                continue
            conversation_id = entry.name.removesuffix(".jsonl")
            path = Path(entry.path)
            signature = _signature(path)
            if signature is None:
                continue
            known = self._headers.get(conversation_id)
            if known is None or known[0] != signature:
                header = self._read_header(path)
                if header is None:
                    continue
                self._headers[conversation_id] = (signature, header)
            seen.add(conversation_id)
        for gone in self._headers.keys() - seen:
            self.forget(gone)

    def _read_header(self, path: Path) -> Header | None:
        try:
            with path.open("rb") as file:
                header = _decode_header(file.readline(1_000_000))
        except (msgspec.DecodeError, UnicodeError, OSError) as error:
            self._cannot_read(path, error)
            return None
        if header.version > SCHEMA:
            self.problem(f"A conversation was written by a newer Cellar and is left alone: {path.name}")
            return None
        return header

    def _read(self, path: Path) -> ConversationRecord | None:
        header = self._read_header(path)
        if header is None:
            return None
        try:
            with path.open("rb") as file:
                file.readline()
                redaction = _decode_redaction(file.readline())
                turns = tuple(_decode_turn(line) for line in file)
        except (msgspec.DecodeError, UnicodeError, OSError) as error:
            self._cannot_read(path, error)
            return None
        return ConversationRecord(
            id=header.id,
            title=header.title,
            created=header.created,
            updated=header.updated,
            turns=turns,
            head_id=header.head_id,
            redaction=redaction,
        )

    def set_aside(self, path: Path, why: str) -> None:
        """Keep a file that cannot be read under another name, and tell."""
        aside = path.with_name(f"{path.name}.unreadable-{time.strftime('%Y%m%dT%H%M%S')}")
        with contextlib.suppress(OSError):
            path.rename(aside)
        self.problem(f"A conversation could not be read and was set aside as {aside.name} ({why})")

    def _cannot_read(self, path: Path, error: Exception) -> None:
        if isinstance(error, FileNotFoundError):
            return  # deleted meanwhile
        if isinstance(error, OSError):
            self.problem(f"A conversation could not be read: {path.name}: {error.strerror}")
            return
        # a decoding error names the place, never the content
        self.set_aside(path, str(error)[:200] if isinstance(error, msgspec.DecodeError) else type(error).__name__)
        self.forget(path.name.removesuffix(".jsonl"))

    def problem(self, message: str, why: str = "") -> None:
        """Tell the user and the log (with the reason), once."""
        if message not in self.problems:
            self.problems.append(message)
            self._report(f"{message} ({why})" if why else message)

    def solved(self, message: str) -> None:
        """It is none any more."""
        if message in self.problems:
            self.problems.remove(message)

    def _remember(self, conversation: ConversationRecord, signature: _Signature) -> None:
        self._headers[conversation.id] = (signature, _header(conversation))
        self._cache[conversation.id] = (signature, conversation)
        self._cache.move_to_end(conversation.id)
        while len(self._cache) > KEPT_OPEN:
            self._cache.popitem(last=False)

    def forget(self, conversation_id: str) -> None:
        """What is remembered of its file: the next load and the next save read it anew."""
        self._headers.pop(conversation_id, None)
        self._cache.pop(conversation_id, None)


def _is_id(conversation_id: str) -> bool:
    return conversation_id.isascii() and conversation_id.isalnum() and len(conversation_id) <= 64


def _lines(conversation: ConversationRecord) -> Iterator[bytes]:
    encode = msgspec.json.encode
    yield encode(_header(conversation)) + b"\n"
    yield encode(conversation.redaction) + b"\n"
    for turn in conversation.turns:
        yield encode(turn) + b"\n"


def _signature(path: Path) -> _Signature | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _merge(ours: ConversationRecord, theirs: ConversationRecord) -> ConversationRecord:
    """Their turns that we do not have, beside ours."""
    ids = {turn.id for turn in ours.turns}
    added = [turn for turn in theirs.turns if turn.id not in ids]
    turns = tuple(sorted((*ours.turns, *added), key=lambda turn: turn.created)) if added else ours.turns
    return msgspec.structs.replace(ours, turns=turns, updated=max(ours.updated, theirs.updated))


class MemoryStore:
    """The store of `history = memory`: nothing is written, a restart loses everything."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._conversations: dict[str, ConversationRecord] = {}
        self._sizes: dict[str, int] = {}  # what they would have on a disk

    def load(self, conversation_id: str) -> ConversationRecord | None:
        return self._conversations.get(conversation_id)

    def save(self, conversation: ConversationRecord) -> ConversationRecord:
        self._conversations[conversation.id] = conversation
        self._sizes[conversation.id] = sum(map(len, _lines(conversation)))
        return conversation

    def delete(self, conversation_id: str) -> bool:
        self._sizes.pop(conversation_id, None)
        return self._conversations.pop(conversation_id, None) is not None

    def summaries(self) -> list[wire.ConversationSummary]:
        return [_summary(_header(each), self.size(each.id)) for each in list(self._conversations.values())]

    def search(self, query: str) -> list[wire.ConversationSummary]:
        found = []
        for conversation in list(self._conversations.values()):
            excerpt = find(conversation, query)
            if excerpt is not None:
                found.append(_summary(_header(conversation), self.size(conversation.id), excerpt))
        return found

    def size(self, conversation_id: str) -> int:
        return self._sizes.get(conversation_id, 0)
