"""Who stands behind a hub token: asked at JupyterHub (`GET /hub/api/user`), remembered for a short time.

A positive answer is good for `POSITIVE`, a negative one for `NEGATIVE` seconds; many requests with one unknown token
ask the hub once. From `REFRESH` on, a known token is asked again behind the request that carries it, so that nobody
waits for the hub while they work. When the hub is away, known tokens go on until their answer is too old; everything
else is refused. Tokens are kept as SHA-256, never themselves.

A revocation forgets at once, and makes an answer worthless that was asked for before it and comes after.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

import httpx
import msgspec

POSITIVE = 30.0
REFRESH = 20.0
NEGATIVE = 5.0
SCOPE = "custom:llm:chat"
MAX_KNOWN = 20_000
MAX_REFUSED = 4_000
MAX_ASKING = 32
"""Questions to the hub at once about tokens that are not known, and as many about those that are: a flood of invented
tokens must neither take the hub down nor keep those waiting who work."""
TIMEOUT = 5.0
MAX_TOKEN = 512


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """As the hub says; `kind` is "user" or "service" (then `user` is "service:NAME": no user of that name is meant)."""

    user: str
    groups: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    admin: bool = False
    token_id: str = ""
    kind: str = "user"


class NotIdentified(Exception):
    """Root: there is nobody behind this request."""


class InvalidToken(NotIdentified):
    """The hub does not know the token, or no longer."""


class MissingScope(NotIdentified):
    """A valid token whose bearer may not use the models. `user`: who."""

    def __init__(self, user: str) -> None:
        super().__init__(f"The token lacks the scope {SCOPE}")
        self.user = user


class HubDown(NotIdentified):
    """The hub did not answer, or not sensibly; nothing is known of the token."""


class _User(msgspec.Struct):
    """The hub's answer; what is not named here is skipped."""

    name: str
    kind: str = "user"
    groups: list[str] = []
    scopes: list[str] = []
    admin: bool = False
    token_id: str | None = None


class _Known(msgspec.Struct):
    answer: Identity | NotIdentified
    asked_at: float
    good_until: float


class Identities:
    """One per process. `http` speaks to the hub's API at `api_url` (".../hub/api")."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        api_url: str,
        *,
        positive: float = POSITIVE,
        negative: float = NEGATIVE,
        scope: str = SCOPE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = api_url.rstrip("/") + "/user"
        self._positive = min(positive, POSITIVE)
        self._negative = min(negative, NEGATIVE)
        self._scope = scope
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused: OrderedDict[bytes, _Known] = OrderedDict()  # apart: it may be flooded
        self._asking: dict[bytes, asyncio.Task[_Known]] = {}
        self._room_for_known = asyncio.Semaphore(MAX_ASKING)
        self._room_for_new = asyncio.Semaphore(MAX_ASKING)
        self._revoked = 0  # how often; an answer asked for before the last time is not believed
        self.hub_up = True

    async def of(self, token: str) -> Identity:
        """Raises `InvalidToken`, `MissingScope` or `HubDown`."""
        if not 1 <= len(token) <= MAX_TOKEN or any(not "!" <= c <= "~" for c in token):
            raise InvalidToken("The token is not one line of letters, digits and signs")
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key) or self._refused.get(key)
        now = self._clock()
        if known is None or now >= known.good_until:
            known = await asyncio.shield(self._ask(key, token))
        elif now >= known.asked_at + self._positive * REFRESH / POSITIVE and isinstance(known.answer, Identity):
            self._ask(key, token)
        if isinstance(known.answer, Identity):
            return known.answer
        raise known.answer.with_traceback(None)  # one object for many; its traceback must not grow

    def revoke(self, *, user: str | None = None, token_id: str | None = None, server: str | None = None) -> int:
        """Forget a user, a token, or whoever owns a server ("user/server"); answers how many tokens were forgotten."""
        self._revoked += 1
        owner = server.partition("/")[0] if server else None
        gone = [
            key
            for key, known in self._known.items()
            if isinstance(known.answer, Identity)
            and (known.answer.user in (user, owner) or (token_id and known.answer.token_id == token_id))
        ]
        for key in gone:
            del self._known[key]
        self._ask_again(user)
        return len(gone)

    def forget(self) -> int:
        """Everybody: somebody may have been revoked. How many tokens were known."""
        self._revoked += 1
        known = len(self._known)
        self._known.clear()
        self._ask_again()
        return known

    def _ask_again(self, user: str | None = None) -> None:
        """Whoever was refused for what their groups may give them meanwhile."""
        for key, refused in list(self._refused.items()):
            if isinstance(refused.answer, MissingScope) and user in (None, refused.answer.user):
                del self._refused[key]

    async def close(self) -> None:
        """End the questions that are under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, key: bytes, token: str) -> asyncio.Task[_Known]:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._learn(key, token))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    async def _learn(self, key: bytes, token: str) -> _Known:
        """Ask, and remember what may be remembered. Raises nothing: `HubDown` is an answer too, good for no time."""
        room = self._room_for_known if key in self._known else self._room_for_new
        while True:
            revoked, now = self._revoked, self._clock()
            async with room:
                answer = await self._answer(token)
            if revoked == self._revoked:
                break
        if isinstance(answer, HubDown):
            return _Known(answer, now, now)
        good = isinstance(answer, Identity)
        known = _Known(answer, now, now + (self._positive if good else self._negative))
        place, other, most = (
            (self._known, self._refused, MAX_KNOWN) if good else (self._refused, self._known, MAX_REFUSED)
        )
        other.pop(key, None)
        place[key] = known
        place.move_to_end(key)
        while len(place) > most:
            place.popitem(last=False)
        return known

    async def _answer(self, token: str) -> Identity | NotIdentified:
        try:
            response = await self._http.get(self._url, headers={"authorization": f"token {token}"}, timeout=TIMEOUT)
        except httpx.HTTPError:
            self.hub_up = False
            return HubDown("The hub does not answer")
        if response.status_code in (401, 403, 404):
            self.hub_up = True
            return InvalidToken("The hub does not know this token")
        try:
            user = msgspec.json.decode(response.content, type=_User) if response.is_success else None
        except (msgspec.DecodeError, UnicodeError):
            user = None
        self.hub_up = user is not None
        if user is None:
            return HubDown(f"The hub answered strangely (HTTP {response.status_code})")
        if self._scope not in user.scopes:
            return MissingScope(user.name)
        return Identity(
            user=user.name if user.kind == "user" else f"{user.kind}:{user.name}",
            groups=tuple(sorted(user.groups)),
            scopes=frozenset(user.scopes),
            admin=user.admin,
            token_id=user.token_id or "",
            kind=user.kind,
        )
