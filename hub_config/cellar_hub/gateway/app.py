"""The users' port: OpenAI's API and `/cellar/v1/{me,pace}`, on an allow-list of paths; everything else is a 404.

The same routes answer under the hub's prefix (`/services/cellar`), for clients that come through its proxy. Each answer
has an `X-Request-Id` of our own making; each refusal is in OpenAI's shape.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from cellar_hub.address import client_address
from cellar_hub.audit import Settled
from cellar_hub.identity import HubDown, Identity, InvalidToken, MissingScope
from cellar_hub.policy import MODES, Allowed
from cellar_hub.store import StoreDown

from .books import Entry
from .door import ClientLeft, Places, Room, expected_size, header, read_body, token_of
from .exchange import Exchange, session_of
from .house import House, Running
from .me import me
from .models import ModelRow, ModelServer
from .pace import Pace
from .refused import Refused, forbidden, not_available, printable, unauthorized
from .relay import Broken, chunks, kept_headers, read_bounded
from .reply import Reply
from .request import Asked, Kind, parse_request, parse_tokenize

SERVICE = "services/cellar"
LARGE = 256 * 1024
"""Bytes from which a request is parsed in a thread."""
TOKENIZING = 16
"""Requests to one server's /tokenize at once."""
COUNTS = 2
"""Of these, one user's."""
COUNTS_WAITING = 64
"""More of that user wait: to the panel a refusal means, until it asks for models again, that nobody counts here."""
BODIES = 4
"""Of the largest size that a user may have here at once; of the usual size, hundreds."""
REFUSAL_EVERY = 10.0
"""Seconds between two audit records of the same refusal of one user: a loop must not fill the audit."""

log = logging.getLogger("cellar_hub.gateway")

_ids = random.Random()  # seeded by the system; an id must be unique, not secret, and urandom costs 0.1 ms


def new_id() -> str:
    """32 hexadecimal digits."""
    return f"{_ids.getrandbits(128):032x}"


Handler = Callable[[Scope, Receive, Reply], Awaitable[None]]


def make_app(house: House) -> Starlette:
    api = Api(house)

    def routes() -> list[Route]:
        return [
            Route("/v1/models", Endpoint(house, api.models), methods=["GET"]),
            Route("/v1/chat/completions", Endpoint(house, api.chat), methods=["POST"]),
            Route("/v1/completions", Endpoint(house, api.completions), methods=["POST"]),
            Route("/v1/embeddings", Endpoint(house, api.embeddings), methods=["POST"]),
            Route("/tokenize", Endpoint(house, api.tokenize), methods=["POST"]),
            Route("/cellar/v1/me", Endpoint(house, api.me), methods=["GET"]),
            Route("/cellar/v1/pace", Endpoint(house, api.pace), methods=["GET"]),
        ]

    app = Starlette(
        routes=[*routes(), Mount(house.settings.base_path + SERVICE, routes=routes())],
        exception_handlers={404: _no_such_path, 405: _no_such_path},
    )
    app.router.redirect_slashes = False
    return app


async def _no_such_path(_: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 404
    refused = Refused(status, "not_found", "There is no such address here")
    headers = {"x-request-id": new_id()}
    return Response(refused.body(), status, headers, media_type="application/json")


class Endpoint:
    """One route: gives each request its id, and turns what is raised into an answer."""

    def __init__(self, house: House, handler: Handler) -> None:
        self._house = house
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope["request_id"] = new_id()
        reply = Reply(send, request_id, proxied=bool(scope.get("root_path")))  # mounted under the hub's path
        try:
            await self._handler(scope, receive, reply)
        except Refused as refused:
            self._house.metrics.refusals.labels(refused.code).inc()
            log.info("refused", extra={"request_id": request_id, "status": refused.status, "code": refused.code})
            await reply.refuse(refused)
        except ClientLeft:
            pass
        except Exception:
            log.exception("a request failed", extra={"request_id": request_id})
            await reply.refuse(Refused(500, "internal_error", "The gateway failed; its log says why"))


class Api:
    def __init__(self, house: House) -> None:
        self._house = house
        self._tokenizing: dict[str, asyncio.Semaphore] = {}
        self._counting = Places(COUNTS, COUNTS_WAITING)
        self._room = Room(BODIES * house.settings.max_body)
        self._refused_at: dict[tuple[str, str], float] = {}
        self._pace = Pace()

    # -- GET --------------------------------------------------------------------------------------------------------

    async def models(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        identity = await self._identify(scope)
        allowed = self._allowed(identity)
        house = self._house
        if any(not each.rows for each in house.health.servers.values()):
            await house.health.look()
        found = house.models_of(identity, allowed)
        if not found:
            house.expect_models(identity)
        data = [
            {
                **(house.health.row(row.server, name) or {"id": name, "object": "model", "created": 0}),
                "owned_by": "cellar",
                "roles": row.roles,
            }
            for name, row in found
        ]
        await _json(reply, {"object": "list", "data": data})

    async def me(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        identity = await self._identify(scope)
        allowed = self._allowed(identity)
        house = self._house
        try:
            usage = await house.books.usage(identity.user, allowed.quota)
        except StoreDown:
            raise not_available("The gateway's books cannot be read", code="database_down") from None
        models = house.models_of(identity, allowed)
        await _json(
            reply, me(identity, house.policy, usage, models, house.health, house.queue, house.settings.forwarders)
        )

    async def pace(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        await self._pace.answer(reply)

    # -- POST -------------------------------------------------------------------------------------------------------

    async def chat(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        await self._ask(scope, receive, reply, "chat")

    async def completions(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        await self._ask(scope, receive, reply, "completion")

    async def embeddings(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        await self._ask(scope, receive, reply, "embeddings")

    async def tokenize(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        """Counts tokens for a prompt that is being written: no place in the queue, no entry in the books; but no user
        takes the places of all."""
        identity = await self._identify(scope)
        allowed = self._allowed(identity)
        with self._room.hold(identity.user, expected_size(scope, self._house.settings.max_body)) as settle:
            body = await self._body(scope, receive)
            settle(len(body))
            fields = await _parsed(parse_tokenize, body)
            row = self._find_any(fields["model"], identity, allowed)
            async with self._running(identity, scope, receive, reply):
                async with self._counting.hold(identity.user):
                    await self._tokenize(row.server, msgspec.json.encode(fields), scope["request_id"], reply)

    async def _tokenize(self, server: ModelServer, body: bytes, request_id: str, reply: Reply) -> None:
        room = self._tokenizing.setdefault(server.base_url, asyncio.Semaphore(TOKENIZING))
        headers = {"content-type": "application/json", "x-request-id": request_id}
        async with room, self._house.relay.post(server, server.root + "/tokenize", body, headers) as response:
            if response.status_code in (401, 403):
                raise Refused(502, "model_failed", "The model server refused the gateway")
            if response.status_code != 200:
                return await reply.whole(response.status_code, kept_headers(response), await read_bounded(response))
            await reply.begin(200, kept_headers(response))
            try:
                async for chunk in chunks(response):
                    reply.wrote = True
                    await reply.write(chunk)
            except Broken:
                return None
            return await reply.end()

    async def _ask(self, scope: Scope, receive: Receive, reply: Reply, kind: Kind) -> None:
        house = self._house
        at = time.time()
        identity = await self._identify(scope)
        if house.draining:
            raise not_available("The gateway is being restarted", retry_after=2.0)
        allowed = self._allowed(identity)
        await house.rate.hit(identity.user, allowed.requests_per_minute)
        with self._room.hold(identity.user, expected_size(scope, house.settings.max_body)) as settle:
            body = await self._body(scope, receive)
            settle(len(body))
            wish = header(scope, b"x-cellar-class")
            asked = await _parsed(
                parse_request,
                body,
                kind,
                max_tokens=allowed.max_tokens,
                context_length=self._context_length,
                is_tiny=self._is_tiny,
                wish=wish,
            )
            del body
            entry = self._entry(scope, identity, asked, at)
            async with self._running(identity, scope, receive, reply):
                try:
                    row = await house.find(asked.model, kind, identity, allowed)
                    _check(asked, allowed, entry.mode)
                    session = session_of(house.books, identity, header(scope, b"x-cellar-conversation"))
                    await Exchange(house, reply, entry, asked, row, allowed, session).run()
                except Refused as refused:
                    self._audit_refusal(entry, refused)
                    raise

    def _entry(self, scope: Scope, identity: Identity, asked: Asked, at: float) -> Entry:
        """What the books are told; mode and turn are what the client claims."""
        return Entry(
            request_id=scope["request_id"],
            user=identity.user,
            groups=identity.groups,
            model=asked.model,
            kind=asked.kind,
            mode=printable(header(scope, b"x-cellar-mode"), 20),
            turn=printable(header(scope, b"x-cellar-turn"), 64),
            question_mac=self._house.books.mac(asked.question),
            reserve=asked.reserve,
            at=at,
            client=self._client(scope),
            token_id=identity.token_id,
            max_tokens=asked.max_tokens or None,
        )

    # -- inside -----------------------------------------------------------------------------------------------------

    def _client(self, scope: Scope) -> str:
        settings = self._house.settings
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        peer = scope["client"][0] if scope.get("client") else ""
        return client_address(peer, forwarded, settings.pool, settings.reverse_proxies)

    async def _identify(self, scope: Scope) -> Identity:
        token = token_of(scope)
        if not token:
            raise unauthorized("A hub token is needed: Authorization: Bearer TOKEN")
        try:
            return await self._house.identities.of(token)
        except InvalidToken:
            raise unauthorized("The hub does not know this token, or no longer") from None
        except MissingScope:
            raise forbidden("This account, or this token, may not use the models") from None
        except HubDown:
            raise not_available("The hub does not answer, and this token is not known", code="hub_down") from None

    def _allowed(self, identity: Identity) -> Allowed:
        return self._house.policy.for_(identity.user, identity.groups)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        kind = header(scope, b"content-type").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "unsupported_media_type", "The request must be application/json")
        if header(scope, b"content-encoding").lower() not in ("", "identity"):
            raise Refused(415, "unsupported_media_type", "The request must not be compressed")
        return await read_body(scope, receive, self._house.settings.max_body)

    def _find_any(self, model: str, identity: Identity, allowed: Allowed) -> ModelRow:
        found = dict(self._house.models_of(identity, allowed)).get(model)
        if found is None:
            self._house.expect_models(identity)
            raise Refused(404, "model_not_found", "The model does not exist or is not yours", param="model")
        return found

    def _context_length(self, model: str) -> int | None:
        health = self._house.health
        row = self._house.table.find(model, health.listed)
        return None if row is None else health.context_length(row.server, model)

    def _is_tiny(self, model: str) -> bool:
        health = self._house.health
        row = self._house.table.find(model, health.listed)
        return row is not None and health.is_tiny(row.server, model)

    def _running(self, identity: Identity, scope: Scope, receive: Receive, reply: Reply) -> UnderWay:
        return UnderWay(self._house, scope["request_id"], Running(identity, reply), receive)

    def _audit_refusal(self, entry: Entry, refused: Refused) -> None:
        """What policy or quota refused is a record; a model's name that does not exist, or a full queue, is none."""
        if refused.code not in ("permission_denied", "quota_exceeded"):
            return
        key, now = (entry.user, refused.code), time.monotonic()
        if now - self._refused_at.get(key, -REFUSAL_EVERY) < REFUSAL_EVERY:
            return
        self._refused_at = {who: at for who, at in self._refused_at.items() if now - at < REFUSAL_EVERY} | {key: now}
        settled = Settled(
            request_id=entry.request_id,
            at=time.time(),
            status=refused.status,
            outcome="refused",
            error_code=refused.code,
        )
        self._house.books.refuse(entry, settled)


class UnderWay:
    """While this block runs, the request can be ended: by its client's hang-up, a revocation, a shutdown."""

    def __init__(self, house: House, request_id: str, running: Running, receive: Receive) -> None:
        self._house = house
        self._id = request_id
        self._running = running
        self._receive = receive

    async def __aenter__(self) -> None:
        self._house.running[self._id] = self._running
        self._listening = asyncio.create_task(self._listen())

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        self._house.running.pop(self._id, None)
        self._running.ended.set_result(None)
        self._listening.cancel()
        if not isinstance(error, asyncio.CancelledError) or self._running.reason is None:
            return
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if self._running.reason == "revoked":
            raise unauthorized("The token was revoked") from None
        if self._running.reason == "stopping":
            raise not_available("The gateway is being restarted", retry_after=2.0) from None
        raise ClientLeft from None

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._running.reply.ended:  # uvicorn says the same after an answer's end
            self._running.stop("left")


async def _parsed(parse: Callable[..., Any], body: bytes, *args: Any, **more: Any) -> Any:
    if len(body) < LARGE:
        return parse(body, *args, **more)
    return await asyncio.to_thread(parse, body, *args, **more)


def _check(asked: Asked, allowed: Allowed, mode: str) -> None:
    if mode in MODES and mode not in allowed.modes:
        raise forbidden(f"The mode {mode} is not allowed for you")
    if asked.tools and not allowed.tools:
        raise forbidden("Tools are not allowed for you", param="tools")


async def _json(reply: Reply, value: object) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await reply.whole(200, headers, msgspec.json.encode(value))
