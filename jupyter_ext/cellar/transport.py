"""httpx as we use it: how a client is made, how much of a body is read, and what its failures mean to us.

httpx is imported inside functions, because it costs some 100 ms and a Jupyter server starts without a question.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from cellar.errors import CellarError, ModelFailed, ModelServerDown, ModelTimeout, QueueFull, RequestRefused
from cellar.refusals import MAX_ERROR_BYTES
from cellar.settings import READ_TIMEOUT

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 5.0
WRITE_TIMEOUT = 30.0
POOL_TIMEOUT = 10.0
KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which uvicorn (vLLM) closes it, or both would race."""
MAX_CONNECTIONS = 32
ERROR_BODY_TIMEOUT = 10.0
_PROXY_HINT = "Check CELLAR_PROXY: it looks like http://HOST:3128"


def make_http(
    base_url: str,
    *,
    ca_bundle: str = "",
    proxy: str = "",
    connect_timeout: float = CONNECT_TIMEOUT,
    read_timeout: float = READ_TIMEOUT,
    max_connections: int = MAX_CONNECTIONS,
) -> httpx.AsyncClient:
    """A client for one model server. The first call imports httpx: make it after start-up.

    It follows no proxy variable, no netrc and no redirect: a question goes to `base_url` or nowhere. Certificates are
    checked against `ca_bundle` (a PEM file), else the system's store, which is where an intranet's own authority is.
    Raises `ModelServerDown` that names the setting when the file or the proxy cannot be used.
    """
    import ssl

    import httpx

    try:
        if base_url.startswith("https:") or proxy.startswith("https:"):
            verify = ssl.create_default_context(cafile=ca_bundle or None)
        else:
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; never used, saves 35 ms of reading CAs
    except OSError as cause:  # no such file, or (ssl.SSLError) one without a certificate
        raise ModelServerDown(
            "The file of certificate authorities cannot be used", hint="Check CELLAR_CA_BUNDLE: it names a PEM file"
        ) from cause
    try:
        route = httpx.Proxy(proxy) if proxy else None
    except (ValueError, httpx.InvalidURL) as cause:
        raise ModelServerDown("The proxy's address is not usable", hint=_PROXY_HINT) from cause
    if route is not None and route.url.scheme not in ("http", "https"):
        raise ModelServerDown("The proxy's kind is not supported", hint=_PROXY_HINT)
    return httpx.AsyncClient(
        verify=verify,
        proxy=route,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(connect=connect_timeout, read=read_timeout, write=WRITE_TIMEOUT, pool=POOL_TIMEOUT),
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=KEEPALIVE
        ),
        headers={"user-agent": "cellar"},
    )


class SocketWatch:
    """Tells whether a request left, and on a socket that an earlier one had opened (httpcore's trace extension).

    A transport without traces tells nothing, and nothing counts as reused.
    """

    def __init__(self) -> None:
        self._opened = False
        self._sent = False

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        if event.startswith("connection.connect_"):
            self._opened = True
        elif event.endswith(".send_request_headers.started"):
            self._sent = True

    @property
    def left(self) -> bool:
        """Something of it may have gone out. A proxy that was asked for a tunnel counts, too."""
        return self._sent

    @property
    def reused(self) -> bool:
        return self._sent and not self._opened


def transport_error(cause: Exception) -> CellarError:
    """httpx's failure -> ours: the first row that fits. None of these texts holds anything of the request's body."""
    import httpx

    for kinds, error in (
        ((httpx.ConnectError, httpx.ConnectTimeout), _down(cause)),
        ((httpx.PoolTimeout,), QueueFull("Too many requests to the model server are open here")),
        ((httpx.TimeoutException,), ModelTimeout("The model server did not answer in time")),
        ((httpx.ProxyError,), ModelServerDown("The proxy to the model server refused", hint="Check CELLAR_PROXY")),
        (
            (httpx.UnsupportedProtocol, httpx.InvalidURL),
            ModelServerDown(
                "The base URL of the model server is not usable", hint="It should look like http://HOST:8001/v1"
            ),
        ),
        ((httpx.LocalProtocolError,), RequestRefused("The request could not be written (is the key one plain line?)")),
        ((httpx.NetworkError, httpx.RemoteProtocolError), ModelFailed("The model server closed the connection")),
        ((httpx.DecodingError,), ModelFailed("The model server's answer could not be decompressed")),
    ):
        if isinstance(cause, kinds):
            return error
    return ModelFailed(f"The request to the model server failed ({type(cause).__name__})")


def _down(cause: Exception) -> ModelServerDown:
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return ModelServerDown("The model server's certificate is not trusted", hint="Name its CA in CELLAR_CA_BUNDLE")
    return ModelServerDown("The model server cannot be reached", hint="Is it running, and is VLLM_BASE_URL right?")


@contextlib.asynccontextmanager
async def raw_chunks(response: httpx.Response) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The body as it comes, decompressed only if a proxy compressed it although we asked for `identity`."""
    encoded = "content-encoding" in response.headers
    chunks = cast("AsyncGenerator[bytes, None]", response.aiter_bytes() if encoded else response.aiter_raw())
    async with contextlib.aclosing(chunks):
        yield chunks


async def next_chunk(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    """None: the body ended, or its connection broke. Which of the two, the reader tells by what was in it."""
    import httpx

    try:
        return await anext(chunks, None)
    except httpx.TimeoutException as cause:
        raise transport_error(cause) from cause
    except httpx.HTTPError:
        return None


async def read_bounded(response: httpx.Response, limit: int) -> bytes:
    """The whole body; `ModelFailed` when it is larger than `limit` bytes or was cut."""
    import httpx

    body = bytearray()
    try:
        async with raw_chunks(response) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise ModelFailed(f"The model server's answer is larger than {limit} bytes")
    except httpx.HTTPError as cause:
        raise transport_error(cause) from cause
    return bytes(body)


async def read_error(response: httpx.Response) -> bytes:
    """What there is of an error's body, at most `MAX_ERROR_BYTES`, in at most `ERROR_BODY_TIMEOUT`."""
    import httpx

    body = bytearray()
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(ERROR_BODY_TIMEOUT), raw_chunks(response) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= MAX_ERROR_BYTES:
                    break
    return bytes(body[:MAX_ERROR_BYTES])
