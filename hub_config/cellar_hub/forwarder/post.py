"""Reports on their way to the gateway's audit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from ipaddress import IPv4Network

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from cellar_hub.resolver import StackResolver

from .reports import Batch, Report, Reports

EVERY = 1.0  # seconds between two posts
PATIENCE = 10.0

log = logging.getLogger("cellar.forwarder")


async def post_reports(http: httpx.AsyncClient, url: str, reports: Reports) -> None:
    """As long as the process lives; what the gateway does not take is tried again."""
    was_up = True
    while True:
        await asyncio.sleep(EVERY)
        is_up = await post_due(http, url, reports)
        if is_up != was_up:
            log.warning("the gateway takes reports again" if is_up else "the gateway takes no reports; they are kept")
            was_up = is_up


async def post_due(http: httpx.AsyncClient, url: str, reports: Reports, end: bool = False) -> bool:
    """Whether the gateway has all that is due."""
    while due := reports.due(time.time(), end):
        if not await _post(http, url, due):
            return False
        reports.sent(due)
    return True


async def _post(http: httpx.AsyncClient, url: str, due: Sequence[Report]) -> bool:
    try:
        answer = await http.post(url, content=msgspec.json.encode(Batch(tuple(due))))
    except httpx.HTTPError as problem:
        log.debug("%s: %s", url, type(problem).__name__)
        return False
    if answer.status_code != 200:
        log.debug("%s: %d", url, answer.status_code)
    return answer.status_code == 200


def make_client(token: str, pool: IPv4Network) -> httpx.AsyncClient:
    """Its token goes to a container of this stack, and to nobody else who has the name."""

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=StackResolver(pool)))

    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    transport = AiohttpTransport(trust_env=False, client=session)
    return httpx.AsyncClient(transport=transport, headers=headers, timeout=PATIENCE, trust_env=False)
