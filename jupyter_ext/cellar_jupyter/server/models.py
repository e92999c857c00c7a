"""The model server as this workspace sees it: one client, made after start-up, and what was last known of the server.

Nothing that a page asks waits for the model server longer than `PATIENCE`: answers come from what is known, and what is
old is refreshed behind them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec
from cellar import wire
from cellar.context import TokenCounter
from cellar.errors import CellarError, ModelNotFound, ModelServerDown, NoVision

if TYPE_CHECKING:
    from cellar.client import ModelClient
    from cellar.me import Me

    from .app import Cellar

PATIENCE = 0.8
FRESH = 10.0
"""Seconds for which what is known of a healthy server is good enough; of one that is down, a tenth of it."""


class Models:
    """Client, health, models and token counts."""

    def __init__(self, config: Cellar) -> None:
        self._config = config
        self._client: ModelClient | None = None
        self._making: asyncio.Task[ModelClient] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._known_at = 0.0
        self._answered_at = 0.0
        self._counters: dict[str, TokenCounter] = {}
        self._counting: asyncio.Task[None] | None = None
        self._to_count: dict[tuple[str, str], None] = {}  # (model, text), in order
        self.health = wire.ModelServer(state="loading", message="not asked yet", tiny=config.tiny)
        self.known: tuple[wire.Model, ...] = ()
        self.me: Me | None = None  # what the gateway said last of this user; None: no gateway, or it has not answered
        self._blind: set[str] = set()  # models that refused a picture: their server did not tell before

    async def client(self) -> ModelClient:
        """The one client; importing httpx happens in a thread, once."""
        if self._client is None:
            if self._making is None or self._making.done():  # one that failed is tried again: a file may be there now
                self._making = asyncio.create_task(self._make())
            self._client = await asyncio.shield(self._making)
        return self._client

    async def _make(self) -> ModelClient:
        return await asyncio.to_thread(make_client, self._config)

    async def close(self) -> None:
        """End what is under way, then the client that it asks with."""
        tasks = [task for task in (self._making, self._refreshing, self._counting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    # -- what is known ------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Let what is known become fresh, but wait for it no longer than `PATIENCE`."""
        fresh = FRESH if self.health.state == "up" else FRESH / 10
        if time.monotonic() - self._known_at < fresh:
            return
        refreshing = self.refresh()
        if self.health.state != "up":
            await asyncio.wait([refreshing], timeout=PATIENCE)

    def refresh(self) -> asyncio.Task[None]:
        """Ask the server again, once at a time."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return self._refreshing

    async def _refresh(self) -> None:
        began = time.monotonic()
        try:
            client = await self.client()
        except CellarError as error:  # a setting that cannot be used: the server is not even asked
            self.health = wire.ModelServer(state="down", message=_said(error), tiny=self._config.tiny)
            self._known_at = time.monotonic()
            return
        try:
            await self._list(client)
        except CellarError as error:
            health = await client.health()
            if health.state == "up":  # something lives there, but it lists no model: another address, or a wrong key
                health = wire.ModelServer(state="down", message=_said(error))
            if self._answered_at > began:
                return  # it answered a question meanwhile: the next look asks again
            self.health = msgspec.structs.replace(health, tiny=self._config.tiny)
        self._known_at = time.monotonic()

    def _with_overrides(self, model: wire.Model) -> wire.Model:
        changes: dict[str, object] = {}
        if model.id in self._config.vision:
            changes["vision"] = bool(self._config.vision[model.id])
        if model.id in self._blind:
            changes["vision"] = False
        if model.id in self._config.context_length:
            changes["context_length"] = int(self._config.context_length[model.id])
        return msgspec.structs.replace(model, **changes) if changes else model

    @property
    def address(self) -> str:
        """Where the model server is looked for, if the user can change that: empty on a hub or with a bad setting."""
        return "" if self._config.gateway or self._config.problem else self._config.base_url

    def default(self) -> str | None:
        """The model that is asked when the browser names none."""
        ids = [model.id for model in self.known]
        if self._config.model and (self._config.model in ids or not ids):
            return self._config.model
        return ids[0] if ids else None

    @property
    def missing(self) -> str:
        """The model that the settings name, where the server lists others only."""
        listed = not self.known or any(model.id == self._config.model for model in self.known)
        return "" if listed else self._config.model

    async def choose(self, name: str | None) -> wire.Model:
        """The model for a turn. Raises `ModelServerDown` (no list) or `ModelNotFound`."""
        if name is None and time.monotonic() - self._known_at > FRESH:  # another may be served by now
            await asyncio.wait([self.refresh()], timeout=PATIENCE)
        for attempt in (0, 1):
            wanted = name or self.default()
            found = next((model for model in self.known if model.id == wanted), None)
            if found is not None:
                return found
            if attempt == 0:
                await self._ask_for_models()
        if name:
            raise ModelNotFound(f"The model server has no model {name!r}", detail={"model": name})
        raise ModelNotFound("The model server has no model")

    async def _ask_for_models(self) -> None:
        """The list is needed now; its failure is the turn's failure."""
        await self._list(await self.client())
        self._known_at = time.monotonic()

    async def _list(self, client: ModelClient) -> None:
        known, _ = await asyncio.gather(client.models(), self.ask_me())
        self.known = tuple(self._with_overrides(model) for model in known)
        self.health = wire.ModelServer(state=self._served_state(), tiny=self._config.tiny)

    async def ask_me(self) -> Me | None:
        """Ask the gateway about this user; when it does not answer, what it said last."""
        if self._config.gateway and not self._config.problem:
            client = await self.client()
            try:
                self.me = await client.me()
                self._config.hub_features = self.me.features
            except CellarError:
                pass  # an older gateway, or one that is away: whoever asks it for an answer will say so
        return self.me

    def _served_state(self) -> Literal["up", "loading", "down"]:
        """The server answers; if it is a gateway, how the servers behind it are is another thing."""
        asked = {model.id for model in self.known}
        states = {model.state for model in self.me.models if model.id in asked} if self.me is not None else set()
        if "up" in states or not states:
            return "up"
        return "loading" if "loading" in states else "down"

    def answered(self) -> None:
        """A turn was answered: the server is up, whatever is found by a look at it that began before."""
        self._answered_at = time.monotonic()
        if self.health.state != "up":
            self.health = wire.ModelServer(state="up", tiny=self._config.tiny)
            self._known_at = 0.0

    def failed(self, error: CellarError, model: str) -> None:
        """A turn saw the server fail: the next look asks again."""
        if isinstance(error, NoVision):
            self._blind.add(model)
            self.known = tuple(self._with_overrides(each) for each in self.known)
        if isinstance(error, ModelServerDown):
            self.health = wire.ModelServer(state="down", message=error.message, tiny=self._config.tiny)
            if self.address:
                error.detail = {**error.detail, "address": self.address}
        self._known_at = 0.0

    # -- counting -----------------------------------------------------------------------------------------------------

    def counter(self, model_id: str) -> TokenCounter:
        return self._counters.setdefault(model_id, TokenCounter())

    def count_later(self, model: wire.Model, texts: tuple[str, ...], then: Callable[[], None] | None = None) -> None:
        """Have the server's tokenizer count what is only estimated, behind everything else."""
        if not model.tokenizer:
            return
        for text in self.counter(model.id).missing(texts):
            self._to_count.setdefault((model.id, text))
        if self._to_count and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count())

    async def counted(self, within: float) -> None:
        """Wait for the counting that is under way, at most `within` seconds."""
        if self._counting is not None and not self._counting.done():
            await asyncio.wait([self._counting], timeout=within)

    async def _count(self) -> None:
        client = await self.client()
        while self._to_count:
            model_id, text = next(iter(self._to_count))
            del self._to_count[model_id, text]
            try:
                tokens = await client.count_tokens(model_id, text=text)
            except CellarError:
                tokens = None
            if tokens is None:  # this model's tokenizer does not answer; another one's may
                self._to_count = {key: None for key in self._to_count if key[0] != model_id}
            else:
                self.counter(model_id).learn(text, tokens)


def _said(error: CellarError) -> str:
    return f"{error.message}. {error.hint}" if error.hint else error.message


def make_client(config: Cellar) -> ModelClient:
    """A client for the configured server. Imports httpx: call it in a thread, after start-up. Raises `ModelServerDown`
    when a setting is wrong."""
    if config.problem:
        raise ModelServerDown(config.problem)
    from cellar.client import NO_RETRIES, ModelClient, RetryPolicy, make_http

    http = make_http(config.base_url, ca_bundle=config.ca_bundle, proxy=config.proxy, read_timeout=config.read_timeout)
    retries = RetryPolicy() if config.retry else NO_RETRIES
    return ModelClient(http, config.base_url, config.api_key, retries=retries, gateway=config.gateway)
