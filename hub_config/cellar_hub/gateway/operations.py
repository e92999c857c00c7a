"""The second port, which no workspace can reach: health, metrics, revocations pushed by the hub, and what forwarders
report of workspaces' connections."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cellar_hub.audit import Event
from cellar_hub.forwarder.reports import AT_ONCE, Batch, Report
from cellar_hub.identity import Identity
from cellar_hub.store import StoreDown

from .door import read_body, token_of
from .house import House
from .refused import Refused, bad_request, not_available, unauthorized

MAX_REVOCATION = 16 * 1024
MAX_REPORTS = 128 * 1024

log = logging.getLogger(__name__)


class Revocation(msgspec.Struct, forbid_unknown_fields=True):
    """Who is no longer believed. A user alone (blocked, deleted): all their tokens, and their requests end. A user's
    `server` (its name; "" is the default one): it stopped, its token is gone, and its requests went with it; the user
    may have others. One token: it, and its requests."""

    user: str | None = None
    token_id: str | None = None
    server: str | None = None


def make_operations(house: House) -> Starlette:
    async def healthz(_: Request) -> Response:
        """200 while requests can be answered: the books are written and this process is not about to end."""
        ok = house.books.up and not house.draining
        servers = {each.server.base_url: each.state for each in house.health.servers.values()}
        said = {"ok": ok, "database": house.books.up, "draining": house.draining, "hub": house.identities.hub_up}
        return JSONResponse({**said, "models": servers}, 200 if ok else 503)

    async def metrics(_: Request) -> Response:
        house.observe()
        return Response(house.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def revoke(request: Request) -> Response:
        try:
            found = await _revocation(house, request)
        except Refused as refused:
            return Response(refused.body(), refused.status, media_type="application/json")
        forgotten = house.identities.revoke(user=found.user, token_id=found.token_id)
        stopped = house.stop_requests(_meant(found), "revoked")
        subject = found.user or f"token {found.token_id}"
        log.info("revoked", extra={"forgotten": forgotten, "stopped": stopped})
        house.books.note(
            Event(
                at=time.time(),
                actor="hub",
                action="token.revoke",
                subject=subject,
                detail={"forgotten": forgotten, "stopped": stopped},
            )
        )
        return JSONResponse({"forgotten": forgotten, "stopped": stopped})

    async def forwarded(request: Request) -> Response:
        """200 when the reports are in the audit, and not before: the forwarder keeps them until then."""
        try:
            reports = await _reports(house, request)
            await house.books.record([_event_of(each) for each in reports])
        except Refused as refused:
            return Response(refused.body(), refused.status, media_type="application/json")
        except StoreDown:
            return Response(status_code=503)
        return JSONResponse({"kept": len(reports)})

    return Starlette(
        routes=[
            Route("/healthz", healthz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route("/revoke", revoke, methods=["POST"]),
            Route("/forwarded", forwarded, methods=["POST"]),
        ]
    )


async def _revocation(house: House, request: Request) -> Revocation:
    """Raises `Refused`."""
    if not house.settings.token:
        raise not_available("CELLAR_GATEWAY_TOKEN is not set: nothing can be revoked")
    if not _bears(request, house.settings.token):
        raise unauthorized("Only the hub may revoke")
    body = await read_body(request.scope, request.receive, MAX_REVOCATION)
    try:
        found = msgspec.json.decode(body, type=Revocation)
    except (msgspec.DecodeError, UnicodeError):
        raise bad_request("The body must be JSON with user, token_id or server") from None
    if not (found.user or found.token_id):
        raise bad_request("The body must name a user or a token_id")
    return found


def _bears(request: Request, token: str) -> bool:
    return hmac.compare_digest(token_of(request.scope).encode("utf-8", "replace"), token.encode())


async def _reports(house: House, request: Request) -> tuple[Report, ...]:
    """Raises `Refused`."""
    if not house.settings.forwarder_token:
        raise not_available("CELLAR_FORWARDER_TOKEN is not set: no forwarder is known")
    if not _bears(request, house.settings.forwarder_token):
        raise unauthorized("Only forwarders may report connections")
    body = await read_body(request.scope, request.receive, MAX_REPORTS)
    try:
        found = msgspec.json.decode(body, type=Batch).reports
    except (msgspec.DecodeError, UnicodeError):
        raise bad_request("The body must be JSON with reports") from None
    if len(found) > AT_ONCE:
        raise bad_request(f"More than {AT_ONCE} reports at once")
    return found


def _event_of(report: Report) -> Event:
    return Event(
        at=report.at,
        actor=report.user,
        action=f"destination.{report.outcome}",
        subject=report.destination,
        detail={"count": report.count, "report": report.id},
    )


def _meant(found: Revocation) -> Callable[[Identity], bool]:
    """Whose running requests are ended."""

    def meant(identity: Identity) -> bool:
        everything = found.server is None and found.token_id is None and identity.user == found.user
        return everything or bool(found.token_id and identity.token_id == found.token_id)

    return meant
