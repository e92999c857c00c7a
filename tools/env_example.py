"""`python -m tools.env_example` writes hub_config/compose/.env.example: each setting of Cellar Hub and what it is for.

What the hub and the gateway read stands in `cellar_hub.settings`; what only the compose files read stands here. A test
compares the file with this, and both with the compose files.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import Any

from cellar_hub.settings import REQUIRED, ForwarderSettings, GatewaySettings, HubSettings, described

COMPOSE = Path(__file__).resolve().parent.parent / "hub_config" / "compose"
PAGE = COMPOSE / ".env.example"
HEAD = """\
Settings of Cellar Hub. Copy this file to .env (make hub does, and fills in the secrets) and take away the # before
what you change. A wrong value stops the start with its name. After a change: make hub, or docker compose up -d.
Beside it lies gateway.env (make hub makes it, empty): the variables that key_variable of CELLAR_MODELS names, one
NAME=KEY a line, for the gateway and for nobody else.
"""
SECRETS = (
    *("CONFIGPROXY_AUTH_TOKEN", "CELLAR_GATEWAY_TOKEN", "CELLAR_COMMANDS_TOKEN", "CELLAR_CONSOLE_TOKEN"),
    *("CELLAR_FORWARDER_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_HUB_PASSWORD", "DOCKER_GID"),
)
FIXED = frozenset(
    {
        *("CELLAR_DATA", "CELLAR_PROXY_API_URL", "CELLAR_GATEWAY_OPERATIONS_URL", "DOCKER_HOST"),
        *("CELLAR_HUB_URL", "CELLAR_GATEWAY_URL", "CELLAR_CONSOLE_URL", "CELLAR_CONSOLE_LISTEN"),
        *("CELLAR_GATEWAY_LISTEN", "CELLAR_GATEWAY_OPERATIONS", "CELLAR_AUDIT_HEADS", "CELLAR_HUB_API_URL"),
        *("CELLAR_FORWARDERS", "CELLAR_FORWARDER_NUMBER", "CELLAR_LEASES", "CELLAR_REPORT_URL"),
        *("CELLAR_PROXY_URL", "CELLAR_TLS_URL"),
    }
)
"""Set by the compose file itself: paths and names inside of its containers."""

Entry = tuple[str, str, str]  # variable, what the compose file takes without it, help

MADE: list[Entry] = [
    ("CONFIGPROXY_AUTH_TOKEN", "", "Secret between hub and proxy, 16 characters at least"),
    ("CELLAR_GATEWAY_TOKEN", "", "Secret between hub and gateway, 16 characters at least"),
    ("CELLAR_COMMANDS_TOKEN", "", "Secret of the command line cellar-hub at the hub, 16 characters at least"),
    ("CELLAR_CONSOLE_TOKEN", "", "Secret between hub and console, 16 characters at least"),
    ("CELLAR_FORWARDER_TOKEN", "", "Secret between forwarders and gateway, 16 characters at least"),
    (
        "POSTGRES_PASSWORD",
        "",
        "The gateway's password in docker-compose.postgres.yml, letters and digits: it stands in an address",
    ),
    ("POSTGRES_HUB_PASSWORD", "", "The hub's password there, another one, letters and digits"),
    ("DOCKER_GID", "", "The group of Docker's socket (stat -c %g /var/run/docker.sock)"),
]
PLACES: list[Entry] = [
    ("CELLAR_LISTEN", "127.0.0.1", "Address of this machine where browsers are served; 0.0.0.0: all of them"),
    ("CELLAR_PORT", "8000", "Port of this machine where browsers are served"),
    ("CELLAR_PROXY_OPTIONS", "", "More options of configurable-http-proxy"),
    ("CELLAR_HUB_IMAGE", "cellar-hub:dev", "Image of hub, proxy, gateway and socket filter"),
    ("CELLAR_MODEL_IMAGE", "cellar-model:dev", "Image of the embedded model"),
    ("CELLAR_OVERLAYS_IMAGE", "cellar-overlays:dev", "Image of PostgreSQL, Redis and nginx, for the overlays"),
    ("CELLAR_ROUTER_IMAGE", "cellar-router:dev", "Image of vllm-router, for docker-compose.router.yml"),
    ("CELLAR_SITE_FILES", "./site", "Folder of this machine that hub and gateway read at /etc/cellar/site"),
    ("CELLAR_GATEWAY_ENV", "./gateway.env", "File with the keys that CELLAR_MODELS names; only the gateway gets them"),
    (
        "CELLAR_HUB_DNS",
        "127.0.0.1",
        "DNS server that the hub asks, with docker-compose.building.yml; 127.0.0.1 is none: no name is asked outside",
    ),
    ("DOCKER_SOCKET", "/var/run/docker.sock", "Docker's socket on this machine; only the socket filter gets it"),
]
VLLM: list[Entry] = [
    ("VLLM_MODEL", "", "The model: a folder in VLLM_WEIGHTS"),
    (
        "VLLM_SERVE",
        "",
        "More of cellar-vllm serve (docs/models.md): --preset=24gb, or --gpu=24 for a model of your own",
    ),
    ("VLLM_WEIGHTS", "./weights", "Folder of this machine with the weights, read at /models by VLLM_USER"),
    ("VLLM_SERVED_NAME", "model", "What users see as the model's name"),
    ("VLLM_GPU", "0", "The GPU's id; of several for one server: an overlay of your own, one line in device_ids each"),
    ("VLLM_OPTIONS", "", "Options for vLLM itself, --max-num-batched-tokens=4096"),
    ("VLLM_IMAGE", "vllm/vllm-openai:v0.33.0", "Image of vLLM"),
    ("VLLM_USER", "2000:0", "User and group that it runs as: the image's own; 0:0 for an image that has none"),
]
VLLM_2: list[Entry] = [
    ("VLLM_2_MODEL", "", "The second server's model: a folder in VLLM_WEIGHTS, the same one or another"),
    ("VLLM_2_SERVE", "", "More of its cellar-vllm serve: --preset=24gb, or --preset=16gb --role=completion"),
    ("VLLM_2_SERVED_NAME", "model", "What users see as its model's name; behind vllm-router the first one's"),
    ("VLLM_2_GPU", "1", "Its GPU's id"),
    ("VLLM_2_OPTIONS", "", "Options for vLLM itself"),
]
ROUTER: list[Entry] = [
    (
        "VLLM_ROUTER_WORKERS",
        "http://vllm:8001 http://vllm-2:8001",
        "Addresses of the servers behind vllm-router, without /v1, with spaces between them; of one model and one key",
    ),
    (
        "VLLM_ROUTER_DNS",
        "127.0.0.1",
        "DNS server that vllm-router asks for servers elsewhere in the building; 127.0.0.1 is none",
    ),
]
TLS: list[Entry] = [
    ("CELLAR_SERVER_NAME", "_", "The names in the certificate, with spaces between them; _: any"),
    (
        "CELLAR_TLS_FILES",
        "./tls",
        "Folder of this machine with tls.crt (the chain) and tls.key, readable for 10001",
    ),
    ("CELLAR_TLS_LISTEN", "0.0.0.0", "Address of this machine for HTTPS"),
    ("CELLAR_TLS_PORT", "443", "Port for HTTPS"),
    ("CELLAR_HTTP_PORT", "80", "Port that sends browsers to HTTPS"),
    ("CELLAR_UPLOAD_SIZE", "1g", "Largest upload"),
]
CHANGED = {
    "CELLAR_ADMINS": "admin",
    "CELLAR_POLICY": "/var/lib/cellar-policy/policy.toml",
    "CELLAR_WORKSPACE_IMAGES": "cellar-workspace:dev",
    "VLLM_BASE_URL": "http://model:8001/v1",
    "CELLAR_MAX_INFLIGHT": "2",
}
"""What the compose file takes instead of the program's own default: the embedded model answers two at once."""


def settings_of(kind: type[Any], known: set[str], beginning: str = "") -> list[Entry]:
    """Entries of a settings class whose names begin so, without what is fixed or was told before."""
    found = []
    for variable, help, default in described(kind):
        if variable.startswith(beginning) and variable not in FIXED | set(SECRETS) | known:
            found.append((variable, CHANGED.get(variable, shown(variable, default)), help))
            known.add(variable)
    return found


def shown(variable: str, default: Any) -> str:
    """A default as one would write it in the file."""
    if default is None or default is REQUIRED or default == () or isinstance(default, dataclasses._MISSING_TYPE):
        return ""
    if isinstance(default, float):
        return f"{default:g}"
    return f"{default // 1024**3}G" if variable.endswith("_MEMORY") else str(default)


def sections() -> list[tuple[str, list[Entry]]]:
    known = {variable for variable, _, _ in ROUTER}
    bounds = settings_of(HubSettings, known, "CELLAR_FILTER_")
    return [
        ("Secrets, and what must fit this machine. make hub fills them in.", MADE),
        ("Where things are", PLACES),
        ("Hub and workspaces", settings_of(HubSettings, known)),
        ("Gateway", settings_of(GatewaySettings, known)),
        ("Docker socket's filter: bounds that hold even if the hub is taken over", bounds),
        ("docker-compose.vllm.yml", VLLM),
        ("docker-compose.vllm-2.yml", VLLM_2),
        ("docker-compose.router.yml", ROUTER),
        ("docker-compose.tls.yml", TLS),
        ("docker-compose.intranet.yml", settings_of(ForwarderSettings, known)),
    ]


def page() -> str:
    lines = [f"# {line}" for line in HEAD.splitlines()]
    for title, entries in sections():
        lines += ["", f"# --- {title}", ""]
        for variable, default, help in entries:
            lines += textwrap.wrap(help[0].upper() + help[1:], 116, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"{variable}=" if variable in SECRETS else f"#{variable}={default}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
