"""Whether an answer that is written piece by piece arrives so, and not in one go at its end.

A model server is asked for a short answer. The way through proxies is measured by the gateway's
`/cellar/v1/pace`, which needs no user's token and no model.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import httpx
from cellar.errors import ModelLoading, ModelServerDown, Unauthorized
from cellar.refusals import refusal

from ..gateway.models import ModelRow, ModelServer
from ..gateway.pace import PAUSE, PIECES
from .findings import Failed
from .settings import ProxySettings

SERVICE = "cellar"
"""The gateway's name at the hub: it is found at <hub>/services/cellar/."""
GAP = 0.002
"""Seconds between two pieces that came one after the other, and not together."""
FEW = 3
"""Events of an answer too short to be judged."""
LEAST = 6
"""Events that may come together on a busy machine; of one that keeps answers back, thousands of bytes do."""
MODEL_PATIENCE = 60.0  # seconds
AWAY = (
    "A model server that has just started reads its weights for minutes. One that ends and starts again and again says"
    " why in the last line of its log: docker compose logs --tail 5 vllm, or journalctl -u cellar-vllm on its machine"
)
BUFFERED = (
    "something in between keeps answers back. In nginx: proxy_buffering off; in other proxies, response buffering or"
    " compression of text/event-stream off (docs/hub.md, HTTPS)"
)


class Arrivals:
    """When the pieces of one answer came."""

    def __init__(self) -> None:
        self.data = b""
        self.times: list[float] = []

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        async for piece in pieces:
            self.times.append(time.monotonic())
            self.data += piece

    @property
    def goes(self) -> int:
        """Pieces that came together count once."""
        return sum(1 for a, b in zip([-GAP, *self.times], self.times, strict=False) if b - a >= GAP)

    @property
    def lasted(self) -> float:
        return self.times[-1] - self.times[0] if self.times else 0.0


async def of_model(row: ModelRow, wanted: Sequence[str], http: httpx.AsyncClient) -> str:
    """The server lists the models that are `wanted` there, and a short answer of the row's (of a row for all: of any)
    comes in pieces."""
    server, name = row.server, row.model
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
    try:
        listed = await http.get(f"{server.base_url}/models", headers=headers, timeout=MODEL_PATIENCE)
        await _accept(listed, "")
        names = [row["id"] for row in listed.json()["data"]]
        if missing := [each for each in wanted if each not in names]:
            raise Failed(
                f"does not list {', '.join(missing)}, which CELLAR_MODELS looks for there; it lists "
                f"{', '.join(names)[:200] or 'none'}"
            )
        if not names:
            raise Failed("lists no model")
        name = name or names[0]
        if not {"chat", "completion"} & set(row.roles):
            return f"{name} is listed"
        arrived = await _short_answer(server, name, http, headers, "chat" in row.roles)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise Failed(f"nobody answers there. {AWAY}") from None
    except httpx.TimeoutException:
        raise Failed(f"is silent for {MODEL_PATIENCE:.0f} s: overloaded, or it compiles for its first answer") from None
    except (httpx.HTTPError, KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
        raise Failed(f"does not answer as a model server does: {type(error).__name__} {str(error)[:150]}") from None
    events = arrived.data.count(b"data:")
    if b'data: {"error"' in arrived.data:
        raise Failed(f"{name} fails: {arrived.data.decode(errors='replace')[-300:]}")
    if events >= FEW and arrived.goes < max(2, events // LEAST):
        raise Failed(f"the {events} events of an answer of {name} came in {arrived.goes} go(es): {BUFFERED}")
    return f"{name} answers in {arrived.goes} pieces within {arrived.lasted:.1f} s"


async def _short_answer(
    server: ModelServer, name: str, http: httpx.AsyncClient, headers: dict[str, str], chat: bool
) -> Arrivals:
    asked = {"messages": [{"role": "user", "content": "Count."}]} if chat else {"prompt": "1 2 3"}
    body = {"model": name, "stream": True, "max_tokens": 24, **asked}
    url = f"{server.base_url}/{'chat/completions' if chat else 'completions'}"
    arrived = Arrivals()
    async with http.stream("POST", url, json=body, headers=headers, timeout=MODEL_PATIENCE) as answer:
        await _accept(answer, name)
        await arrived.read(answer.aiter_raw())
    return arrived


async def _accept(answer: httpx.Response, name: str) -> None:
    """Raises Failed with what a refusal means, in the words that users get, and what an administrator does about it."""
    if answer.status_code == 200:
        return
    error = refusal(answer.status_code, answer.headers, await answer.aread(), model=name)
    if isinstance(error, Unauthorized):
        raise Failed("does not accept the gateway's key: VLLM_API_KEY, or what key_variable names in CELLAR_MODELS")
    helps = error.hint
    if isinstance(error, ModelServerDown | ModelLoading):
        helps = AWAY
    if error.detail.get("why") == "no_chat_template":
        helps = 'Serve the weights with Instruct in their name, or say roles = ["completion"] in CELLAR_MODELS'
    raise Failed(f"{name}: {error.message}. {helps}".removeprefix(": ").rstrip(". "))


async def through(url: str, settings: ProxySettings) -> str:
    """`url`: of a proxy in front of the gateway. Its certificate is for browsers, and not for this name."""
    headers = {"Host": host} if (host := host_of(settings)) else {}
    address = f"{url}{settings.base_path}services/{SERVICE}/cellar/v1/pace"
    arrived = Arrivals()
    try:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as http:
            async with http.stream("GET", address, headers=headers) as answer:
                if answer.status_code != 200:
                    raise Failed(f"{address} answers {answer.status_code}{await _reason(answer)}")
                await arrived.read(answer.aiter_raw())
    except httpx.HTTPError as error:
        raise Failed(f"{address} does not answer: {type(error).__name__} {str(error)[:150]}") from None
    if (found := arrived.data.count(b": ")) != PIECES:
        raise Failed(f"{address} gives {found} pieces of {PIECES}: it leads to something else, or breaks off")
    if arrived.goes < PIECES / 2 or arrived.lasted < PAUSE * (PIECES - 1) / 2:
        raise Failed(
            f"an answer written in {PAUSE * (PIECES - 1):.1f} s arrives within {arrived.lasted:.1f} s: {BUFFERED}"
        )
    return f"{PIECES} pieces arrive within {arrived.lasted:.1f} s, as they are written"


async def _reason(answer: httpx.Response) -> str:
    """What an API says; a page for people is no reason."""
    if "json" not in answer.headers.get("Content-Type", ""):
        return ""
    return f": {' '.join((await answer.aread())[:200].decode(errors='replace').split())}"


def host_of(settings: ProxySettings) -> str:
    """The name by which browsers find the gateway; empty where any name does."""
    if settings.subdomain_host:
        parts = urlsplit(settings.subdomain_host)
        return f"{SERVICE}--service.{parts.netloc}"
    return urlsplit(settings.public_url).netloc
