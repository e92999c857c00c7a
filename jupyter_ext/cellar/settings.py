"""Where the model server is, read from a mapping that is passed in (an environment) or from the endpoint file. Pure.

Design note. A kernel learns its endpoint from its environment; but a kernel specification may start Python with an
environment of its own (a container's, `env -i`). So the workspace server also writes `ENDPOINT_FILE`, mode 0600, into
the Jupyter runtime directory, which belongs to one user. The environment wins over the file: it is what somebody set on
purpose for this one kernel.

A key that the workspace server hands on belongs to the address it was given for. A kernel where only VLLM_BASE_URL was
changed must not send it elsewhere; so the server says beside it, in `KEY_FOR`, which key goes to which origin. A key
that somebody sets in the kernel is another one, and goes where they say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

DEFAULT_BASE_URL = "http://localhost:8001/v1"
ENDPOINT_FILE = "cellar-endpoint.json"
"""In the Jupyter runtime directory. Written with mode 0600: it holds the key."""

KEY_FOR = "CELLAR_KEY_FOR"
"""The variable beside VLLM_API_KEY that says where a workspace server's key belongs: see `key_for`."""

READ_TIMEOUT = 300.0
"""Seconds of silence that are still a long prefill or a busy server; counted between two pieces of data, not in all."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


PROBLEMS = {
    "address": "is not an address like http://localhost:8001/v1",
    "user": "must not contain a user or password; the key goes into VLLM_API_KEY",
    "query": "must not have a query or fragment",
    "key": "must be one line of letters, digits and signs",
    "switch": "must be 0 or 1",
    "count": "must be a whole number, 0 or more",
    "seconds": "must be a number of seconds above 0",
    "file": "is not an endpoint; a restart of the Jupyter server writes it anew",
}
"""What can be wrong with a setting, by code."""


class SettingsError(ValueError):
    """A setting that cannot be used. `name` is the variable (or the file) to correct; the message begins with it, and
    goes on with what `PROBLEMS` says of the `code`. The hub's side, which speaks one language, gives words instead."""

    def __init__(self, name: str, code: str) -> None:
        super().__init__(f"{name} {PROBLEMS.get(code, code)}")
        self.name = name
        self.code = code


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model server or gateway, and how to reach it."""

    base_url: str = DEFAULT_BASE_URL  # no slash at its end
    api_key: str = ""
    gateway: bool = False  # Cellar's gateway: it retries by itself
    model: str = ""  # asked when nobody chose one; empty: the first one the server lists
    ca_bundle: str = ""  # PEM file; empty: the system's certificate authorities
    proxy: str = ""  # http://host:port; empty: none, whatever the proxy variables say
    read_timeout: float = READ_TIMEOUT  # seconds of silence
    max_tokens: int = 0  # of an answer; 0: a share of the model's context length
    key_withheld: bool = False  # there is a key, but it belongs to another address

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r})"  # never the key


def endpoint_from_env(env: Mapping[str, str], fallback: Endpoint | None = None) -> Endpoint:
    """Variables that are set win over `fallback` (the endpoint file's); `SettingsError` names the one that is wrong.

    VLLM_BASE_URL, VLLM_API_KEY, CELLAR_GATEWAY (0 or 1), CELLAR_MODEL, CELLAR_CA_BUNDLE, CELLAR_PROXY,
    CELLAR_READ_TIMEOUT (seconds), CELLAR_MAX_TOKENS. A workspace server's key (the file's, or the one that `KEY_FOR`
    names) is left out for a base URL of another origin.
    """
    known = fallback or Endpoint()
    changes: dict[str, Any] = {}
    if env.get("VLLM_BASE_URL", "").strip():
        changes["base_url"] = parse_base_url(env["VLLM_BASE_URL"], "VLLM_BASE_URL")
        if changes["base_url"] != known.base_url:
            known = Endpoint(
                api_key=known.api_key, key_withheld=_origin(changes["base_url"]) != _origin(known.base_url)
            )
    if env.get("VLLM_API_KEY"):
        changes["api_key"] = _parse_key(env["VLLM_API_KEY"], "VLLM_API_KEY")
        belongs, _, origin = env.get(KEY_FOR, "").partition(" ")
        there = _origin(changes.get("base_url", known.base_url))
        changes["key_withheld"] = belongs == _digest(changes["api_key"]) and origin != there
    if "CELLAR_GATEWAY" in env:
        changes["gateway"] = _parse_switch(env["CELLAR_GATEWAY"], "CELLAR_GATEWAY")
    for field, name in (("model", "CELLAR_MODEL"), ("ca_bundle", "CELLAR_CA_BUNDLE")):
        if env.get(name):
            changes[field] = env[name]
    if env.get("CELLAR_PROXY"):
        changes["proxy"] = parse_base_url(env["CELLAR_PROXY"], "CELLAR_PROXY")
    if env.get("CELLAR_READ_TIMEOUT"):
        changes["read_timeout"] = _parse_seconds(env["CELLAR_READ_TIMEOUT"], "CELLAR_READ_TIMEOUT")
    if env.get("CELLAR_MAX_TOKENS"):
        changes["max_tokens"] = _parse_count(env["CELLAR_MAX_TOKENS"], "CELLAR_MAX_TOKENS")
    found = msgspec.structs.replace(known, **changes)
    withheld = bool(found.api_key) and found.key_withheld
    return msgspec.structs.replace(found, api_key="" if withheld else found.api_key, key_withheld=withheld)


def key_for(endpoint: Endpoint) -> str:
    """What `KEY_FOR` says of this endpoint's key: a digest that tells it from others, and its origin."""
    return f"{_digest(endpoint.api_key)} {_origin(endpoint.base_url)}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _origin(base_url: str) -> str:
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def endpoint_to_json(endpoint: Endpoint) -> bytes:
    """The endpoint file's content."""
    return msgspec.json.encode(endpoint)


def parse_endpoint(data: bytes) -> Endpoint:
    """The endpoint file's content, checked like the environment; `SettingsError` names the file, and quotes nothing."""
    try:
        endpoint = msgspec.json.decode(data, type=Endpoint)
    except (msgspec.DecodeError, UnicodeError):
        raise SettingsError(ENDPOINT_FILE, "file") from None
    _parse_key(endpoint.api_key, ENDPOINT_FILE)
    return msgspec.structs.replace(endpoint, base_url=parse_base_url(endpoint.base_url, ENDPOINT_FILE))


def parse_base_url(value: str, name: str) -> str:
    """An http(s) address without query, fragment and user, and no slash at its end. Errors begin with `name`."""
    text = value.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise SettingsError(name, "address") from None
    if not usable or any(not c.isprintable() or c == " " for c in text):
        raise SettingsError(name, "address")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(name, "user")
    if parts.query or parts.fragment:
        raise SettingsError(name, "query")
    return text.rstrip("/")


def _parse_key(value: str, name: str) -> str:
    """One line of visible ASCII, as a header can carry it."""
    text = value.strip()
    if any(not "!" <= c <= "~" for c in text):
        raise SettingsError(name, "key")
    return text


def _parse_switch(value: str, name: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise SettingsError(name, "switch")
    return word in _TRUE


def _parse_count(value: str, name: str) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise SettingsError(name, "count")
    return int(text)


def _parse_seconds(value: str, name: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise SettingsError(name, "seconds")
    return seconds
