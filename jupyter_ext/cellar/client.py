"""The client of a model server or gateway: OpenAI's API over an injected `httpx.AsyncClient`.

A request is sent again only where the server cannot have taken it: no connection came about; a kept socket was closed
before a byte of the answer; or 502, 503 or 504 without a byte of body (a proxy's word, not the model server's). Never
after a read time-out: the question may be in work. Behind a gateway, which retries by itself, only the first of these.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from cellar import wire
from cellar.chat import (
    CUT,
    ChatParser,
    ChatRequest,
    Chunk,
    Delta,
    Finish,
    Messages,
    ModelEvent,
    Opened,
    Queued,
    Reasoning,
    UsageSeen,
)
from cellar.errors import CellarError, ModelFailed, ModelLoading, ModelServerDown, ModelTimeout, RequestRefused
from cellar.me import Me
from cellar.refusals import MAX_ERROR_BYTES, error_event, refusal
from cellar.retry import NO_RETRIES, RetryPolicy
from cellar.transport import (
    SocketWatch,
    make_http,
    next_chunk,
    raw_chunks,
    read_bounded,
    read_error,
    transport_error,
)

if TYPE_CHECKING:
    import httpx

__all__ = [
    "NO_RETRIES",
    "ChatRequest",
    "Delta",
    "Finish",
    "ModelClient",
    "ModelEvent",
    "Opened",
    "Queued",
    "Reasoning",
    "RetryPolicy",
    "UsageSeen",
    "make_http",
]

DRAIN = 0.05
"""Seconds that the end of a finished answer's HTTP body may take, so that its connection can be used again."""
HEALTH_TIMEOUT = 5.0
MODELS_TIMEOUT = 10.0
COUNT_TIMEOUT = 30.0
MAX_JSON_BYTES = 64 * 1024 * 1024
NO_SUCH_ROUTE = frozenset({404, 405, 501})
DEFAULT_RETRIES = RetryPolicy()
TINY_PARAMETERS = 1_000_000_000
UNKNOWN_CONTEXT_LENGTH = 4096
"""Assumed when a server does not tell: small enough for every model of today."""

T = TypeVar("T")


class _Architecture(msgspec.Struct):
    input_modalities: list[str] | None = None


class _Meta(msgspec.Struct):
    n_ctx: int | None = None
    n_params: int = 0


class _ModelRow(msgspec.Struct):
    """A row of /v1/models: vLLM tells `max_model_len`, llama.cpp `meta` and `architecture`, the gateway `roles`."""

    id: str
    max_model_len: int | None = None
    meta: _Meta | None = None
    roles: tuple[str, ...] = ("chat",)
    architecture: _Architecture | None = None

    def to_model(self, *, tokenizer: bool) -> wire.Model:
        length = self.max_model_len or (self.meta.n_ctx if self.meta else None) or UNKNOWN_CONTEXT_LENGTH
        modalities = self.architecture.input_modalities if self.architecture else None
        vision = None if modalities is None else "image" in modalities
        return wire.Model(id=self.id, context_length=length, vision=vision, tokenizer=tokenizer)

    @property
    def tiny(self) -> bool:
        return self.meta is not None and 0 < self.meta.n_params < TINY_PARAMETERS


class _ModelList(msgspec.Struct):
    data: list[_ModelRow]


class _TokenCount(msgspec.Struct):
    count: int | None = None


@dataclass
class _Refused:
    """An attempt without an answer; `again`: the server cannot have taken it; `stale`: its socket was a kept one;
    `left`: some of it may have gone out."""

    error: CellarError
    again: bool
    stale: bool = False
    left: bool = True
    cause: BaseException | None = None


class ModelClient:
    """Asks one model server (`base_url` ends in `/v1`) or gateway. Failures are raised as classes of `cellar.errors`.

    `http` may be a function that makes the client: it is called at the first request, so that start-up does not pay.
    `gateway`: the server at the other end retries by itself, so only connect errors are retried here.
    """

    def __init__(
        self,
        http: httpx.AsyncClient | Callable[[], httpx.AsyncClient],
        base_url: str,
        api_key: str = "",
        *,
        retries: RetryPolicy = DEFAULT_RETRIES,
        gateway: bool = False,
    ) -> None:
        self._http = http
        self._base = base_url.rstrip("/")
        self._root = self._base.removesuffix("/v1")  # where vLLM and the gateway have /health and /tokenize
        self._retries = retries
        self._gateway = gateway
        self._headers = {"accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._tokenizer: dict[str, bool] = {}  # model id -> the server counts its tokens
        self._tiny = False

    async def aclose(self) -> None:
        """Close all connections; running streams end with them."""
        if not callable(self._http):
            await self._http.aclose()

    async def stream_chat(
        self, request: ChatRequest, *, headers: Mapping[str, str] = {}
    ) -> AsyncGenerator[ModelEvent, None]:
        """The answer as it comes, `Finish` last.

        `aclose()` of the iterator, or cancelling the task that reads it, closes the upstream socket at once, before the
        response headers too. After `Finish` the rest of the HTTP body is read, in at most `DRAIN`.
        """
        parser = ChatParser(gateway=self._gateway)
        asked = {**headers, "content-type": "application/json", "accept": "text/event-stream"}
        url = self._base + "/chat/completions"
        async with self._response("POST", url, request.body(stream=True), asked, model=request.model) as response:
            await _check_stream(response)
            if not self._gateway:
                yield Opened()
            async with raw_chunks(response) as chunks:
                try:
                    while not parser.done:
                        data = await next_chunk(chunks)
                        if data is None and not parser.seen_data:
                            raise ModelFailed("The model server closed the stream without an answer")
                        for event in parser.feed(data) if data is not None else parser.close():
                            yield event
                finally:
                    if parser.done:
                        await _drain(chunks)

    async def chat(self, request: ChatRequest, *, headers: Mapping[str, str] = {}) -> str:
        """The whole answer's text in one piece, not streamed."""
        asked = {**headers, "content-type": "application/json"}
        url = self._base + "/chat/completions"
        async with self._response("POST", url, request.body(stream=False), asked, model=request.model) as response:
            chunk = _decode(await read_bounded(response, MAX_JSON_BYTES), Chunk)
        if chunk.error is not None:
            raise error_event(chunk.error, model=request.model)
        for choice in chunk.choices or ():
            if choice.finish_reason in CUT:
                raise ModelFailed("The model server broke the answer off")
            if choice.message is not None:
                return choice.message.content or ""
        raise ModelFailed("The model server's answer has no message")

    async def models(self) -> list[wire.Model]:
        """What the server serves to chat with. The context length is vLLM's `max_model_len` or llama.cpp's
        `meta.n_ctx`."""
        async with self._response("GET", self._base + "/models", timeout=MODELS_TIMEOUT) as response:
            listed = _decode(await read_bounded(response, MAX_JSON_BYTES), _ModelList).data
        rows = [row for row in listed if "chat" in row.roles]
        new = [row.id for row in rows if row.id not in self._tokenizer]
        await asyncio.gather(*map(self._find_tokenizer, new))
        self._tiny = bool(rows) and all(row.tiny for row in rows)
        return [row.to_model(tokenizer=self._tokenizer.get(row.id, False)) for row in rows]

    async def me(self) -> Me:
        """What a gateway says of this user: use, quotas, policy, the models' health."""
        async with self._response("GET", self._root + "/cellar/v1/me", timeout=MODELS_TIMEOUT) as response:
            return _decode(await read_bounded(response, MAX_JSON_BYTES), Me)

    async def count_tokens(self, model: str, messages: Messages | None = None, text: str | None = None) -> int | None:
        """Tokens of a conversation (as the chat template writes it) or of a text; None: the server has no tokenizer."""
        asked: dict[str, object] = {"model": model}
        if messages is not None:
            asked |= {"messages": messages, "add_generation_prompt": True}
        else:
            asked |= {"prompt": text or "", "add_special_tokens": False}
        body = msgspec.json.encode(asked)
        json = {"content-type": "application/json"}
        try:
            url, wait = self._root + "/tokenize", COUNT_TIMEOUT
            async with self._response("POST", url, body, json, model=model, timeout=wait) as response:
                return _decode(await read_bounded(response, MAX_JSON_BYTES), _TokenCount).count
        except CellarError as error:
            if error.detail.get("status") in NO_SUCH_ROUTE:
                return None
            raise

    async def health(self) -> wire.ModelServer:
        """Up, loading or down; never raises a `ModelServerError`. `tiny` is known once `models` was asked."""
        try:
            await self._healthy()
        except ModelLoading as error:
            return wire.ModelServer(state="loading", message=error.message)
        except CellarError as error:
            return wire.ModelServer(state="down", message=error.message)
        return wire.ModelServer(state="up", tiny=self._tiny)

    async def _healthy(self) -> None:
        if not self._gateway:
            try:
                async with self._response("GET", self._root + "/health", retries=NO_RETRIES, timeout=HEALTH_TIMEOUT):
                    return
            except RequestRefused:
                pass  # a server without /health: a list of models is as good
        async with self._response("GET", self._base + "/models", retries=NO_RETRIES, timeout=HEALTH_TIMEOUT):
            return

    async def _find_tokenizer(self, model: str) -> None:
        try:
            self._tokenizer[model] = await self.count_tokens(model, text="a") is not None
        except CellarError:
            pass  # not known yet: asked again with the next list

    @contextlib.asynccontextmanager
    async def _response(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        *,
        model: str = "",
        retries: RetryPolicy | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """An answer with status 200, its body not read yet; closed at the end, whatever happens."""
        policy = retries or self._retries
        attempt = 0
        left = False
        while True:
            answer = await self._attempt(method, url, body, headers, model, timeout)
            if not isinstance(answer, _Refused):
                break
            left = left or answer.left
            delay = policy.delay(attempt, answer.error.retry_after) if answer.again else None
            if answer.stale and method == "GET" and attempt == 0:
                delay = 0.0  # it says nothing about the server, and looking twice harms nobody
            if delay is None:
                if not left:
                    answer.error.detail = {**answer.error.detail, "unsent": 1}
                raise answer.error from answer.cause
            await asyncio.sleep(delay)
            attempt += 1
        try:
            yield answer
        except CellarError as error:
            error.request_id = error.request_id or answer.headers.get("x-request-id", "")[:128]
            raise
        finally:
            await answer.aclose()

    async def _attempt(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], model: str, timeout: float | None
    ) -> httpx.Response | _Refused:
        import httpx

        socket = SocketWatch()
        try:
            http = self._client()
            request = http.build_request(
                method,
                url,
                content=body,
                headers=httpx.Headers({**headers, **self._headers}, encoding="utf-8"),
                timeout=http.timeout if timeout is None else timeout,
                extensions={"trace": socket.trace},
            )
            response = await http.send(request, stream=True)
        except ModelServerDown as unusable:  # the settings make no client
            return _Refused(unusable, again=False, left=False, cause=unusable.__cause__)
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            untaken = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout)
            stale = socket.reused and isinstance(cause, httpx.NetworkError | httpx.RemoteProtocolError)
            again = untaken or (stale and not self._gateway)
            return _Refused(transport_error(cause), again, stale, left=socket.left, cause=cause)
        if response.is_success:
            return response
        try:
            said = await read_error(response)
        finally:
            await response.aclose()
        error = refusal(response.status_code, response.headers, said, model=model)
        return _Refused(error, again=response.status_code in (502, 503, 504) and not said and not self._gateway)

    def _client(self) -> httpx.AsyncClient:
        if callable(self._http):
            self._http = self._http()
        return self._http


async def _drain(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read the end of a body whose content is complete."""
    with contextlib.suppress(TimeoutError, ModelTimeout):
        async with asyncio.timeout(DRAIN):
            while await next_chunk(chunks) is not None:
                pass


async def _check_stream(response: httpx.Response) -> None:
    """Raises when a 200 is no event stream: an error as JSON, a proxy's login page."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "text/html", "application/xhtml+xml"):
        return
    if kind == "application/json":
        said = _decode(await read_bounded(response, MAX_ERROR_BYTES), Chunk)
        if said.error is not None:
            raise error_event(said.error)
    raise ModelFailed(
        f"The model server answered with {kind} instead of an event stream",
        hint="Does the base URL end in /v1, and does no login page or proxy stand before it?",
    )


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError):
        raise ModelFailed("The model server's answer is not the JSON it should be") from None
