"""Where a provider of OpenID Connect is, by its own word, and how it is asked.

What is found at the configured issuer is believed letter for letter: it must call itself by exactly that address
(OpenID Connect Discovery 1.0, 4.3), and each of its addresses is https. No redirect is followed: whoever the provider
refers to would be told the hub's secret.
"""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cellar.settings import SettingsError
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

PLACE = "/.well-known/openid-configuration"
CONNECTING, ANSWERING = 5.0, 15.0  # seconds that it may take
LARGEST = 2**20  # bytes of what it says of itself


class Distrusted(Exception):
    """What is found at the issuer's address is not to be believed."""


class Endpoints(msgspec.Struct, frozen=True):
    """As the provider calls them."""

    authorize: str
    token: str
    userinfo: str


class _Document(msgspec.Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str


def is_safe(address: str) -> bool:
    """https, or this machine itself; and nothing in it that somebody else may read otherwise."""
    try:
        parts = urlsplit(address)
        host, is_whole = parts.hostname or "", bool(parts.port or parts.netloc)
    except ValueError:
        return False
    if not (host and is_whole and address.isascii() and address.isprintable()) or {*" \\#"} & {*address}:
        return False
    return parts.username is None and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_discovery(content: bytes, issuer: str) -> Endpoints:
    """Raises Distrusted."""
    try:
        found = msgspec.json.decode(content, type=_Document)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Distrusted(f"{issuer}{PLACE} is no description of a provider: {error}") from None
    if found.issuer != issuer:
        raise Distrusted(f"what is at CELLAR_OIDC_ISSUER {issuer} calls itself {found.issuer[:200]!r}")
    endpoints = Endpoints(found.authorization_endpoint, found.token_endpoint, found.userinfo_endpoint)
    for name, address in zip(endpoints.__struct_fields__, msgspec.structs.astuple(endpoints), strict=True):
        if not is_safe(address):
            raise Distrusted(f"the {name} address of {issuer} is not one of https: {address[:200]!r}")
    return endpoints


def carefully(request: HTTPRequest, ca: Path | None) -> HTTPRequest:
    """The same, that goes nowhere else; believed by the authority of `ca` alone, where there is one."""
    request.follow_redirects = False
    request.connect_timeout, request.request_timeout = CONNECTING, ANSWERING
    request.ca_certs = None if ca is None else str(ca)
    return request


async def discover(issuer: str, ca: Path | None) -> Endpoints:
    """Raises Distrusted, and OSError or HTTPClientError where there is nobody."""
    address = issuer.rstrip("/") + PLACE
    answer = await AsyncHTTPClient().fetch(carefully(HTTPRequest(address), ca), raise_error=False)
    if answer.code >= 500:  # 599: no answer at all
        raise answer.error or HTTPClientError(answer.code)
    if answer.code != 200:
        raise Distrusted(f"{address} answers {answer.code}, and the hub goes nowhere else")
    if len(answer.body) > LARGEST:
        raise Distrusted(f"{address} is too long")
    return parse_discovery(answer.body, issuer)


def check_ca(file: Path | None, variable: str) -> None:
    """Raises SettingsError for what is no file with certificates."""
    if file is None:
        return
    try:
        if not file.is_file():
            raise SettingsError(variable, f"is no file: {file}")
        found: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found.load_verify_locations(cafile=str(file))
        is_one = found.cert_store_stats()["x509"] > 0
    except ssl.SSLError:
        is_one = False
    except OSError as error:
        raise SettingsError(variable, f"cannot be read: {file}: {error.strerror}") from None
    if not is_one:
        raise SettingsError(variable, f"has no certificate in PEM (-----BEGIN CERTIFICATE-----): {file}")
