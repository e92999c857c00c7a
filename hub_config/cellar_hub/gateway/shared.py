"""Connections to the Redis that the gateways of a site share.

Its name is believed as the model servers' are (resolver.py): users' names go there, and revocations come from there.
With TLS the certificate says who it is, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from redis.asyncio import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cellar_hub.resolver import address_of

PATIENCE = 1.0
"""Seconds for a connection, and for an answer."""


class NearConnection(Connection):
    """`pool`: workspaces' networks, where no Redis is."""

    def __init__(self, *, pool: IPv4Network, **more: Any) -> None:
        super().__init__(**more)
        self._pool = pool
        self._address = self.host

    async def _connect(self) -> None:
        async with asyncio.timeout(PATIENCE):
            self._address = await asyncio.to_thread(address_of, self.host, self.port, self._pool)
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "host": self._address}


class NearTlsConnection(NearConnection, SSLConnection):
    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self.host}


def connections(url: str, pool: IPv4Network) -> ConnectionPool:
    """They are not tried again by themselves: whoever uses one learns that it broke."""
    socket_file = url.startswith("redis+unix://")
    made = ConnectionPool.from_url(
        url.removeprefix("redis+") if socket_file else url,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
    if not socket_file:
        is_tls = issubclass(made.connection_class, SSLConnection)
        made.connection_class = NearTlsConnection if is_tls else NearConnection
        made.connection_kwargs["pool"] = pool
    return made
