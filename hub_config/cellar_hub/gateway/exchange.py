"""One question and its answer: a place in the queue, an entry in the books, the relay, the end.

The order that must hold, whatever fails or leaves meanwhile:

- nothing of an answer is relayed before the request's `opened` is durable; while the model server already reads the
  prompt of a stream, that commit is on its way. An answer in one piece has no head before its end, so there the model
  server is asked only after the commit: a used-up quota must not cost it a whole answer;
- whoever waits in the queue has been reserved and opened before, so that a used-up quota is refused as plain HTTP;
- the place is given up and the books are settled exactly once, at the end, also when the client leaves, the token is
  revoked, the model server dies or this process is told to stop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, Protocol

import httpx
import msgspec

from cellar_hub.audit import Settled
from cellar_hub.audit.rows import Outcome
from cellar_hub.identity import Identity
from cellar_hub.policy import Allowed
from cellar_hub.store import StoreDown
from cellar_hub.usage.ledger import believable
from cellar_hub.usage.quota import QuotaExceeded, Usage

from .answer import AnswerReader
from .books import Books, Entry
from .health import Health
from .metrics import Metrics
from .models import ModelRow
from .queue import CLASSES, FairQueue, QueueFull, Ticket
from .refused import Refused, not_available, queue_full, quota_exceeded
from .relay import Broken, Relay, chunks, kept_headers, read_bounded
from .reply import STREAM_HEADERS, Reply
from .request import Asked

QUIET = 0.25
"""Seconds in the queue without a word: so long the status is still open."""
COMMENT_EVERY = 2.0
LEFT = 499
"""The status in the books when the client left before there was one."""
PATHS = {"chat": "/chat/completions", "completion": "/completions", "embeddings": "/embeddings"}


log = logging.getLogger(__name__)


class House(Protocol):
    """What an exchange needs of the gateway."""

    books: Books
    relay: Relay
    health: Health
    metrics: Metrics

    def queue(self, row: ModelRow) -> FairQueue: ...
    def quota_doubtful(self, user: str) -> bool: ...
    def quota_was_exceeded(self, user: str) -> None: ...


class Exchange:
    """`run` once."""

    def __init__(
        self, house: House, reply: Reply, entry: Entry, asked: Asked, row: ModelRow, allowed: Allowed, session: str
    ) -> None:
        self._house = house
        self._reply = reply
        self._entry = entry
        self._asked = asked
        self._row = row
        self._allowed = allowed
        self._session = session
        self._text_mac = house.books.text_mac()
        self._reader = AnswerReader(stream=asked.stream, hide_usage=not asked.wants_usage, text_hash=self._text_mac)
        self._began = time.monotonic()
        self._admitted_at: float | None = None
        self._first_at: float | None = None
        self._taken = False  # the model server may have worked for this request
        self._outcome: Outcome | None = None
        self._status = 0  # of a refusal that is still to be told
        self._error = ""

    async def run(self) -> None:
        """Raises `Refused` for what is to be told to the client, and `CancelledError`."""
        ticket = self._enter()
        opening = self._house.books.open(self._entry, self._allowed)
        try:
            try:
                await self._answer(ticket, opening)
            finally:
                self._charge_rest(ticket)
                ticket.leave()
        except Refused as refused:
            self._outcome = self._outcome or ("error" if refused.status >= 500 else "refused")
            self._error = self._error or refused.code
            self._status = refused.status
            raise
        except asyncio.CancelledError:
            # Whoever reads that the model server failed leaves at once: that is not what ended the answer.
            if not self._reply.ended and self._reader.error is None:
                self._outcome = self._outcome or "stopped"
            raise
        except Exception:
            self._outcome, self._error, self._status = "error", "internal_error", 500
            raise
        finally:
            self._settle(opening)

    async def _answer(self, ticket: Ticket, opening: asyncio.Task[None]) -> None:
        doubtful = self._house.quota_doubtful(self._entry.user)
        if ticket.state == "waiting" or doubtful or not self._asked.stream:
            await self._opened(opening)
        if ticket.state == "waiting":
            await self._wait(ticket)
        self._admitted_at = time.monotonic()
        server = self._row.server
        url = server.base_url + PATHS[self._asked.kind]
        body, headers = self._body(ticket), self._headers(ticket)
        self._asked.fields, self._asked.question = {}, b""  # an answer may be long, and its question large
        self._taken = True
        try:
            async with self._house.relay.post(server, url, body, headers) as response:
                await self._opened(opening)
                await self._pass(response, ticket)
        except Refused as refused:
            if not self._reader.events:
                self._taken = refused.code == "model_timeout"
            if refused.code in ("model_down", "model_failed"):
                self._house.health.doubt(server)
            raise

    # -- before ------------------------------------------------------------------------------------------------------

    def _enter(self) -> Ticket:
        try:
            return self._house.queue(self._row).enter(
                self._entry.user,
                self._asked.klass,
                cost=self._asked.prompt,
                max_waiting=self._allowed.max_waiting,
                max_running=self._allowed.max_running,
            )
        except QueueFull as full:
            words = {
                "user": "You have too many requests waiting in the queue",
                "all": "The queue is full",
                "wait": "The wait in the queue would be too long",
            }
            raise queue_full(words[full.whose], full.wait) from None

    async def _opened(self, opening: asyncio.Task[None]) -> None:
        try:
            await asyncio.shield(opening)
        except QuotaExceeded as full:
            self._house.quota_was_exceeded(self._entry.user)
            raise quota_exceeded(full.window, full.used, full.limit, full.resets_at, time.time()) from None
        except StoreDown:
            raise not_available("The gateway's books cannot be written", code="database_down") from None

    async def _wait(self, ticket: Ticket) -> None:
        """Until admitted; a stream gets its place as comments from `QUIET` on."""
        deadline = ticket.arrived + self._house.queue(self._row).max_wait
        pause = QUIET
        while True:
            try:
                async with asyncio.timeout(min(pause, max(0.0, deadline - time.monotonic()))):
                    return await ticket.admitted()
            except TimeoutError:
                if ticket.state != "waiting":
                    return None
            if time.monotonic() >= deadline:
                raise queue_full("The wait in the queue was too long", 10.0)
            if self._asked.stream:
                if not self._reply.status:
                    await self._reply.begin(200, STREAM_HEADERS)
                position, ahead = ticket.place()
                await self._reply.write(b": queued position=%d ahead=%d\n\n" % (position, ahead))
            pause = COMMENT_EVERY

    def _body(self, ticket: Ticket) -> bytes:
        salts = {"user": f"user\0{self._entry.user}", "group": f"group\0{self._allowed.salt_group}", "none": ""}
        kind = self._allowed.cache_salt
        name = salts["user"] if kind == "group" and not self._allowed.salt_group else salts[kind]
        salt = self._house.books.salt(name) if name and self._asked.kind != "embeddings" else ""
        return self._asked.body(cache_salt=salt, priority=self._priority(ticket))

    def _priority(self, ticket: Ticket) -> int | None:
        return CLASSES.index(ticket.klass) if self._row.server.priority and self._asked.kind != "embeddings" else None

    def _headers(self, ticket: Ticket) -> dict[str, str]:
        """All that the model server gets: what the client sent beside its body stays here."""
        named = {
            "content-type": "application/json",
            "accept": "text/event-stream" if self._asked.stream else "application/json",
            "x-request-id": self._entry.request_id,
            "x-session-id": self._session,
        }
        priority = self._priority(ticket)
        if priority is not None:
            named["x-vllm-priority"] = str(priority)
        return named

    # -- the answer --------------------------------------------------------------------------------------------------

    async def _pass(self, response: httpx.Response, ticket: Ticket) -> None:
        if response.status_code != 200:
            return await self._pass_refusal(response)
        kind = response.headers.get("content-type", "")
        if self._asked.stream and not kind.startswith("text/event-stream"):
            raise Refused(502, "model_failed", "The model server did not answer with an event stream")
        headers = STREAM_HEADERS if self._asked.stream else (*kept_headers(response), *_length(response))
        if not self._reply.status:
            await self._reply.begin(200, headers)
        try:
            async for chunk in chunks(response):
                await self._pass_chunk(chunk, ticket)
        except Broken as broken:
            self._outcome, self._error = "interrupted", "model_timeout" if broken.status == 504 else "model_failed"
            if self._reader.done:
                pass  # all was said
            elif not self._reply.wrote or self._reply.proxied:
                raise Refused(broken.status, self._error, "The model server's answer broke off") from None
            else:
                return None  # the reply is left without its end: the connection is cut, as the model server's was
        await self._reply.end(self._reader.close())
        if self._reader.error is not None:
            self._house.health.doubt(self._row.server)
        return None

    async def _pass_chunk(self, chunk: bytes, ticket: Ticket) -> None:
        reader = self._reader
        before = reader.events
        passed = reader.feed(chunk)
        if reader.events != before:
            ticket.charge(reader.events - before)
            if self._first_at is None:
                self._first_at = time.monotonic()
        if passed:
            self._reply.wrote = True
            await self._reply.write(passed)

    async def _pass_refusal(self, response: httpx.Response) -> None:
        """The model server's own no. Not its 401 and 403: they speak of the gateway's key, not of the user's token."""
        status = response.status_code
        self._outcome, self._error = ("error" if status >= 500 else "refused"), f"model_{status}"
        self._taken = False
        if status >= 500:
            self._house.health.doubt(self._row.server)
        body = await read_bounded(response)
        if status in (401, 403) or not 400 <= status < 600:
            raise Refused(502, "model_failed", f"The model server refused the gateway (HTTP {status})")
        if status >= 500 and _error_in(body) is None:
            # A proxy's word, vllm-router's of a server that has just died: it names addresses, and is not for users.
            raise Refused(502, "model_failed", f"The model server does not answer (HTTP {status})")
        if not self._reply.status:
            return await self._reply.whole(status, kept_headers(response), body)
        self._reply.wrote = True
        return await self._reply.end(_as_event(status, body))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _charge_rest(self, ticket: Ticket) -> None:
        """To the fair queue, before the place goes to the next: what the answer cost beyond the events seen."""
        if self._taken:
            charged = self._reader.events if self._asked.stream else 0
            ticket.charge(max(0, self._usage().completion - charged))

    def _settle(self, opening: asyncio.Task[None]) -> None:
        now = time.monotonic()
        usage = self._usage() if self._taken else None
        outcome: Outcome = self._outcome or self._reader.outcome  # type: ignore[assignment]  # one of its four words
        settled = Settled(
            request_id=self._entry.request_id,
            at=time.time(),
            status=self._reply.status or self._status or LEFT,
            outcome=outcome,
            error_code=self._error or self._reader.error or "",
            prompt=usage.prompt if usage else 0,
            completion=usage.completion if usage else 0,
            cached=usage.cached if usage else None,
            estimated=usage.estimated if usage else False,
            queued_ms=_ms(self._began, self._admitted_at),
            ttft_ms=_ms(self._began, self._first_at),
            total_ms=_ms(self._began, now),
            answer_mac=self._text_mac.value() if self._reader.events else "",
        )
        self._house.books.settle(opening, self._entry, settled, usage)
        self._measure(settled)
        self._log(settled)

    def _usage(self) -> Usage:
        """What the model server said, else an estimate: the events of a stream; of an answer in one piece all of its
        `max_tokens`. There nobody sees how far it came: who hangs up just before its end could have it for nothing."""
        said = self._reader.usage
        if said is not None and said.prompt_tokens is not None:
            cached = None if said.cached is None else believable(said.cached)
            return Usage(believable(said.prompt_tokens), believable(said.completion_tokens or 0), cached)
        completion = self._reader.events if self._asked.stream else self._asked.max_tokens
        return Usage(self._asked.prompt, completion, estimated=True)

    def _log(self, settled: Settled) -> None:
        """Who and how much, as the audit has it; never what."""
        if log.isEnabledFor(logging.INFO):
            entry = self._entry
            said = {"request_id": entry.request_id, "user": entry.user, "model": entry.model, "kind": entry.kind}
            told = ("status", "outcome", "error_code", "prompt", "completion", "queued_ms", "ttft_ms", "total_ms")
            log.info("answered", extra={**said, **{name: getattr(settled, name) for name in told}})

    def _measure(self, settled: Settled) -> None:
        metrics, model = self._house.metrics, self._entry.model
        metrics.requests.labels(model, self._asked.kind, settled.outcome).inc()
        metrics.tokens.labels(model, "prompt").inc(settled.prompt)
        metrics.tokens.labels(model, "completion").inc(settled.completion)
        if self._admitted_at is not None:
            metrics.queue_seconds.labels(model).observe(self._admitted_at - self._began)
        if self._first_at is not None:
            metrics.first_seconds.labels(model).observe(self._first_at - self._began)


def _length(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    length = response.headers.get("content-length")
    return [(b"content-length", length.encode())] if length else []


def _ms(start: float, end: float | None) -> int | None:
    return None if end is None else round((end - start) * 1000)


def _as_event(status: int, body: bytes) -> bytes:
    """A refusal's body -> the event of a stream; its `code` becomes the status."""
    error = _error_in(body) or {
        "message": f"The model server refused the request (HTTP {status})",
        "type": "model_failed",
    }
    return b"data: %b\n\ndata: [DONE]\n\n" % msgspec.json.encode({"error": {**error, "code": status}})


def _error_in(body: bytes) -> dict[str, Any] | None:
    """A refusal in OpenAI's shape; None: it has another."""
    with suppress(msgspec.DecodeError, UnicodeError):
        said = msgspec.json.decode(body)
        error = said.get("error") if isinstance(said, dict) else None
        return error if isinstance(error, dict) else None
    return None


def session_of(books: Books, identity: Identity, conversation: str) -> str:
    """For `vllm-router --policy consistent_hash`: one user's conversation stays at one copy of the model."""
    return books.salt(f"session\0{identity.user}\0{conversation}")[:32]
