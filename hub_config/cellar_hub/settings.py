"""Settings of the hub side, read from an environment that is passed in. Each field carries its variable and its help.

A variable that is empty counts as not set, because compose files hand on empty ones. `SettingsError` begins with the
variable that is wrong, and never repeats a value that may be a secret.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from cellar.settings import SettingsError, parse_base_url

from cellar_hub.values import (
    Parse,
    parse_absolute,
    parse_base_path,
    parse_choice,
    parse_cores,
    parse_count,
    parse_images,
    parse_issuer,
    parse_key,
    parse_ldap,
    parse_listen,
    parse_name_of_file,
    parse_origin,
    parse_parent_origin,
    parse_path,
    parse_pool,
    parse_redis,
    parse_seconds,
    parse_secret,
    parse_site,
    parse_size,
    parse_text,
    parse_volumes,
    parse_word,
    parse_words,
    parse_workers,
    parse_zone,
)

S = TypeVar("S")


REQUIRED: Any = dataclasses.MISSING
"""The default of a setting that must be given."""


def setting(variable: str, default: Any, parse: Parse, help: str, secret: bool = False) -> Any:
    """A field of a settings class; a secret one is left out of its `repr`."""
    metadata = {"variable": variable, "parse": parse, "help": help}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def described(kind: type[Any]) -> Iterator[tuple[str, str, Any]]:
    """(variable, help, default) of each setting of a class; the default of one that must be given is REQUIRED."""
    for field in dataclasses.fields(kind):
        yield field.metadata["variable"], field.metadata["help"], field.default


def read_settings(kind: type[S], env: Mapping[str, str]) -> S:
    """An instance of a class of `setting` fields, from what is set in `env`. Raises `SettingsError`."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # a type variable cannot be bound to dataclasses
        variable = field.metadata["variable"]
        value = env.get(variable, "").strip()
        if value:
            found[field.name] = field.metadata["parse"](value, variable)
        elif field.default is REQUIRED:
            raise SettingsError(variable, f"must be set: {field.metadata['help']}")
    return kind(**found)


def _reverse_proxies() -> Any:
    return setting(
        "CELLAR_REVERSE_PROXIES",
        0,
        parse_count(0, 8),
        "How many reverse proxies of yours stand before the hub's own; the audit takes addresses from X-Forwarded-For",
    )


def _pool() -> Any:
    return setting(
        "CELLAR_WORKSPACE_POOL",
        ipaddress.IPv4Network("10.213.0.0/16"),
        parse_pool,
        "Addresses for workspaces' networks, a /28 each; nothing else may use them",
    )


@dataclass(frozen=True, kw_only=True)
class BooksSettings:
    """What everybody needs who keeps the books: the gateway and the console."""

    data: Path = setting("CELLAR_DATA", Path("/var/lib/cellar"), parse_path, "directory for what is kept")
    database_url: str = setting(
        "CELLAR_DATABASE_URL",
        "",
        parse_text,
        "sqlite:///FILE or postgresql+psycopg://...; absent: SQLite in CELLAR_DATA",
        secret=True,
    )
    policy: Path | None = setting(
        "CELLAR_POLICY",
        None,
        parse_path,
        "File with limits, destinations and announcements (TOML), read again when it changes; in the volume policy an"
        " admin may change it from a page, in your own folder it is yours alone",
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
    audit_syslog: str = setting(
        "CELLAR_AUDIT_SYSLOG", "", parse_text, "where those heads go too: a socket like /dev/log, or HOST:PORT (UDP)"
    )
    pool: ipaddress.IPv4Network = _pool()
    reverse_proxies: int = _reverse_proxies()
    hub_api_url: str = setting("CELLAR_HUB_API_URL", "http://hub:8081/hub/api", parse_base_url, "JupyterHub's API")
    base_path: str = setting("CELLAR_BASE_PATH", "/", parse_base_path, "path under which the hub lives")
    time_zone: ZoneInfo = setting(
        "CELLAR_TIME_ZONE", ZoneInfo("UTC"), parse_zone, "in which days and months of quotas begin"
    )
    log_level: str = setting(
        "CELLAR_LOG_LEVEL", "info", parse_choice("debug", "info", "warning", "error"), "what is logged"
    )

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'cellar.db'}"


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(BooksSettings):
    """`python -m cellar_hub.gateway`."""

    listen: tuple[str, int] = setting(
        "CELLAR_GATEWAY_LISTEN", ("0.0.0.0", 8080), parse_listen, "where users' requests are taken"
    )
    operations: tuple[str, int] = setting(
        "CELLAR_GATEWAY_OPERATIONS",
        ("0.0.0.0", 8090),
        parse_listen,
        "where /healthz, /metrics, /revoke and /forwarded are; no workspace may reach it",
    )
    name: str = setting(
        "CELLAR_GATEWAY_NAME",
        "gateway-1",
        parse_text,
        "of this process in the audit; each of several gateways has its own",
    )
    models: Path | None = setting(
        "CELLAR_MODELS", None, parse_path, "file with the table of model servers (TOML or JSON)"
    )
    base_url: str = setting("VLLM_BASE_URL", "", parse_base_url, "the one model server, when there is no CELLAR_MODELS")
    api_key: str = setting("VLLM_API_KEY", "", parse_key, "its key", secret=True)
    max_inflight: int = setting("CELLAR_MAX_INFLIGHT", 32, parse_count(1, 4096), "requests at that one server at once")
    gateways: int = setting(
        "CELLAR_GATEWAYS", 1, parse_count(1, 64), "how many gateways run; each gets its share of the places"
    )
    priority: str = setting(
        "CELLAR_PRIORITY", "off", parse_choice("on", "off"), "on: that server runs --scheduling-policy priority"
    )
    workers: tuple[str, ...] = setting(
        "VLLM_ROUTER_WORKERS",
        (),
        parse_workers,
        "addresses of the servers behind vllm-router, which VLLM_BASE_URL names; each tells its own metrics",
    )
    token: str = setting(
        "CELLAR_GATEWAY_TOKEN",
        "",
        parse_secret,
        "the gateway's service token; the hub shows it to revoke",
        secret=True,
    )
    forwarder_token: str = setting(
        "CELLAR_FORWARDER_TOKEN",
        "",
        parse_secret,
        "Secret between forwarders (docker-compose.intranet.yml) and gateway, 16 characters at least",
        secret=True,
    )
    forwarders: int = setting(
        "CELLAR_FORWARDERS", 0, parse_count(0, 8), "how many forwarders run; docker-compose.intranet.yml sets it"
    )
    redis_url: str = setting(
        "CELLAR_REDIS_URL",
        "",
        parse_redis,
        "counts requests per minute for several gateways, and tells them what is revoked; absent: each is alone",
        secret=True,
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

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> GatewaySettings:
        """Raises `SettingsError`."""
        found = read_settings(cls, env)
        if found.models is None and not found.base_url:
            raise SettingsError("VLLM_BASE_URL", "must name the model server, or CELLAR_MODELS a table of them")
        return found


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings(BooksSettings):
    """`python -m cellar_hub.console`."""

    listen: tuple[str, int] = setting(
        "CELLAR_CONSOLE_LISTEN", ("0.0.0.0", 8070), parse_listen, "where the proxy finds the console"
    )
    token: str = setting(
        "CELLAR_CONSOLE_TOKEN", REQUIRED, parse_secret, "the console's service token at the hub", secret=True
    )
    gateway_token: str = setting(
        "CELLAR_GATEWAY_TOKEN", REQUIRED, parse_secret, "with which the gateway is told who is blocked", secret=True
    )
    gateway_operations: str = setting(
        "CELLAR_GATEWAY_OPERATIONS_URL", "http://gateway:8090", parse_origin, "The gateway's second port"
    )
    subdomain_host: str = setting(
        "CELLAR_SUBDOMAIN_HOST",
        "",
        parse_parent_origin,
        "An origin for each workspace, below this one: https://hub.example.org (wildcard DNS and certificate)",
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ConsoleSettings:
        """Raises `SettingsError`."""
        return read_settings(cls, env)


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    """JupyterHub, its spawner, and the process that keeps workspaces' networks and volumes in order."""

    site: str = setting(
        "CELLAR_SITE", "cellar", parse_site, "Name of this installation; containers, networks and volumes begin with it"
    )
    data: Path = setting("CELLAR_DATA", Path("/var/lib/cellar"), parse_path, "Directory of the hub's own files")
    database: str = setting(
        "CELLAR_HUB_DATABASE_URL",
        "",
        parse_text,
        "JupyterHub's own database; empty: SQLite in CELLAR_DATA",
        secret=True,
    )
    public_url: str = setting(
        "CELLAR_PUBLIC_URL", "", parse_origin, "Address that browsers use, https://hub.example.org"
    )
    base_path: str = setting("CELLAR_BASE_PATH", "/", parse_base_path, "Path under which the hub lives")
    subdomain_host: str = setting(
        "CELLAR_SUBDOMAIN_HOST",
        "",
        parse_parent_origin,
        "An origin for each workspace, below this one: https://hub.example.org (wildcard DNS and certificate)",
    )
    admins: tuple[str, ...] = setting("CELLAR_ADMINS", (), parse_words, "Names of the first administrators")
    login: str = setting(
        "CELLAR_LOGIN",
        "local",
        parse_choice("local", "pam", "ldap", "oidc"),
        "Where passwords are: local (accounts of this hub), pam (of the machine), ldap, oidc (docs/login.md)",
    )
    login_names: tuple[str, ...] = setting(
        "CELLAR_LOGIN_NAMES", (), parse_words, "Who is let in by name, where a directory has the passwords"
    )
    login_groups: tuple[str, ...] = setting(
        "CELLAR_LOGIN_GROUPS", (), parse_words, "Whose members are let in: names of the directory's groups"
    )
    hub_groups: tuple[str, ...] = setting(
        "CELLAR_HUB_GROUPS",
        (),
        parse_words,
        "Groups of the directory that become groups of the hub, which has then no others; for policy and profiles",
    )
    pam_service: str = setting(
        "CELLAR_PAM_SERVICE", "login", parse_name_of_file, "The file in /etc/pam.d that is asked"
    )
    ldap_server: str = setting(
        "CELLAR_LDAP_SERVER", "", parse_ldap, "The directory: ldaps://HOST[:PORT], or ldap://HOST[:PORT] with StartTLS"
    )
    ldap_tls: str = setting(
        "CELLAR_LDAP_TLS", "on", parse_choice("on", "off"), "off: passwords travel in clear text (ldap:// alone)"
    )
    ldap_ca: Path | None = setting(
        "CELLAR_LDAP_CA", None, parse_path, "PEM file with the authority behind its certificate; empty: the system's"
    )
    ldap_user_dn: str = setting(
        "CELLAR_LDAP_USER_DN",
        "",
        parse_text,
        "Where somebody's entry is: uid={username},ou=people,dc=example,dc=org; or CELLAR_LDAP_USER_BASE",
    )
    ldap_user_base: str = setting(
        "CELLAR_LDAP_USER_BASE",
        "",
        parse_text,
        "Below which somebody's entry is looked for, when it has no fixed place",
    )
    ldap_user_attribute: str = setting(
        "CELLAR_LDAP_USER_ATTRIBUTE", "uid", parse_word, "By which attribute; sAMAccountName in Active Directory"
    )
    ldap_bind_dn: str = setting("CELLAR_LDAP_BIND_DN", "", parse_text, "As whom the hub looks for it; empty: as nobody")
    ldap_bind_password: str = setting(
        "CELLAR_LDAP_BIND_PASSWORD", "", parse_text, "And with which password", secret=True
    )
    ldap_group_base: str = setting(
        "CELLAR_LDAP_GROUP_BASE",
        "",
        parse_text,
        "The entry right above the groups that are named in these settings: ou=groups,dc=example,dc=org",
    )
    oidc_name: str = setting(
        "CELLAR_OIDC_NAME", "OpenID Connect", parse_text, "What the button at the log-in page says"
    )
    oidc_client: str = setting("CELLAR_OIDC_CLIENT_ID", "", parse_text, "The hub's name at the provider")
    oidc_secret: str = setting("CELLAR_OIDC_CLIENT_SECRET", "", parse_key, "And its secret", secret=True)
    oidc_issuer: str = setting(
        "CELLAR_OIDC_ISSUER",
        "",
        parse_issuer,
        "The provider, as it calls itself (`issuer` in its openid-configuration), letter for letter; it says the rest",
    )
    oidc_ca: Path | None = setting(
        "CELLAR_OIDC_CA", None, parse_path, "PEM file with the authority behind its certificate; empty: the system's"
    )
    oidc_authorize_url: str = setting(
        "CELLAR_OIDC_AUTHORIZE_URL", "", parse_base_url, "Without it: authorization_endpoint there"
    )
    oidc_token_url: str = setting("CELLAR_OIDC_TOKEN_URL", "", parse_base_url, "token_endpoint there")
    oidc_userinfo_url: str = setting("CELLAR_OIDC_USERINFO_URL", "", parse_base_url, "userinfo_endpoint there")
    oidc_scopes: tuple[str, ...] = setting(
        "CELLAR_OIDC_SCOPES", ("openid", "profile"), parse_words, "Scopes that are asked for"
    )
    oidc_username_claim: str = setting(
        "CELLAR_OIDC_USERNAME_CLAIM",
        "preferred_username",
        parse_word,
        "Claim that is the user's name, and never changes",
    )
    oidc_groups_claim: str = setting(
        "CELLAR_OIDC_GROUPS_CLAIM", "groups", parse_word, "Claim that lists the user's groups"
    )
    signup: str = setting(
        "CELLAR_SIGNUP",
        "on",
        parse_choice("on", "off"),
        "on: people may ask for a local account at the log-in page, and an administrator decides",
    )
    signups_waiting: int = setting(
        "CELLAR_SIGNUPS_WAITING",
        200,
        parse_count(0, 10_000),
        "How many of them may wait for that decision; of one network (/24, /48 of IPv6) no more than are still free",
    )
    signup_days: int = setting(
        "CELLAR_SIGNUP_DAYS", 30, parse_count(0, 3650), "Days after which an undecided one is dropped; 0: never"
    )
    signups_of_one: int = setting(
        "CELLAR_SIGNUPS_PER_ADDRESS", 50, parse_count(1, 10_000), "How many may ask from one address in a day"
    )
    proxy_api: str = setting(
        "CELLAR_PROXY_API_URL",
        "http+unix://%2Frun%2Fcellar%2Fproxy.sock",
        parse_text,
        "The proxy's REST API; a unix socket that it shares with the hub alone",
    )
    proxy_token: str = setting(
        "CONFIGPROXY_AUTH_TOKEN", REQUIRED, parse_secret, "Secret of the proxy's REST API", secret=True
    )
    gateway_token: str = setting(
        "CELLAR_GATEWAY_TOKEN", REQUIRED, parse_secret, "The gateway's service token at the hub", secret=True
    )
    commands_token: str = setting(
        "CELLAR_COMMANDS_TOKEN", "", parse_secret, "Secret of the command line cellar-hub at the hub", secret=True
    )
    hub_url: str = setting("CELLAR_HUB_URL", "http://hub:8081", parse_origin, "Where proxy and services find the hub")
    gateway_url: str = setting(
        "CELLAR_GATEWAY_URL", "http://gateway:8080", parse_origin, "Where the proxy finds the gateway"
    )
    gateway_operations: str = setting(
        "CELLAR_GATEWAY_OPERATIONS_URL",
        "http://gateway:8090",
        parse_origin,
        "The gateway's second port, for /revoke and /events",
    )
    console_url: str = setting(
        "CELLAR_CONSOLE_URL", "http://console:8070", parse_origin, "Where the proxy finds the console"
    )
    console_token: str = setting(
        "CELLAR_CONSOLE_TOKEN",
        "",
        parse_secret,
        "The console's service token at the hub; empty: no console",
        secret=True,
    )
    docker: str = setting(
        "DOCKER_HOST", "unix:///var/run/docker.sock", parse_text, "Where Docker's API is: the socket filter's socket"
    )
    images: dict[str, str] = setting(
        "CELLAR_WORKSPACE_IMAGES",
        REQUIRED,
        parse_images,
        "Images that may be started, label=image; the first is the default",
    )
    pool: ipaddress.IPv4Network = _pool()
    reverse_proxies: int = _reverse_proxies()
    home: str = setting(
        "CELLAR_WORKSPACE_HOME",
        "/home/user",
        parse_absolute,
        "The user's home in the image; its owner there owns the volume",
    )
    profiles: Path | None = setting("CELLAR_PROFILES", None, parse_path, "Profiles by group (TOML); empty: one for all")
    policy: Path | None = setting(
        "CELLAR_POLICY",
        None,
        parse_path,
        "File with limits, destinations and announcements (TOML), read again when it changes; in the volume policy an"
        " admin may change it from a page, in your own folder it is yours alone",
    )
    forwarders: int = setting(
        "CELLAR_FORWARDERS", 0, parse_count(0, 8), "how many forwarders run; docker-compose.intranet.yml sets it"
    )
    leases: Path = setting(
        "CELLAR_LEASES",
        Path("/run/cellar-leases"),
        parse_path,
        "folder in which forwarders are told whose a network is",
    )
    cpus: float = setting("CELLAR_WORKSPACE_CPUS", 2.0, parse_cores, "Processor cores of a workspace")
    memory: int = setting("CELLAR_WORKSPACE_MEMORY", 4 * 1024**3, parse_size, "Memory of a workspace")
    pids: int = setting("CELLAR_WORKSPACE_PIDS", 1024, parse_count(64, 65536), "Processes and threads of a workspace")
    shared_volumes: tuple[str, ...] = setting(
        "CELLAR_SHARED_VOLUMES", (), parse_volumes, "Volumes that every workspace reads at /srv/shared/NAME"
    )
    wheelhouse: str = setting(
        "CELLAR_WHEELHOUSE_VOLUME", "", parse_text, "The one of CELLAR_SHARED_VOLUMES that pip installs from"
    )
    package_index: str = setting(
        "CELLAR_PACKAGE_INDEX",
        "",
        parse_base_url,
        "Your mirror of Python packages for pip, ending in /simple; its name must be a destination of the policy",
    )
    runtime: str = setting(
        "CELLAR_WORKSPACE_RUNTIME", "", parse_text, "Container runtime (runsc, kata); empty: Docker's"
    )
    # The socket filter's bounds, which it reads itself: what it would refuse at each start, the hub refuses at its own.
    filter_memory: int = setting(
        "CELLAR_FILTER_MAX_MEMORY_GB",
        64,
        parse_count(1, 999_999),
        "Memory of one workspace at most, GiB, whatever the hub asks for",
    )
    filter_cpus: int = setting(
        "CELLAR_FILTER_MAX_CPUS", 64, parse_count(1, 999_999), "Processor cores of one workspace at most"
    )
    filter_pids: int = setting(
        "CELLAR_FILTER_MAX_PIDS", 8192, parse_count(1, 999_999), "Processes of one workspace at most"
    )
    filter_gpus: tuple[str, ...] = setting(
        "CELLAR_FILTER_GPUS", (), parse_words, "Ids of the GPUs that workspaces may have, 0,1 or all; empty: none"
    )
    filter_runtimes: tuple[str, ...] = setting(
        "CELLAR_FILTER_RUNTIMES", (), parse_words, "Container runtimes besides Docker's own that workspaces may have"
    )
    max_workspaces: int = setting("CELLAR_MAX_WORKSPACES", 0, parse_count(0, 100000), "Workspaces at once; 0: no limit")
    concurrent_starts: int = setting(
        "CELLAR_CONCURRENT_STARTS", 8, parse_count(1, 100), "Workspaces that start at once"
    )
    read_timeout: float = setting(
        "CELLAR_READ_TIMEOUT", 300.0, parse_seconds(1), "seconds of a model server's silence at most"
    )
    start_timeout: int = setting(
        "CELLAR_START_TIMEOUT", 120, parse_count(10, 3600), "Seconds a workspace may take to start"
    )
    idle_timeout: int = setting(
        "CELLAR_IDLE_TIMEOUT",
        3600,
        parse_count(0, 10**7),
        "Seconds without activity after which a workspace stops; 0: never",
    )
    max_age: int = setting(
        "CELLAR_MAX_AGE", 0, parse_count(0, 10**8), "Seconds after which a workspace stops in any case; 0: never"
    )
    volume_grace: int = setting(
        "CELLAR_VOLUME_GRACE_DAYS", 30, parse_count(0, 36500), "Days that a deleted user's volume is kept; 0: for ever"
    )
    probe: str = setting(
        "CELLAR_PROBE",
        "refuse",
        parse_choice("refuse", "warn"),
        "What a failed isolation probe does at start: refuse, or warn (you take the risk)",
    )
    log_level: str = setting(
        "CELLAR_LOG_LEVEL", "info", parse_choice("debug", "info", "warning", "error"), "what is logged"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> HubSettings:
        """Raises SettingsError."""
        settings = read_settings(cls, env)
        if settings.wheelhouse and settings.wheelhouse not in settings.shared_volumes:
            raise SettingsError("CELLAR_WHEELHOUSE_VOLUME", "must be one of CELLAR_SHARED_VOLUMES")
        if settings.subdomain_host and settings.public_url not in ("", settings.subdomain_host):
            raise SettingsError("CELLAR_SUBDOMAIN_HOST", "must be the same as CELLAR_PUBLIC_URL: the hub is there")
        return settings

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data}/jupyterhub.sqlite"


@dataclass(frozen=True, kw_only=True)
class ForwarderSettings:
    """`python -m cellar_hub.forwarder`."""

    number: int = setting("CELLAR_FORWARDER_NUMBER", 1, parse_count(1, 8), "which of the forwarders this is, from 1")
    policy: Path | None = setting("CELLAR_POLICY", None, parse_path, "file that lists the destinations, and for whom")
    leases: Path = setting(
        "CELLAR_LEASES", Path("/run/cellar-leases"), parse_path, "folder in which the hub says whose a network is"
    )
    pool: ipaddress.IPv4Network = _pool()
    report_url: str = setting(
        "CELLAR_REPORT_URL",
        "http://gateway-control:8090/forwarded",
        parse_base_url,
        "where connections are reported to: the gateway's second port",
    )
    token: str = setting(
        "CELLAR_FORWARDER_TOKEN", REQUIRED, parse_secret, "the forwarders' secret at the gateway", secret=True
    )
    connections: int = setting(
        "CELLAR_FORWARDER_CONNECTIONS", 64, parse_count(1, 10_000), "connections of one user to destinations at once"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ForwarderSettings:
        """Raises `SettingsError`."""
        return read_settings(cls, env)
