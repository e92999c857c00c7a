"""What the value of a variable may be: `parse_x(value, variable)` gives what the setting holds. Pure.

All raise `SettingsError`, which begins with the variable; one whose value may be a secret does not repeat it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cellar.settings import SettingsError, parse_base_url

Parse = Callable[[str, str], Any]
"""(value, variable) -> what the setting holds."""


def parse_text(value: str, variable: str) -> str:
    if any(not c.isprintable() for c in value):
        raise SettingsError(variable, "must be one printable line")
    return value


def parse_secret(value: str, variable: str) -> str:
    """As a header can carry it, and long enough not to be guessed."""
    if any(not "!" <= c <= "~" for c in value):
        raise SettingsError(variable, "must be one line of letters, digits and signs")
    if len(value) < 16:
        raise SettingsError(variable, "must have at least 16 characters")
    return value


def parse_key(value: str, variable: str) -> str:
    """Somebody else's key: as a header can carry it."""
    if any(not "!" <= c <= "~" for c in value):
        raise SettingsError(variable, "must be one line of letters, digits and signs")
    return value


def parse_path(value: str, variable: str) -> Path:
    return Path(parse_text(value, variable))


def parse_count(least: int = 0, most: int = 10**9) -> Parse:
    def parse(value: str, variable: str) -> int:
        if not (value.isascii() and value.isdecimal() and len(value) < 12 and least <= int(value) <= most):
            raise SettingsError(variable, f"must be a whole number from {least} to {most}")
        return int(value)

    return parse


def parse_seconds(least: float = 0.0, most: float = 86_400.0) -> Parse:
    def parse(value: str, variable: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not least <= number <= most:
            raise SettingsError(variable, f"must be a number of seconds from {least:g} to {most:g}")
        return number

    return parse


def parse_choice(*words: str) -> Parse:
    def parse(value: str, variable: str) -> str:
        if value.lower() not in words:
            raise SettingsError(variable, f"must be one of {', '.join(words)}")
        return value.lower()

    return parse


def parse_zone(value: str, variable: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(variable, "is no time zone's name, like Asia/Seoul") from None


def parse_listen(value: str, variable: str) -> tuple[str, int]:
    """ADDRESS:PORT, an IPv6 address in brackets, or NAME:PORT for whatever address the name has at start."""
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else -1
    if not 0 <= number <= 65_535 or not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", host):
        raise SettingsError(variable, "must be ADDRESS:PORT, like 0.0.0.0:8080")
    return host, number


def parse_redis(value: str, variable: str) -> str:
    """The value may hold a password, so it is not repeated."""
    scheme, _, rest = parse_text(value, variable).partition("://")
    if scheme not in ("redis", "rediss", "redis+unix") or not rest:
        raise SettingsError(variable, "must be redis://[:PASSWORD@]HOST:PORT/NUMBER, or rediss:// with TLS")
    return value


def parse_words(value: str, variable: str) -> tuple[str, ...]:
    """Words between commas or spaces."""
    return tuple(word for word in re.split(r"[,\s]+", value) if word)


def parse_cores(value: str, variable: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,3})?", value, re.ASCII) or not float(value):
        raise SettingsError(variable, "must be a number of processor cores like 2 or 0.5")
    return float(value)


_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_size(value: str, variable: str) -> int:
    """Bytes of "512M", "4G", ..."""
    found = re.fullmatch(r"([0-9]{1,12})([KMGT]?)", value, re.ASCII)
    if not found or not int(found[1]):
        raise SettingsError(variable, "must be a size like 512M or 4G")
    return int(found[1]) * _SIZES[found[2]]


def parse_origin(value: str, variable: str) -> str:
    """An http or https address without path, query or user; a slash at its end is dropped."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.rstrip("/") or parts.query:
        raise SettingsError(variable, "must be an address like https://hub.example.org")
    if parts.username is not None:
        raise SettingsError(variable, "must not hold a user name")
    return value.rstrip("/")


def parse_issuer(value: str, variable: str) -> str:
    """An http(s) address, kept letter for letter: with the slash at its end, if it has one."""
    parse_base_url(value, variable)
    return value


def parse_workers(value: str, variable: str) -> tuple[str, ...]:
    """Addresses of the servers behind a vllm-router."""
    found = parse_words(value, variable)
    for address in found:
        try:
            parse_origin(address, variable)
        except (SettingsError, ValueError):
            raise SettingsError(
                variable, f"must be addresses like http://gpu1:8001, without /v1, with spaces between them: {address!r}"
            ) from None
    if len(set(found)) != len(found):
        raise SettingsError(variable, "names a server twice")
    return found


def parse_parent_origin(value: str, variable: str) -> str:
    """An origin below which there may be others: of a name, since an address has none below it."""
    host = urlsplit(parse_origin(value, variable)).hostname or ""
    if ":" in host or host.replace(".", "").isdigit():
        raise SettingsError(variable, "must have a name: nothing can be below an address")
    return value.rstrip("/")


def parse_base_path(value: str, variable: str) -> str:
    if not re.fullmatch(r"/(?:[A-Za-z0-9._~-]+/)*", value, re.ASCII):
        raise SettingsError(variable, "must be a path like / or /jupyter/")
    return value


def parse_pool(value: str, variable: str) -> ipaddress.IPv4Network:
    try:
        found = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise SettingsError(variable, f"must be a network like 10.213.0.0/16: {error}") from None
    if found.prefixlen > 28 or not found.is_private:
        raise SettingsError(variable, "must be a private network of /28 or larger: each workspace takes a /28 of it")
    return found


def parse_site(value: str, variable: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", value, re.ASCII):
        raise SettingsError(variable, "must be lowercase letters, digits and '-', at most 31")
    return value


def parse_images(value: str, variable: str) -> dict[str, str]:
    """`label=image` or just the image, several with commas: label -> image as the engine knows it."""
    found: dict[str, str] = {}
    for word in parse_words(value, variable):
        label, _, image = word.rpartition("=")
        label = label or image
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,254}", image, re.ASCII) or label in found:
            raise SettingsError(
                variable, f"must be images like data=cellar-workspace:1, each label once; {word[:80]!r} is not"
            )
        found[label] = image
    return found


def parse_volumes(value: str, variable: str) -> tuple[str, ...]:
    for name in parse_words(value, variable):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name, re.ASCII):
            raise SettingsError(variable, f"must be names of volumes; {name[:60]!r} is none")
    return parse_words(value, variable)


def parse_absolute(value: str, variable: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/-]+", value, re.ASCII) or ".." in value:
        raise SettingsError(variable, "must be an absolute path")
    return value.rstrip("/")


def parse_word(value: str, variable: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", value, re.ASCII):
        raise SettingsError(variable, "must be one word of letters, digits and _ . : -")
    return value


def parse_name_of_file(value: str, variable: str) -> str:
    """Of one in a certain folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value, re.ASCII):
        raise SettingsError(variable, "must be the name of a file: letters, digits and _ . -")
    return value


def parse_ldap(value: str, variable: str) -> str:
    """An address of a directory, always with its port."""
    problem = "must be ldaps://HOST[:PORT] or ldap://HOST[:PORT]"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise SettingsError(variable, problem) from None
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path.rstrip("/") or parts.query:
        raise SettingsError(variable, problem)
    if parts.username is not None:
        raise SettingsError(variable, "must not hold a user: CELLAR_LDAP_BIND_DN is for that")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or (636 if parts.scheme == 'ldaps' else 389)}"
