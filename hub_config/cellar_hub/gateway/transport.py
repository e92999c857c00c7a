"""The one place where the gateway's HTTP clients are made: httpx's interface over aiohttp's sockets.

Design note. A streamed event costs 50 us this way and 110 us over httpx's own sockets (60 streams, 3,000 events/s). The
model servers are asked through the transport itself: redirects, cookies and authentication of `httpx.AsyncClient` are
what a relay must not have.

Nothing here follows a proxy variable, a redirect or a netrc file.
"""

from __future__ import annotations

import ssl
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Network
from typing import Any

import aiohttp
import httpx
from cellar.settings import SettingsError
from httpx_aiohttp import AiohttpTransport

from cellar_hub.resolver import StackResolver

CONNECT_TIMEOUT = 5.0
KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which uvicorn (vLLM) closes it, or both would race."""


class SocketWatch:
    """Whether a request went out on a socket that an earlier one had opened."""

    def __init__(self) -> None:
        self.reused = False


_watch: ContextVar[SocketWatch | None] = ContextVar("socket_watch", default=None)


def watch_socket() -> SocketWatch:
    """For the next request of this task."""
    watch = SocketWatch()
    _watch.set(watch)
    return watch


async def _reused(*_: Any) -> None:
    watch = _watch.get()
    if watch is not None:
        watch.reused = True


def make_verify(ca_bundle: str = "") -> ssl.SSLContext:
    """Certificates are checked against a PEM file, or the system's store. Raises `SettingsError`."""
    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as cause:
        raise SettingsError("CELLAR_CA_BUNDLE", "names no PEM file with certificate authorities") from cause


def make_transport(verify: ssl.SSLContext, pool: IPv4Network, *, keepalive: float = KEEPALIVE) -> AiohttpTransport:
    """`pool`: addresses of workspaces. Its first request must come in the loop in which it will be used."""

    def session() -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_reused)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=keepalive,
                ssl=verify,
                resolver=StackResolver(pool),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            trace_configs=[trace],
        )

    return AiohttpTransport(verify=verify, trust_env=False, client=session)


def make_http(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """For whole answers: the hub's API, models' health. Nobody's cookies are kept."""
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": "cellar-gateway"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def timeouts(read: float) -> dict[str, Any]:
    """A request's `extensions`: seconds to connect, and of silence."""
    return {"timeout": {"connect": CONNECT_TIMEOUT, "pool": CONNECT_TIMEOUT, "read": read, "write": None}}


def never_taken(cause: Exception, watch: SocketWatch) -> bool:
    """Whether the server cannot have begun with the request: no connection came about, or a kept one was closed before
    a byte of the answer."""
    real = cause.__cause__ if isinstance(cause, httpx.HTTPError) else cause
    if isinstance(real, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return True
    return watch.reused and isinstance(real, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


def refused_connection(cause: Exception) -> bool:
    real = cause.__cause__ if isinstance(cause, httpx.HTTPError) else cause
    return isinstance(real, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def timed_out(cause: Exception) -> bool:
    return isinstance(cause, httpx.TimeoutException) and isinstance(cause.__cause__, aiohttp.ServerTimeoutError)


FAILURES = (httpx.HTTPError, aiohttp.ClientError)
"""What a request may raise: the transport translates most of aiohttp's errors, not all."""
