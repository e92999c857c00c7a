"""Settings of the hub side, read from an environment that is passed in. Each field carries its variable and its help.

A variable that is empty counts as not set, because compose files hand on empty ones. `SettingsError` begins with the
variable that is wrong, and never repeats a value that may be a secret.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cellar.settings import SettingsError, parse_base_url

Parse = Callable[[str, str], Any]
"""(value, variable) -> what the field holds; raises `SettingsError`."""

S = TypeVar("S")


def setting(variable: str, default: Any, parse: Parse, help: str) -> Any:
    """A field of a settings class."""
    return dataclasses.field(default=default, metadata={"variable": variable, "parse": parse, "help": help})


def read_settings(kind: type[S], env: Mapping[str, str]) -> S:
    """An instance of a class of `setting` fields, from what is set in `env`."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # a type variable cannot be bound to dataclasses
        variable = field.metadata["variable"]
        value = env.get(variable, "").strip()
        if value:
            found[field.name] = field.metadata["parse"](value, variable)
    return kind(**found)


# ---------------------------------------------------------------------------------------------------------------------
# What a value may be


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
    """ADDRESS:PORT, an IPv6 address in brackets."""
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port) if port.isascii() and port.isdecimal() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65_535:
        raise SettingsError(variable, "must be ADDRESS:PORT, like 0.0.0.0:8080")
    return host, number


# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """`python -m cellar_hub.gateway`."""

    listen: tuple[str, int] = setting(
        "CELLAR_GATEWAY_LISTEN", ("0.0.0.0", 8080), parse_listen, "where users' requests are taken"
    )
    operations: tuple[str, int] = setting(
        "CELLAR_GATEWAY_OPERATIONS",
        ("0.0.0.0", 8090),
        parse_listen,
        "where /healthz, /metrics and /revoke are; no workspace may reach it",
    )
    name: str = setting(
        "CELLAR_GATEWAY_NAME",
        "gateway-1",
        parse_text,
        "of this process in the audit; each of several gateways has its own",
    )
    data: Path = setting("CELLAR_DATA", Path("/var/lib/cellar"), parse_path, "directory for what is kept")
    database_url: str = setting(
        "CELLAR_DATABASE_URL",
        "",
        parse_text,
        "sqlite:///FILE or postgresql+psycopg://...; absent: SQLite in CELLAR_DATA",
    )
    models: Path | None = setting(
        "CELLAR_MODELS", None, parse_path, "file with the table of model servers (TOML or JSON)"
    )
    base_url: str = setting("VLLM_BASE_URL", "", parse_base_url, "the one model server, when there is no CELLAR_MODELS")
    api_key: str = setting("VLLM_API_KEY", "", parse_key, "its key")
    max_inflight: int = setting("CELLAR_MAX_INFLIGHT", 32, parse_count(1, 4096), "requests at that one server at once")
    priority: str = setting(
        "CELLAR_PRIORITY", "off", parse_choice("on", "off"), "on: that server runs --scheduling-policy priority"
    )
    policy: Path | None = setting(
        "CELLAR_POLICY", None, parse_path, "file with limits by group (TOML); read again when it changes"
    )
    audit_keys: Path | None = setting(
        "CELLAR_AUDIT_KEYS",
        None,
        parse_path,
        "file with the audit's keys, made at first; absent: audit-keys in CELLAR_DATA",
    )
    audit_heads: Path | None = setting(
        "CELLAR_AUDIT_HEADS", None, parse_path, "file on another volume for the heads of the audit's chains"
    )
    hub_api_url: str = setting("CELLAR_HUB_API_URL", "http://hub:8081/hub/api", parse_base_url, "JupyterHub's API")
    token: str = setting(
        "CELLAR_GATEWAY_TOKEN", "", parse_secret, "the gateway's service token; the hub shows it to revoke"
    )
    time_zone: ZoneInfo = setting(
        "CELLAR_TIME_ZONE", ZoneInfo("UTC"), parse_zone, "in which days and months of quotas begin"
    )
    redis_url: str = setting(
        "CELLAR_REDIS_URL",
        "",
        parse_text,
        "counts requests per minute for several gateways; absent: each counts its own",
    )
    max_wait: float = setting("CELLAR_MAX_WAIT", 120.0, parse_seconds(1, 3600), "seconds in the queue at most")
    max_waiting: int = setting(
        "CELLAR_MAX_WAITING", 1000, parse_count(0, 100_000), "requests in one server's queue at most"
    )
    max_body: int = setting(
        "CELLAR_MAX_BODY", 16 * 1024 * 1024, parse_count(1024, 1024**3), "bytes of a request at most"
    )
    read_timeout: float = setting(
        "CELLAR_READ_TIMEOUT", 300.0, parse_seconds(1), "seconds of a model server's silence at most"
    )
    stop_grace: float = setting(
        "CELLAR_STOP_GRACE", 10.0, parse_seconds(0, 600), "seconds that running answers have at a shutdown"
    )
    ca_bundle: str = setting("CELLAR_CA_BUNDLE", "", parse_text, "PEM file for model servers with https")
    log_level: str = setting(
        "CELLAR_LOG_LEVEL", "info", parse_choice("debug", "info", "warning", "error"), "what is logged"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> GatewaySettings:
        """Raises `SettingsError`."""
        found = read_settings(cls, env)
        if found.models is None and not found.base_url:
            raise SettingsError("VLLM_BASE_URL", "must name the model server, or CELLAR_MODELS a table of them")
        return found

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'cellar.db'}"
