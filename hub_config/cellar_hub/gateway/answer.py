"""The answer's bytes as they pass: what to relay, and what they say. Pure: chunks cut anywhere in, bytes out.

The bytes are relayed as they came. Only when the client had not asked for the usage event, that one event is taken out;
then, and only then, an event that is not whole yet waits for its end. Beside that the reader counts events with
content, keeps the usage, sees an error under HTTP 200, and hashes the answer's text as it grows. Nothing of the text is
kept.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

MAX_EVENT = 1024 * 1024
"""Bytes of one event that are kept for reading; longer ones are relayed unread."""
MAX_WHOLE = 16 * 1024 * 1024
"""Bytes of an answer in one piece that are kept for reading its usage."""

_BREAK = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE = re.compile(rb"\r\n|\n|\r")


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class TokenUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None

    @property
    def cached(self) -> int | None:
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details is not None else None


class _Said(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    delta: _Said | None = None
    message: _Said | None = None
    text: str | None = None  # /v1/completions
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: TokenUsage | None = None
    error: object = None


_decode = msgspec.json.Decoder(_Chunk).decode
_CUT = frozenset({"abort", "error"})


class AnswerReader:
    """`events`: content events seen, about one token each. `error`: the word or number of an error event."""

    def __init__(self, *, stream: bool, hide_usage: bool = False, text_hash: Hash | None = None) -> None:
        self.events = 0
        self.usage: TokenUsage | None = None
        self.finish: str | None = None
        self.done = False
        self.error: str | None = None
        self._stream = stream
        self._hide = stream and hide_usage
        self._hash = text_hash
        self._rest = b""
        self._unread = False  # in the middle of something too long to read

    def feed(self, data: bytes) -> bytes:
        """What to relay now; empty: nothing yet."""
        if not self._stream:
            self._keep_whole(data)
            return data
        if self._rest:
            data = self._rest + data
            before = len(self._rest)
        else:
            before = 0
        if b"\r" in data:
            return self._split_by(data, before, [found.end() for found in _BREAK.finditer(data)])
        if data.endswith(b"\n\n") and data.count(b"\n\n") == 1 and not self._unread:  # nearly every chunk: one event
            self._rest = b""
            return self._passed(data, before, self._event(data))
        ends, start = [], 0
        while (found := data.find(b"\n\n", start)) >= 0:
            start = found + 2
            ends.append(start)
        return self._split_by(data, before, ends)

    def close(self) -> bytes:
        """The stream has ended: what was kept back, read as far as it can be."""
        rest, self._rest = self._rest, b""
        if not self._stream:
            if rest:
                self._read(rest)
            return b""
        if not rest or self._unread:
            return b""
        hidden = self._event(rest)
        return b"" if hidden or not self._hide else rest

    @property
    def outcome(self) -> str:
        """ "complete", "length", "error" or "interrupted" (it ended without saying so)."""
        if self.error is not None or self.finish in _CUT:
            return "error"
        if self.finish == "length":
            return "length"
        return "complete" if self.finish is not None or self.done else "interrupted"

    # -- inside --------------------------------------------------------------------------------------------------------

    def _keep_whole(self, data: bytes) -> None:
        if self._unread:
            return
        if len(self._rest) + len(data) > MAX_WHOLE:
            self._rest, self._unread = b"", True
        else:
            self._rest += data

    def _passed(self, data: bytes, before: int, hidden: bool) -> bytes:
        """The part of one whole event that was not relayed before."""
        if not self._hide:
            return data[before:]
        return b"" if hidden else data

    def _split_by(self, data: bytes, before: int, ends: list[int]) -> bytes:
        """Read each whole event; keep what is not whole. `before`: bytes of `data` that were here already."""
        kept, start = [], 0
        for end in ends:
            event = data[start:end]
            if self._unread:
                self._unread, hidden = False, False
            else:
                hidden = self._event(event)
            if self._hide and not hidden:
                kept.append(event)
            start = end
        self._rest = data[start:]
        passed = b"".join(kept) if self._hide else data[before:]
        if self._unread or len(self._rest) > MAX_EVENT:  # too long for a usage event: it goes on unread
            passed += self._rest if self._hide else b""
            self._rest, self._unread = b"", True
        return passed

    def _event(self, event: bytes) -> bool:
        """Read one event; True: it is the usage event, and only that."""
        if event.startswith(b"data: ") and event.count(b"\n") <= 2 and b"\r" not in event:
            return self._read(event[6:])
        lines = [line[5:] for line in _LINE.split(event) if line.startswith(b"data:")]
        return bool(lines) and self._read(b"\n".join(lines))

    def _read(self, payload: bytes) -> bool:
        if payload.lstrip().startswith(b"[DONE]"):
            self.done = True
            return False
        try:
            chunk = _decode(payload)
        except (msgspec.DecodeError, UnicodeError):
            return False  # not ours to judge: the client gets it as it is
        if chunk.error is not None:
            self.error = _word(chunk.error)
        if chunk.usage is not None:
            self.usage = chunk.usage
        if not chunk.choices:
            return chunk.usage is not None and chunk.error is None
        for choice in chunk.choices:
            self._choice(choice)
        return False

    def _choice(self, choice: _Choice) -> None:
        said = choice.delta or choice.message
        text = choice.text if said is None else said.content
        if text:
            self.events += 1
            if self._hash is not None:
                self._hash.update(text.encode("utf-8", "surrogatepass"))
        elif said is not None and (said.reasoning or said.reasoning_content or said.tool_calls):
            self.events += 1
        if choice.finish_reason:
            self.finish = choice.finish_reason


_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def _word(error: object) -> str:
    """A plain word or number that names the error; never its message, which may repeat the prompt."""
    named = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    return next((str(each) for each in named if each and _PLAIN.fullmatch(str(each))), "error")
