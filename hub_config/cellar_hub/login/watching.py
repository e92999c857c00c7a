"""Calls that change something at the hub, on their way to the audit as `hub.*`: whoever makes them, by JupyterHub's API
or by its pages, and however they end.

JupyterHub gives each request that has ended to the `log_function` of its settings; ours looks at it, and gives it on.
`DEEDS` says of each method of each handler that changes something what that is called, or that there is nothing to
tell, and why. What it does not know is told as `hub.call`: a newer JupyterHub changes nothing unseen.

Told are names (to whom it is done, as path or body have it), never bodies, and no token: of one that is revoked its
number. Whoever has shown no identity has changed nothing. What the console does at the hub with its users' tokens it
has told the audit before, and is not told twice.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jupyterhub import orm
from jupyterhub.log import log_request
from tornado.web import RequestHandler

from cellar_hub.hubapi import TOLD, told_mark

from .attempts import SUCCEEDED, Kind, Outcome
from .entrance import Login

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
FAILED = ".failed"
LONGEST = 255  # characters of a name
MOST_NAMED = 100  # of one call, each with an event of its own
UNKNOWN = "hub.call"
TOKEN_NUMBER = re.compile(r"a[0-9]{1,12}", re.ASCII)


class Deed(NamedTuple):
    """`takes`: what the path's parts are; "" is what it is done to, others are said beside it. `many`: the list of the
    body whose names it is done to, if there is one: an event for each. `says`: fields of the body that are said."""

    name: str
    takes: tuple[str, ...] = ("",)
    many: str = ""
    says: tuple[str, ...] = ()


SERVER = ("", "server")
SHARED = ("who", "", "server")
NOTHING = None
"""Changes nothing that stays, or is told by somebody else."""

DEEDS: Mapping[tuple[str, str], Deed | None] = {
    ("UserListAPIHandler", "POST"): Deed("hub.user.add", (), "usernames", ("admin",)),
    ("UserAPIHandler", "POST"): Deed("hub.user.add", says=("admin",)),
    ("UserAPIHandler", "PATCH"): Deed("hub.user.change", says=("admin",)),
    ("UserAPIHandler", "DELETE"): Deed("hub.user.remove"),
    ("OneUser", "POST"): Deed("hub.user.add", says=("admin",)),  # ours in its place (`administrators`)
    ("OneUser", "PATCH"): Deed("hub.user.change", says=("admin",)),
    ("OneUser", "DELETE"): Deed("hub.user.remove"),
    ("UserTokenListAPIHandler", "POST"): Deed("hub.token.add"),
    ("UserTokenAPIHandler", "DELETE"): Deed("hub.token.revoke", ("", "token")),
    ("UserServerAPIHandler", "POST"): Deed("hub.server.start", SERVER),
    ("UserServerAPIHandler", "PUT"): Deed("hub.server.add", SERVER),
    ("UserServerAPIHandler", "PATCH"): Deed("hub.server.change", SERVER),
    ("UserServerAPIHandler", "DELETE"): Deed("hub.server.stop", SERVER),
    ("SpawnHandler", "POST"): Deed("hub.server.start", SERVER),
    ("GroupListAPIHandler", "POST"): Deed("hub.group.add", (), "groups"),
    ("GroupAPIHandler", "POST"): Deed("hub.group.add"),
    ("GroupAPIHandler", "DELETE"): Deed("hub.group.remove"),
    ("GroupUsersAPIHandler", "POST"): Deed("hub.group.join", ("group",), "users"),
    ("GroupUsersAPIHandler", "DELETE"): Deed("hub.group.leave", ("group",), "users"),
    ("GroupPropertiesAPIHandler", "PUT"): Deed("hub.group.change"),
    ("ServerShareAPIHandler", "POST"): Deed("hub.share.add", SERVER, says=("user", "group")),
    ("ServerShareAPIHandler", "PATCH"): Deed("hub.share.revoke", SERVER, says=("user", "group")),
    ("ServerShareAPIHandler", "DELETE"): Deed("hub.share.remove", SERVER),
    ("UserShareAPIHandler", "DELETE"): Deed("hub.share.leave", SHARED),
    ("GroupShareAPIHandler", "DELETE"): Deed("hub.share.leave", SHARED),
    ("ServerShareCodeAPIHandler", "POST"): Deed("hub.share.code.add", SERVER),
    ("ServerShareCodeAPIHandler", "DELETE"): Deed("hub.share.code.remove", SERVER),
    ("AcceptShareHandler", "POST"): Deed("hub.share.accept"),
    ("ServiceAPIHandler", "POST"): Deed("hub.service.add"),
    ("ServiceAPIHandler", "DELETE"): Deed("hub.service.remove"),
    ("ProxyAPIHandler", "PATCH"): Deed("hub.proxy.change", ()),
    ("ProxyAPIHandler", "POST"): NOTHING,  # has routes compared, and mended
    ("ShutdownAPIHandler", "POST"): Deed("hub.shutdown", ()),
    ("ActivityAPIHandler", "POST"): NOTHING,  # when a workspace was used last, every five minutes
    ("OAuthAuthorizeHandler", "POST"): NOTHING,  # a browser's way into a workspace or a service, as its user
    ("OAuthTokenHandler", "POST"): NOTHING,  # the same, of that service
    ("TokenAPIHandler", "POST"): NOTHING,  # gone since JupyterHub 2
    ("UserAdminAccessAPIHandler", "POST"): NOTHING,  # gone since JupyterHub 2
    ("UserUrlHandler", "POST"): NOTHING,  # to a workspace that does not run
    ("UserUrlHandler", "PATCH"): NOTHING,
    ("UserUrlHandler", "DELETE"): NOTHING,
    ("CSPReportHandler", "POST"): NOTHING,  # what a browser did not load
    ("LoginPage", "POST"): NOTHING,  # told as log-ins
    ("LoginHandler", "POST"): NOTHING,
    ("SignUpPage", "POST"): NOTHING,
    ("PasswordPage", "POST"): NOTHING,
    ("AccountList", "POST"): NOTHING,  # our own, told by itself (`api`)
    ("OneAccount", "PATCH"): NOTHING,
    ("OneAccount", "DELETE"): NOTHING,
}
"""Of (the handler's class, the method)."""


class Act(NamedTuple):
    """What is told of a call, once for each name."""

    name: str
    subject: str
    said: tuple[tuple[str, str | int], ...]


def watch(handler: Any) -> None:
    """JupyterHub's `log_function`. Whatever goes wrong with the looking, the request was answered."""
    log_request(handler)
    if not isinstance(handler.authenticator, Login):
        return  # a site that replaced ours has no audit of its log-ins either
    try:
        _look(handler)
    except Exception:  # tornado would spoil an answer that is on its way
        handler.log.exception("a call could not be told to the audit")


def changes(kind: type[RequestHandler]) -> list[str]:
    """The methods of a handler's class by which something may be changed. Pure."""
    nothing = RequestHandler._unimplemented_method
    return [each for each in CHANGING if getattr(kind, each.lower()) is not nothing]


def acts_of(
    kind: str, method: str, path: tuple[str | None, ...], body: bytes, actor: str, status: int
) -> Iterator[Act]:
    """What to tell of a call that `actor` made. Pure."""
    deed = DEEDS.get((kind, method), Deed(UNKNOWN, (), says=()))
    if deed is None:
        return
    fields = _fields(body) if deed.many or deed.says else {}
    found = {what: _name(each) for what, each in zip(deed.takes, path, strict=False) if each}
    if "token" in found and not TOKEN_NUMBER.fullmatch(found["token"]):
        del found["token"]  # somebody has put the token itself there
    subject = found.pop("", actor if "" in deed.takes and not path else "")
    said: list[tuple[str, str | int]] = list(found.items())
    said += [(each, _said(fields[each])) for each in deed.says if each in fields]
    name = deed.name
    if name == UNKNOWN:
        said += [("kind", kind), ("method", method)]
    if status >= 400:
        name, said = name + FAILED, [*said, ("status", status)]
    names = fields.get(deed.many) if deed.many else None
    if not isinstance(names, list) or not names:
        yield Act(name, subject, tuple(said))
        return
    most = 1 if status >= 400 else MOST_NAMED
    for each in names[:most]:
        yield Act(name, _name(each), tuple(said))
    if len(names) > most:
        yield Act(name, "", (*said, ("more", len(names) - most)))


def _look(handler: Any) -> None:
    method = "POST" if _starts_by_its_page(handler) else handler.request.method
    who = getattr(handler, "_jupyterhub_user", None)
    if who is None or method not in changes(type(handler)) or _was_told(handler):
        return
    is_service = isinstance(who, orm.Service)
    actor = f"service:{who.name}" if is_service else str(who.name)
    status = handler.get_status()
    outcome: Outcome = SUCCEEDED if status < 400 else "failed"
    client = handler.authenticator.address_of(handler)
    path = tuple(handler.path_args)
    for act in acts_of(type(handler).__name__, method, path, handler.request.body, actor, status):
        kind = Kind(outcome, act.subject, client, "", act.name, actor, act.said)
        # an administrator may do much in a minute, and each of it is to be seen; what others do, a loop may
        handler.authenticator.post.tell_call(kind, is_service or bool(who.admin))


def _starts_by_its_page(handler: Any) -> bool:
    """Where nothing is to be chosen, a workspace starts when its page is asked for."""
    is_page = type(handler).__name__ == "SpawnHandler" and handler.request.method == "GET"
    return is_page and "/spawn-pending/" in handler._headers.get("Location", "")


def _was_told(handler: Any) -> bool:
    """By the console, before it asked. Whose token it asked with could ask with it without the console, and say so."""
    secret, token = handler.authenticator.hub_settings.console_token, handler.get_auth_token()
    mark = handler.request.headers.get(TOLD, "")
    return bool(secret and token) and hmac.compare_digest(mark.encode(), told_mark(secret, token).encode())


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _name(given: Any) -> str:
    return str(given)[:LONGEST] if isinstance(given, str | int) else ""


def _said(given: Any) -> str:
    return ("yes" if given else "no") if isinstance(given, bool) else _name(given)
