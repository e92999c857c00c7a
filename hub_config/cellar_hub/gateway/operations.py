"""The second port, which no workspace can reach: health, metrics, state, and what is told to the gateway: by the hub's
side revocations, log-ins and what an administrator did, by forwarders workspaces' connections.

Design note. The hub has neither the books nor the audit's keys, on purpose: whoever takes it over rewrites no record.
So an action of `cellar-hub users`, which runs beside the hub, is told to the gateway, and stands in its chain.
"""

from __future__ import annotations

import hmac
import logging
import time
from importlib.metadata import version
from typing import Annotated, TypeVar

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cellar_hub.audit import Event
from cellar_hub.forwarder.reports import AT_ONCE, Batch, Report
from cellar_hub.store import StoreDown

from .door import read_body, token_of
from .house import House
from .refused import Refused, bad_request, not_available, unauthorized
from .revocations import Revocation
from .state import state_of

VERSION = version("jupyter-cellar")
MAX_BODY = 16 * 1024
MAX_REPORTS = 128 * 1024
T = TypeVar("T")

log = logging.getLogger(__name__)


class Deed(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody did at the hub, or that somebody logged in, or tried to. `actor` is what the hub's side claims; the
    audit cuts and cleans all of it. `at`: seconds of the epoch, for what could not be told when it happened."""

    action: Annotated[str, msgspec.Meta(pattern="^(user|hub)(\\.[a-z]{1,20}){1,3}$")]
    actor: Annotated[str, msgspec.Meta(min_length=1)]
    subject: str
    detail: dict[str, str | int] = {}
    at: Annotated[float, msgspec.Meta(ge=0)] | None = None


def make_operations(house: House) -> Starlette:
    async def healthz(_: Request) -> Response:
        """200 while requests can be answered: the books are written and this process is not about to end."""
        ok = house.books.up and not house.draining
        servers = {each.server.base_url: each.state for each in house.health.servers.values()}
        said = {"ok": ok, "database": house.books.up, "draining": house.draining, "hub": house.identities.hub_up}
        return JSONResponse({**said, "models": servers, "version": VERSION}, 200 if ok else 503)

    async def metrics(_: Request) -> Response:
        house.observe()
        return Response(house.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def state(request: Request) -> Response:
        """For the console; no workspace reaches this port, and the token says that it is the hub's side who asks."""
        try:
            _check_token(house.settings.token, "CELLAR_GATEWAY_TOKEN", request)
        except Refused as refused:
            return Response(refused.body(), refused.status, media_type="application/json")
        return Response(msgspec.json.encode(state_of(house, VERSION)), media_type="application/json")

    async def revoke(request: Request) -> Response:
        """`unheard`: so many other gateways believe what they know until it is too old."""
        try:
            found = await _of_the_hub(house, request, Revocation)
            if not (found.user or found.token_id or found.rights):
                raise bad_request("The body must name a user or a token_id, or say rights")
        except Refused as refused:
            return Response(refused.body(), refused.status, media_type="application/json")
        forgotten, stopped = house.revoke(found)
        unheard = await house.others.tell(found)
        return JSONResponse({"forgotten": forgotten, "stopped": stopped, "unheard": unheard})

    async def forwarded(request: Request) -> Response:
        """200 when the reports are in the audit, and not before: the forwarder keeps them until then."""
        try:
            reports = await _reports(house, request)
            await _record(house, [_event_of(each) for each in reports])
        except Refused as refused:
            return Response(refused.body(), refused.status, media_type="application/json")
        return JSONResponse({"kept": len(reports)})

    async def deed(request: Request) -> Response:
        """204 when it is durable: whoever does something only after this has not done it unseen."""
        try:
            found = await _of_the_hub(house, request, Deed)
            now = time.time()
            event = Event(
                at=now if found.at is None else min(found.at, now),
                actor=found.actor,
                action=found.action,
                subject=found.subject,
                detail=found.detail,
            )
            await _record(house, [event])
        except Refused as refused:
            return Response(refused.body(), refused.status, media_type="application/json")
        log.info("told by the hub's side", extra={"action": found.action})
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/healthz", healthz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route("/state", state, methods=["GET"]),
            Route("/revoke", revoke, methods=["POST"]),
            Route("/forwarded", forwarded, methods=["POST"]),
            Route("/events", deed, methods=["POST"]),
        ]
    )


async def _record(house: House, events: list[Event]) -> None:
    """Raises `Refused` when they are not in the audit."""
    try:
        await house.books.record(events)
    except StoreDown:
        raise not_available("The gateway's books cannot be written", code="database_down") from None


async def _of_the_hub(house: House, request: Request, kind: type[T]) -> T:
    """What the hub's side says. Raises `Refused`."""
    return await _told(request, kind, MAX_BODY, house.settings.token, "CELLAR_GATEWAY_TOKEN")


async def _reports(house: House, request: Request) -> tuple[Report, ...]:
    """What a forwarder says. Raises `Refused`."""
    token = house.settings.forwarder_token
    found = (await _told(request, Batch, MAX_REPORTS, token, "CELLAR_FORWARDER_TOKEN")).reports
    if len(found) > AT_ONCE:
        raise bad_request(f"More than {AT_ONCE} reports at once")
    return found


async def _told(request: Request, kind: type[T], limit: int, token: str, variable: str) -> T:
    """A body of at most `limit` bytes, from whoever bears the token that is set as `variable`. Raises `Refused`."""
    _check_token(token, variable, request)
    body = await read_body(request.scope, request.receive, limit)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError):
        raise bad_request(f"The body must be JSON with {', '.join(kind.__struct_fields__)}") from None  # type: ignore[attr-defined] # structs


def _check_token(token: str, variable: str, request: Request) -> None:
    """Raises `Refused`."""
    if not token:
        raise not_available(f"{variable} is not set: nobody is known by it")
    if not hmac.compare_digest(token_of(request.scope).encode("utf-8", "replace"), token.encode()):
        raise unauthorized(f"Only who bears {variable} may say that")


def _event_of(report: Report) -> Event:
    return Event(
        at=report.at,
        actor=report.user,
        action=f"destination.{report.outcome}",
        subject=report.destination,
        detail={"count": report.count, "report": report.id},
    )
