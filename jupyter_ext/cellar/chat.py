"""One chat completion as it travels: the request we write, and the stream of events we read. No I/O.

The wire is OpenAI's chat completions API as vLLM and llama.cpp speak it
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cellar.errors import ModelFailed
from cellar.refusals import error_event
from cellar.sse import Comment, SSEDecoder, SSEItem
from cellar.thinking import Kind, ThinkingSplitter

Messages = list[dict[str, Any]]


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What we ask. None means "not set" and is never sent: vLLM refuses a null where it wants a number."""

    model: str
    messages: Messages
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    extra: dict[str, Any] = {}  # fields of one server's own, e.g. chat_template_kwargs

    def body(self, *, stream: bool) -> bytes:
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__ if name != "extra"}
        fields.update(self.extra)
        if stream:
            fields["stream"] = True
            fields["stream_options"] = {"include_usage": True}
        return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


# ---------------------------------------------------------------------------------------------------------------------
# What comes back


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The model server has the request: its headers arrived; behind a gateway, the wait in its queue is over."""


class Queued(msgspec.Struct, frozen=True, gc=False):
    """The gateway's queue: our place (1-based) and how many are before us."""

    position: int
    ahead: int


class Delta(msgspec.Struct, frozen=True, gc=False):
    """More text. Deltas that arrived together are one."""

    text: str


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """More of what a reasoning model thinks before it answers."""

    text: str


class UsageSeen(msgspec.Struct, frozen=True, gc=False):
    """Tokens. `cached`: prompt tokens found in the server's prefix cache; None when it does not tell."""

    prompt: int
    completion: int
    cached: int | None = None


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The end. `reason` as the server says it: "stop", "length", "tool_calls", ...; None: the answer was cut (the
    stream ended with neither a finish reason nor `[DONE]`, or the server aborted it)."""

    reason: str | None


ModelEvent = Opened | Queued | Delta | Reasoning | UsageSeen | Finish


# ---------------------------------------------------------------------------------------------------------------------
# The chunks as the servers write them; what is not named here is skipped while decoding.


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None  # vLLM since 0.10
    reasoning_content: str | None = None  # llama.cpp, older vLLM


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None  # a whole answer in one piece, when not streaming
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
_QUEUED = re.compile(r"queued position=(\d{1,9}) ahead=(\d{1,9})\b")
CUT = frozenset({"abort", "error"})
"""vLLM's words for an answer that was not finished."""


class ChatParser:
    """Bytes of a streamed answer in, `ModelEvent`s out. Raises what an error event under HTTP 200 says.

    `feed` until it is `done`; at the end of the stream `close` answers the last events. `Finish` comes exactly once.
    """

    def __init__(self, *, gateway: bool = False) -> None:
        self.done = False
        self.seen_data = False
        self._sse = SSEDecoder()
        self._opened = not gateway  # then the client says so itself, at the headers
        self._reason: str | None = None
        self._usage: _Usage | None = None
        self._thinking = ThinkingSplitter()
        self._kind: type[Delta] | type[Reasoning] = Delta  # of the text collected in `_pieces`
        self._pieces: list[str] = []

    def feed(self, data: bytes) -> list[ModelEvent]:
        return self._read(self._sse.feed(data))

    def close(self) -> list[ModelEvent]:
        """The stream has ended or broke: what is left, and `Finish`, unless that came already."""
        if self.done:
            return []
        try:
            events = self._read(self._sse.close())
        except ModelFailed:
            events = []  # the last event was cut in its middle
        if not self.done:
            self._end(events, self._reason)
        return events

    def _read(self, items: list[SSEItem]) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        for item in items:
            if self.done:
                break
            if isinstance(item, Comment):
                self._comment(item.text, events)
            elif item.data == "[DONE]":
                self._open(events)
                self._end(events, self._reason or "stop")
            else:
                self._chunk(item.data, events)
        self._flush(events)
        return events

    def _comment(self, text: str, events: list[ModelEvent]) -> None:
        queued = _QUEUED.match(text)
        if queued and not self.seen_data:
            events.append(Queued(int(queued[1]), int(queued[2])))
        else:
            self._open(events)

    def _chunk(self, data: str, events: list[ModelEvent]) -> None:
        try:
            chunk = decode_chunk(data)
        except (msgspec.DecodeError, UnicodeError):
            raise ModelFailed("The model server sent an event that is not a chat completion chunk") from None
        if chunk.error is not None:
            raise error_event(chunk.error)
        self.seen_data = True
        self._open(events)
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            delta = choice.delta
            if delta is not None:
                thought = delta.reasoning or delta.reasoning_content
                if thought:
                    self._text(Reasoning, thought, events)
                if delta.content:
                    self._content(delta.content, events)
            if choice.finish_reason:
                self._reason = choice.finish_reason

    def _open(self, events: list[ModelEvent]) -> None:
        if not self._opened:
            self._opened = True
            events.append(Opened())

    def _content(self, text: str, events: list[ModelEvent]) -> None:
        if self._thinking.settled:
            self._text(Delta, text, events)
        else:
            self._told(self._thinking.feed(text), events)

    def _told(self, pieces: list[tuple[Kind, str]], events: list[ModelEvent]) -> None:
        for kind, text in pieces:
            self._text(Reasoning if kind == "reasoning" else Delta, text, events)

    def _text(self, kind: type[Delta] | type[Reasoning], text: str, events: list[ModelEvent]) -> None:
        if kind is not self._kind:
            self._flush(events)
            self._kind = kind
        self._pieces.append(text)

    def _flush(self, events: list[ModelEvent]) -> None:
        if self._pieces:
            events.append(self._kind("".join(self._pieces)))
            self._pieces.clear()

    def _end(self, events: list[ModelEvent], reason: str | None) -> None:
        self.done = True
        self._told(self._thinking.close(), events)
        self._flush(events)
        usage = self._usage
        if usage is not None:
            details = usage.prompt_tokens_details
            cached = details.cached_tokens if details is not None else None
            events.append(UsageSeen(usage.prompt_tokens or 0, usage.completion_tokens or 0, cached))
        events.append(Finish(None if reason in CUT else reason))
