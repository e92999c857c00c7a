"""The client of a model server or gateway: OpenAI's API over an injected `httpx.AsyncClient`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING

from cellar import wire
from cellar.chat import (
    ChatRequest,
    Delta,
    Finish,
    Messages,
    ModelEvent,
    Opened,
    Queued,
    Reasoning,
    UsageSeen,
)
from cellar.retry import NO_RETRIES, RetryPolicy

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

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 300.0
"""Seconds of silence that are still a long prefill or a busy server. It counts between two pieces of data, not in all."""
KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which uvicorn (vLLM) closes it, or both would race."""
MAX_CONNECTIONS = 32
POOL_TIMEOUT = 10.0
DRAIN = 0.2
"""Seconds that the end of a finished answer's HTTP body may take, so that its connection can be used again."""
MAX_JSON_BYTES = 64 * 1024 * 1024


def make_http(
    base_url: str,
    *,
    ca_bundle: str = "",
    proxy: str = "",
    connect_timeout: float = CONNECT_TIMEOUT,
    read_timeout: float = READ_TIMEOUT,
    max_connections: int = MAX_CONNECTIONS,
) -> httpx.AsyncClient:
    """A client for one model server. Costs an import of httpx (some 100 ms) the first time: call it after start-up.

    It follows no proxy variable, no netrc and no redirect: a question goes to `base_url` or nowhere. Certificates are
    checked against `ca_bundle` (a PEM file), else the system's store, which is where an intranet's own authority is.
    """
    import ssl

    import httpx

    if base_url.startswith("https:"):
        verify = ssl.create_default_context(cafile=ca_bundle or None)
    else:
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: never used, and saves 35 ms of reading CAs
    return httpx.AsyncClient(
        verify=verify,
        proxy=proxy or None,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(connect=connect_timeout, read=read_timeout, write=30.0, pool=POOL_TIMEOUT),
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=KEEPALIVE
        ),
        headers={"user-agent": "cellar"},
    )


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
        retries: RetryPolicy = RetryPolicy(),
        gateway: bool = False,
    ) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close all connections; running streams end with them."""
        raise NotImplementedError

    def stream_chat(
        self, request: ChatRequest, *, headers: Mapping[str, str] = {}
    ) -> AsyncGenerator[ModelEvent, None]:
        """The answer as it comes, `Finish` last. `aclose()` of the iterator, or cancelling the task that reads it, closes
        the upstream socket at once, before the response headers too. Act on `Finish`, not on the end of the iteration,
        which comes when the HTTP body has been read to its end (at most `DRAIN` later)."""
        raise NotImplementedError

    async def chat(self, request: ChatRequest, *, headers: Mapping[str, str] = {}) -> str:
        """The whole answer's text in one piece, not streamed."""
        raise NotImplementedError

    async def models(self) -> list[wire.Model]:
        """What the server serves. The context length is vLLM's `max_model_len` or llama.cpp's `meta.n_ctx`."""
        raise NotImplementedError

    async def count_tokens(
        self, model: str, messages: Messages | None = None, text: str | None = None
    ) -> int | None:
        """Tokens of a conversation (as the chat template writes it) or of a text; None: the server has no tokenizer."""
        raise NotImplementedError

    async def health(self) -> wire.ModelServer:
        """Up, loading or down; never raises a `ModelServerError`."""
        raise NotImplementedError
