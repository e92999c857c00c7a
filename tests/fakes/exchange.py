"""One chat completion at the fake server: the record of it, and the writing of its answer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any, Protocol

import msgspec

from tests.fakes import openai
from tests.fakes.http import Request
from tests.fakes.scenarios import Scenario


class Server(Protocol):
    async def pass_gate(self) -> None:
        """Wait until the test lets one through."""

    def notify(self) -> None:
        """Something that a test may wait for has happened."""


@dataclasses.dataclass
class Exchange:
    """One chat completion as the server saw it. Times are `time.monotonic_ns()`."""

    id: int
    body: dict[str, Any]
    headers: dict[str, str]
    received_ns: int
    first_ns: int | None = None  # the first token was handed to the socket
    last_ns: int | None = None  # the last one
    sent: int = 0  # tokens
    comments: int = 0  # that kept a silent stream alive
    status: int = 200
    outcome: str = "running"  # finished | aborted (the client left) | cut (we did) | refused
    request: Request | None = None

    @property
    def fin_ns(self) -> int | None:
        """When the client closed the connection."""
        return self.request.fin_ns if self.request else None

    def to_json(self) -> dict[str, Any]:
        fields = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "request"
        }
        return {**fields, "fin_ns": self.fin_ns}


class Answer:
    """One answer being written."""

    def __init__(
        self, server: Server, exchange: Exchange, request: Request, body: openai.ChatBody, scenario: Scenario
    ) -> None:
        self._server = server
        self._exchange = exchange
        self._request = request
        self._scenario = scenario
        self._body = body
        self._tokens = scenario.said(body.messages[-1].last_text[-500:])
        prompt = scenario.prompt_tokens
        self._prompt = openai.count_messages(body.messages) if prompt is None else prompt
        self._id = f"chatcmpl-{request.headers.get('x-request-id', exchange.id)}"
        self._chunks = openai.ChunkWriter(self._id, body.model, int(time.time()), scenario.newline)

    async def whole(self) -> None:
        scenario = self._scenario
        if scenario.prefill != "none":
            await self._server.pass_gate()
        usage = openai.usage(self._prompt, len(self._tokens), scenario.cached_tokens) if scenario.usage else None
        message = {"role": "assistant", "content": "".join(self._tokens), "reasoning": scenario.reasoning or None}
        await self._request.answer_json(
            {
                "id": self._id,
                "object": "chat.completion",
                "model": self._body.model,
                "choices": [{"index": 0, "message": message, "finish_reason": scenario.finish}],
                "usage": usage,
            }
        )
        self._exchange.outcome = "finished"

    async def stream(self) -> None:
        scenario = self._scenario
        if scenario.prefill == "before_headers":
            await self._server.pass_gate()
        await self._request.begin({"content-type": "text/event-stream; charset=utf-8", **scenario.headers})
        for position, ahead in scenario.queue:
            if scenario.queue_gated:
                await self._server.pass_gate()
            await self._write(self._chunks.comment(f"queued position={position} ahead={ahead}"))
        if scenario.prefill == "after_headers":
            await self._prefill()
        if await self._write_tokens():
            await self._write_end()

    async def _prefill(self) -> None:
        gate = asyncio.ensure_future(self._server.pass_gate())
        try:
            while not (await asyncio.wait([gate], timeout=self._scenario.keep_alive_every))[0]:
                await self._write(self._chunks.comment("keep-alive"))
                self._exchange.comments += 1
                self._server.notify()
        finally:
            gate.cancel()

    async def _write_tokens(self) -> bool:
        """False: the answer was broken off on purpose."""
        scenario = self._scenario
        thoughts: list[dict[str, Any]] = [{scenario.reasoning_field: scenario.reasoning}] if scenario.reasoning else []
        deltas = [*thoughts, *({"content": token} for token in self._tokens)]
        started = time.monotonic()
        pending = self._chunks.delta({"role": "assistant", "content": ""})
        for i, delta in enumerate(deltas):
            if i == scenario.cut_after:
                self._exchange.outcome = "cut"
                self._request.cut()
                return False
            if i == scenario.error_after:
                await self._write(self._chunks.event({"error": scenario.error_object()}) + self._chunks.done())
                await self._request.end()
                self._exchange.outcome = "finished"
                return False
            if scenario.gated:
                await self._server.pass_gate()
            if scenario.rate:
                await asyncio.sleep(max(0.0, started + i / scenario.rate - time.monotonic()))
            pending += self._chunks.comment("keep-alive") * scenario.keep_alive + self._chunks.delta(delta)
            if (i + 1) % scenario.batch == 0 or i + 1 == len(deltas):
                await self._write_token(pending, i + 1)
                pending = b""
        return True

    async def _write_token(self, data: bytes, sent: int) -> None:
        now = await self._write(data)
        self._exchange.first_ns = self._exchange.first_ns or now
        self._exchange.last_ns = now
        self._exchange.sent = sent
        self._server.notify()

    async def _write_end(self) -> None:
        scenario = self._scenario
        asked = self._body.stream_options
        end = b""
        if scenario.finish is not None:
            end += self._chunks.delta({}, scenario.finish)
        if scenario.usage and asked is not msgspec.UNSET and asked.include_usage:
            end += self._chunks.usage(self._prompt, len(self._tokens), scenario.cached_tokens)
        if scenario.done:
            end += self._chunks.done()
        if end:
            await self._write(end)
        await self._request.end()
        self._exchange.outcome = "finished"

    async def _write(self, data: bytes) -> int:
        piece = self._scenario.piece
        if not piece:
            return await self._request.write(data)
        now = 0
        for start in range(0, len(data), piece):
            now = await self._request.write(data[start : start + piece])
        return now
