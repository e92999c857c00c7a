"""Who is no longer believed, told to all gateways of a site at once.

The hub tells one gateway; that one tells the others through Redis. Redis keeps nothing of it: a gateway that did not
hear for a while cannot know what was said meanwhile, so it forgets everybody it knows as soon as it hears again, and
asks the hub anew. Without Redis a token is believed for as long as `identity.POSITIVE` says; the hub is told how many
gateways did not hear.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError

from cellar_hub.identity import Identity

from .shared import connections

CHANNEL = "cellar:revoked"
AGAIN = 1.0
"""Seconds until a Redis that did not answer is asked again."""
LATE = 60.0
"""Seconds that clocks of gateways may differ by; what is older was said by somebody else, or once more."""
SILENCE = 30.0
"""Seconds after which it is looked again whether there is something: releases of redis differ in waiting for ever."""
PATIENCE = 2.0
"""Seconds for telling the others: the hub waits for three."""

log = logging.getLogger(__name__)


class Revocation(msgspec.Struct, forbid_unknown_fields=True):
    """Who is no longer believed. A user alone (blocked, deleted): all their tokens, and their requests end. A user's
    `server` (its name; "" is the default one): it stopped, its token is gone, and its requests went with it; the user
    may have others. One token: it, and its requests. With `rights`, groups or rights of a user have changed, or of
    anybody when none is named: the hub is asked anew, and what is under way goes on."""

    user: str | None = None
    token_id: str | None = None
    server: str | None = None
    rights: bool = False

    @property
    def subject(self) -> str:
        return self.user or f"token {self.token_id}"

    def ends(self, identity: Identity) -> bool:
        """Whether this bearer's running requests end."""
        if self.rights:
            return False
        everything = self.server is None and self.token_id is None and identity.user == self.user
        return everything or bool(self.token_id and identity.token_id == self.token_id)


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """What goes through Redis. `gateway`: who says it; `at`: when, in seconds of the epoch; `mac`: that it was one of
    this site, for Redis lets anybody speak who reaches it."""

    gateway: str
    at: float
    revocation: Revocation
    mac: str = ""

    def signed(self, secret: str) -> Said:
        return msgspec.structs.replace(self, mac=self._mac(secret))

    def is_ours(self, secret: str, now: float) -> bool:
        # As bytes: of texts, compare_digest refuses those that are not ASCII, and anybody may send one.
        return abs(now - self.at) < LATE and hmac.compare_digest(self.mac.encode(), self._mac(secret).encode())

    def _mac(self, secret: str) -> str:
        unsigned = msgspec.json.encode(msgspec.structs.replace(self, mac=""))
        return hmac.new(secret.encode(), b"cellar revocation\0" + unsigned, "sha256").hexdigest()


class Others:
    """The other gateways. `heard` is called with what one of them says, `deaf` when it is not known what they said."""

    def __init__(
        self,
        redis_url: str,
        pool: IPv4Network,
        *,
        name: str,
        secret: str,
        gateways: int,
        heard: Callable[[Revocation], object],
        deaf: Callable[[], object],
    ) -> None:
        self._count = gateways - 1
        self._name = name
        self._secret = secret
        self._heard = heard
        self._deaf = deaf
        self._connections = connections(redis_url, pool) if redis_url and self._count else None
        self._listening: asyncio.Task[None] | None = None
        self.hearing = False

    def start(self) -> None:
        if self._connections is not None:
            self._listening = asyncio.create_task(self._listen(Redis(connection_pool=self._connections)))

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._connections is not None:
            await self._connections.aclose()

    async def tell(self, revocation: Revocation) -> int:
        """How many of them did not hear it."""
        if self._connections is None:
            return self._count
        message = msgspec.json.encode(Said(self._name, time.time(), revocation).signed(self._secret))
        try:
            async with asyncio.timeout(PATIENCE):
                ears: int = await Redis(connection_pool=self._connections).publish(CHANNEL, message)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("the other gateways were not told of a revocation (%s)", type(error).__name__)
            return self._count
        return max(0, self._count - max(0, ears - 1))  # one is our own

    async def _listen(self, redis: Redis) -> None:
        while True:
            try:
                await self._hear(redis)
            except (RedisError, OSError) as error:
                if self.hearing:
                    log.warning("revocations told to other gateways are not heard (%s)", type(error).__name__)
            except Exception:  # whatever it was, who hears nothing any more would believe what was revoked
                log.exception("revocations told to other gateways are not heard")
            self.hearing = False
            await asyncio.sleep(AGAIN)

    async def _hear(self, redis: Redis) -> None:
        """Until the connection breaks. Raises RedisError."""
        async with redis.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            if await channel.get_message(timeout=PATIENCE) is None:
                raise RedisGone("no answer")
            self._deaf()
            self.hearing = True
            log.info("revocations told to other gateways are heard")
            while True:
                message: dict[str, Any] | None = await channel.get_message(timeout=SILENCE)
                if message is not None and message["type"] == "message":
                    self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            said = msgspec.json.decode(data, type=Said)
        except (msgspec.DecodeError, UnicodeError):
            log.warning("Redis said something else than a revocation")
            return
        if not said.is_ours(self._secret, time.time()):
            log.warning("somebody who is no gateway of this site told of a revocation")
        elif said.gateway != self._name:
            self._heard(said.revocation)
