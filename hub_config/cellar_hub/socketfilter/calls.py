"""Which calls of Docker's API go on, and what of them: a table of routes, each with its own judgement. Pure.

`judge` is a generator: it yields a `Look` when it must know what a name means, is sent the engine's answer (None when
there is no such thing), and returns the `Call` to forward, or raises `Refused`. So it runs without a socket in tests.

Design note. A name or a short id can mean another container a moment later. Where a container is named, it is looked
up, judged, and the call goes on with the full id of what was judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from . import bodies, strict
from .policy import KIND_LABEL, KINDS, SERVICE_LABEL, SERVICES, SITE_LABEL, Policy
from .strict import Refused

LARGEST_BODY = 256 * 1024  # bytes; a create call has a few thousand
_REF = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"
_IMAGE = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,254}"


@dataclass(frozen=True)
class Look:
    """What a reference means: kind is containers, networks, volumes or images."""

    kind: str
    ref: str

    @property
    def path(self) -> str:
        tail = "/json" if self.kind in ("containers", "images") else ""
        return f"/{self.kind}/{quote(self.ref, safe=':/')}{tail}"


@dataclass(frozen=True)
class Call:
    """What is asked of the engine. `narrow` makes a smaller answer of a JSON one; without it the bytes pass on."""

    method: str
    target: str
    body: bytes | None = None
    narrow: Callable[[Any], Any] | None = None


Answer = dict[str, Any] | None
Judgement = Generator[Look, Answer, Call]


@dataclass(frozen=True)
class Asked:
    """A request whose form was checked: version prefix, the route's names, query, body (None: there was none)."""

    method: str
    version: str  # "" or "/v1.41"
    path: str
    names: tuple[str, ...]
    query: dict[str, str]
    body: dict[str, Any] | None

    def on(self, path: str, query: Mapping[str, str] | None = None, **more: Any) -> Call:
        """The call to forward, with this path and query (default: the asked one)."""
        words = urlencode(self.query if query is None else query)
        return Call(self.method, f"{self.version}{path}{'?' + words if words else ''}", **more)


Judge = Callable[[Policy, Asked], Judgement]


@dataclass(frozen=True)
class Route:
    method: str
    path: re.Pattern[str]
    query: Mapping[str, str]  # name -> what its value may be, a pattern
    has_body: bool
    judge: Judge


def judge(policy: Policy, method: str, target: str, body: bytes) -> Judgement:
    """Judge one request as it came: method, raw target, whole body. Raises `Refused`."""
    version, path, query = split_target(target)
    route, names = _route(method, path)
    if len(body) > LARGEST_BODY:
        raise Refused("the body is too large", 413)
    if body and not route.has_body:
        raise Refused("this call has no body", 400)
    found = strict.parse_object(body) if route.has_body else None
    asked = Asked(method, version, path, names, _checked_query(query, route.query), found)
    return (yield from route.judge(policy, asked))


def split_target(target: str) -> tuple[str, str, str]:
    """Version prefix, path and raw query of a target; `Refused` (400) for whatever could be read in two ways."""
    path, _, query = target.partition("?")
    if not re.fullmatch(r"/[A-Za-z0-9_.:/-]*", path, re.ASCII) or len(target) > 4096:
        raise Refused("the path has characters that no call needs", 400)
    if any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise Refused("the path is not plain", 400)
    found = re.match(r"(/v1\.(?:2[4-9]|[3-9][0-9]))(?=/)", path, re.ASCII)
    version = found[1] if found else ""
    return version, path[len(version) :], query


def _route(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    for route in ROUTES:
        if route.method == method and (found := route.path.fullmatch(path)):
            return route, found.groups()
    raise Refused("this call is not among those that a hub needs")


def _checked_query(raw: str, allowed: Mapping[str, str]) -> dict[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16)
    except ValueError:
        raise Refused("the query cannot be read", 400) from None
    if ";" in raw or len({name for name, _ in pairs}) != len(pairs):
        raise Refused("the query can be read in two ways", 400)
    for name, value in pairs:
        if name not in allowed:
            raise Refused(f"the query's {name[:40]} is not known here")
        if len(value) > 2048 or not re.fullmatch(allowed[name], value, re.ASCII):
            raise Refused(f"the query's {name} may not have this value")
    return dict(pairs)


# --- what is ours


def _is_workspace(policy: Policy, found: dict[str, Any]) -> bool:
    labels = (found.get("Config") or {}).get("Labels") or {}
    name = str(found.get("Name", "")).removeprefix("/")
    return _has_our_labels(policy, labels) and policy.is_ours(name)


def _service_of(found: dict[str, Any]) -> str:
    """Which service of the compose file a container is; empty: a workspace."""
    return str(((found.get("Config") or {}).get("Labels") or {}).get(SERVICE_LABEL, ""))


def _is_service(policy: Policy, found: dict[str, Any]) -> bool:
    labels = (found.get("Config") or {}).get("Labels") or {}
    return labels.get(SITE_LABEL) == policy.site and labels.get(SERVICE_LABEL) in SERVICES and KIND_LABEL not in labels


def _has_our_labels(policy: Policy, labels: Mapping[str, str]) -> bool:
    return labels.get(SITE_LABEL) == policy.site and labels.get(KIND_LABEL) in KINDS and SERVICE_LABEL not in labels


def _workspace(policy: Policy, ref: str) -> Generator[Look, Answer, str]:
    """Its full id."""
    found = yield Look("containers", ref)
    if found is None:
        raise Refused(f"No such container: {ref}", 404)
    if not _is_workspace(policy, found):
        raise Refused("this container is not one of the hub's workspaces")
    return str(found["Id"])


def _network(policy: Policy, ref: str) -> Generator[Look, Answer, dict[str, Any]]:
    found = yield Look("networks", ref)
    if found is None:
        raise Refused(f"network {ref} not found", 404)
    if not (_has_our_labels(policy, found.get("Labels") or {}) and policy.is_ours(str(found.get("Name")))):
        raise Refused("this network is not one of the workspaces'")
    return found


def _volume(policy: Policy, name: str) -> Generator[Look, Answer, bool]:
    """Whether it exists. Docker makes a volume that a container names, so it may have no label; but none of others: the
    name may also be another site's, or a compose project's, that begins like ours."""
    if name in policy.shared_volumes:
        return True
    found = yield Look("volumes", name)
    if found is None:
        return False
    labels = found.get("Labels") or {}
    foreign = labels and not _has_our_labels(policy, labels)
    if found.get("Driver") != "local" or found.get("Options") or foreign:
        raise Refused("this volume was not made by the hub")
    return True


# --- the judgement of each route


def _as_it_is(_policy: Policy, asked: Asked) -> Judgement:
    yield from ()
    return asked.on(asked.path)


def _filters(asked: Asked) -> dict[str, list[str]]:
    """The query's filters: names, each with a list of texts."""
    found = strict.parse_object(asked.query.get("filters", "").encode() or b"{}")
    strict.mapping(strict.text("[a-z]{2,20}"), strict.each(strict.free(200)), most=8)(found, "filters")
    return found


def _list_ours(policy: Policy, asked: Asked) -> Judgement:
    """The label of the site is added to the filters: the engine leaves out what is not ours."""
    yield from ()
    filters = _filters(asked)
    filters["label"] = [*filters.get("label", []), f"{SITE_LABEL}={policy.site}"]
    return asked.on(asked.path, asked.query | {"filters": strict.object_to_json(filters).decode()})


def _list_volumes(policy: Policy, asked: Asked) -> Judgement:
    """Volumes that Docker made by itself have no label; the answer is cut down by name."""
    yield from ()
    _filters(asked)

    def narrow(answer: Any) -> Any:
        volumes = [each for each in answer.get("Volumes") or [] if policy.is_ours(str(each.get("Name")))]
        return {"Volumes": volumes, "Warnings": None}

    return asked.on(asked.path, narrow=narrow)


def _inspect_image(policy: Policy, asked: Asked) -> Judgement:
    image = yield from _allowed_image(policy, asked.names[0])
    return asked.on(f"/images/{image}/json")


def _allowed_image(policy: Policy, ref: str) -> Generator[Look, Answer, str]:
    """The id that the name has now, if it is one of the allowed images' ids."""
    found = yield Look("images", ref)
    if found is None:
        raise Refused(f"No such image: {ref}", 404)
    for name in policy.images:
        allowed = found if name == ref else (yield Look("images", name))
        if allowed is not None and allowed["Id"] == found["Id"]:
            return str(found["Id"])
    raise Refused("this image is not one of the workspaces'")


def _create_container(policy: Policy, asked: Asked) -> Judgement:
    body = asked.body or {}
    own = asked.query.get("name", "")
    if not policy.is_ours(own):
        raise Refused(f"a container's name must begin with {policy.prefix}")
    bodies.container_body(policy, own, body)
    host = body["HostConfig"]
    endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    for name in {host["NetworkMode"], *endpoints} - {"none"}:
        network = yield from _network(policy, name)
        if network["Name"] != name:
            raise Refused("a network must be given by its name")
    mounts = [each.get("Source") for each in host.get("Mounts") or [] if each["Type"] == "volume"]
    for name in {*(bind.split(":")[0] for bind in host.get("Binds") or []), *mounts}:
        yield from _volume(policy, name)
    image = yield from _allowed_image(policy, _image_name(body["Image"]))
    return asked.on(asked.path, body=strict.object_to_json(body | {"Image": image}))


def _image_name(value: str) -> str:
    strict.text(_IMAGE, 255)(value, "Image")
    if any(part in ("", ".", "..") for part in value.split("/")):
        raise Refused("Image is not a plain name")
    return value


def _inspect_container(policy: Policy, asked: Asked) -> Judgement:
    found = yield Look("containers", asked.names[0])
    if found is None:
        raise Refused(f"No such container: {asked.names[0]}", 404)
    path = f"/containers/{found['Id']}/json"
    if _is_workspace(policy, found):
        return asked.on(path)
    if _is_service(policy, found):
        return asked.on(path, narrow=_without_secrets)
    raise Refused("this container is not one of the hub's workspaces")


def _without_secrets(answer: Any) -> Any:
    """Of a service: where it is and how it is, not its environment, command or mounts."""
    kept = {
        key: answer.get(key) for key in ("Id", "Name", "Created", "State", "Image", "RestartCount", "NetworkSettings")
    }
    return kept | {"Config": {"Labels": (answer.get("Config") or {}).get("Labels")}}


def _of_workspace(action: str) -> Judge:
    def judged(policy: Policy, asked: Asked) -> Judgement:
        found = yield from _workspace(policy, asked.names[0])
        return asked.on(f"/containers/{found}{action}")

    return judged


def _create_network(policy: Policy, asked: Asked) -> Judgement:
    yield from ()
    body = asked.body or {}
    bodies.network_body(policy, body)
    return asked.on(asked.path, body=strict.object_to_json(body))


def _of_network(policy: Policy, asked: Asked) -> Judgement:
    found = yield from _network(policy, asked.names[0])
    return asked.on(f"/networks/{found['Id']}")


def _connect(policy: Policy, asked: Asked) -> Judgement:
    body = asked.body or {}
    bodies.connect_body(policy, body)
    network = yield from _network(policy, asked.names[0])
    found = yield Look("containers", body["Container"])
    if found is None:
        raise Refused(f"No such container: {body['Container']}", 404)
    if not (_is_workspace(policy, found) or _is_service(policy, found)):
        raise Refused("this container may not be attached to a workspace's network")
    bodies.aliases(body, _service_of(found))
    return asked.on(f"/networks/{network['Id']}/connect", body=strict.object_to_json(body | {"Container": found["Id"]}))


def _disconnect(policy: Policy, asked: Asked) -> Judgement:
    """Whatever is attached to a network of ours may be taken off it, also what is no container any more."""
    body = asked.body or {}
    bodies.disconnect_body(policy, body)
    network = yield from _network(policy, asked.names[0])
    return asked.on(f"/networks/{network['Id']}/disconnect", body=strict.object_to_json(body))


def _create_volume(policy: Policy, asked: Asked) -> Judgement:
    body = asked.body or {}
    bodies.volume_body(policy, body)
    yield from _volume(policy, body["Name"])
    return asked.on(asked.path, body=strict.object_to_json(body))


def _of_volume(policy: Policy, asked: Asked) -> Judgement:
    name = asked.names[0]
    if not policy.is_ours(name):
        raise Refused(f"a volume's name must begin with {policy.prefix}")
    if not (yield from _volume(policy, name)):
        raise Refused(f"get {name}: no such volume", 404)
    return asked.on(asked.path)


_FLAG = "0|1|true|false|True|False|"
_NO = "0|false|False|"
_TIME = r"[0-9]{1,12}(?:\.[0-9]{1,9})?|"
_COUNT = "-?[0-9]{1,9}|"
_ANY = "(?s:.*)"
_LOGS = dict.fromkeys(("stdout", "stderr", "follow", "timestamps", "details"), _FLAG) | {
    "since": _TIME,
    "tail": "all|" + _COUNT,
}


def _to(method: str, path: str, judged: Judge, **query: str) -> Route:
    return Route(method, re.compile(path, re.ASCII), query, False, judged)


def _with_body(path: str, judged: Judge, **query: str) -> Route:
    return Route("POST", re.compile(path, re.ASCII), query, True, judged)


ROUTES = (
    _to("GET", "/_ping", _as_it_is),
    _to("HEAD", "/_ping", _as_it_is),
    _to("GET", "/version", _as_it_is),
    _to("GET", "/info", _as_it_is),
    _to("GET", "/events", _list_ours, since=_TIME, until=_TIME, filters=_ANY),
    _to("GET", f"/images/({_IMAGE})/json", _inspect_image),
    _with_body("/containers/create", _create_container, name=_REF),
    _to("GET", "/containers/json", _list_ours, all=_FLAG, limit=_COUNT, size=_FLAG, trunc_cmd=_FLAG, filters=_ANY),
    _to("GET", f"/containers/({_REF})/json", _inspect_container, size=_FLAG),
    _to("POST", f"/containers/({_REF})/start", _of_workspace("/start")),
    _to("POST", f"/containers/({_REF})/stop", _of_workspace("/stop"), t=_COUNT),
    _to("POST", f"/containers/({_REF})/kill", _of_workspace("/kill"), signal="[A-Z0-9]{1,12}"),
    _to("POST", f"/containers/({_REF})/wait", _of_workspace("/wait"), condition="[a-z-]{1,20}"),
    _to("GET", f"/containers/({_REF})/logs", _of_workspace("/logs"), **_LOGS),
    _to("GET", f"/containers/({_REF})/stats", _of_workspace("/stats"), stream=_FLAG),
    _to("DELETE", f"/containers/({_REF})", _of_workspace(""), v=_FLAG, force=_FLAG, link=_NO),
    _to("GET", "/networks", _list_ours, filters=_ANY),
    _with_body("/networks/create", _create_network),
    _to("GET", f"/networks/({_REF})", _of_network, verbose=_FLAG, scope="local|"),
    _to("DELETE", f"/networks/({_REF})", _of_network),
    _with_body(f"/networks/({_REF})/connect", _connect),
    _with_body(f"/networks/({_REF})/disconnect", _disconnect),
    _to("GET", "/volumes", _list_volumes, filters=_ANY),
    _with_body("/volumes/create", _create_volume),
    _to("GET", f"/volumes/({_REF})", _of_volume),
    _to("DELETE", f"/volumes/({_REF})", _of_volume, force=_FLAG),
)
"""Everything that goes on. Order matters: /containers/json before /containers/NAME."""
