"""Whether others have the time that we have: tokens, quotas, the audit and logs go by it."""

from __future__ import annotations

import time
from email.message import Message
from email.utils import parsedate_to_datetime

import httpx
from sqlalchemy import text

from ..gateway.models import ModelServer
from .answers import PATIENCE, get
from .databases import connection
from .findings import Failed

SKEW = 5.0  # seconds that two clocks may differ


def of_hub(url: str) -> str:
    """`url`: the hub's API."""
    if (there := told(get(url + "/")[0])) is None:
        raise Failed("the hub tells no time")
    return compared(there, time.time(), "the hub")


async def of_model_server(server: ModelServer, http: httpx.AsyncClient) -> str:
    """One that tells no time in its answers (llama.cpp) cannot be compared."""
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
    try:
        answer = await http.get(f"{server.base_url}/models", headers=headers, timeout=PATIENCE)
    except httpx.HTTPError as error:
        raise Failed(f"does not answer: {type(error).__name__}") from None
    there = told(answer.headers)
    return "it tells none" if there is None else compared(there, time.time(), "the model server")


def of_database(url: str) -> str:
    with connection(url) as opened:
        asked = time.time()
        there = float(opened.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        here = (asked + time.time()) / 2
    return compared(there, here, "the database")


def told(headers: Message | httpx.Headers) -> float | None:
    """The header Date as seconds since 1970; None without a usable one."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def compared(there: float, here: float, whose: str) -> str:
    """`whose`: "the hub", as in "differs from the hub's"."""
    ahead = there - here
    if abs(ahead) > SKEW:
        how = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the clock here"
        raise Failed(f"{whose}'s clock is {how}: switch on time synchronisation (NTP) on both machines")
    return f"agrees with {whose}'s"
