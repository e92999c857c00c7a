"""The site's bounds for what may be made through the filter, read from an environment mapping. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

SITE_LABEL = "org.cellar.site"
KIND_LABEL = "org.cellar.kind"
SERVICE_LABEL = "org.cellar.service"
KINDS = ("workspace", "probe")
SERVICES = ("hub", "proxy", "gateway", "bastion", "forwarder")
"""Containers of the compose file that may be attached to workspaces' networks, each under its own name."""
OTHERS = (
    *("model", "vllm", "vllm-2", "router", "postgres", "redis"),
    *("console", "hub-control", "gateway-control", "console-control"),
)
"""What services call each other on networks of their own: no workspace's network may lead there, or elsewhere by such a
name."""
FORWARDER = "forwarder"
"""The one with other names: those of destinations, which only the administrator's policy file knows."""

GIB = 1024**3
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"


class PolicyError(ValueError):
    """A setting that cannot be used; the message begins with its name."""


@dataclass(frozen=True)
class Policy:
    """The bounds of one site. Memory in bytes, processors in cores."""

    site: str
    images: tuple[str, ...]  # names or ids; the engine says which ids the names mean
    pool: ipaddress.IPv4Network
    shared_volumes: frozenset[str] = frozenset()  # may be mounted, read-only
    max_memory: int = 64 * GIB
    max_cpus: int = 64
    max_pids: int = 8192
    gpus: frozenset[str] = frozenset()  # device ids, or "all"
    runtimes: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        return f"{self.site}-ws-"

    def is_ours(self, name: str) -> bool:
        """Whether a name is one that only the hub's own objects have."""
        rest = name.removeprefix(self.prefix)
        return rest != name and re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", rest, re.ASCII) is not None


def policy_from_env(env: Mapping[str, str]) -> Policy:
    """CELLAR_SITE, CELLAR_WORKSPACE_IMAGES, CELLAR_WORKSPACE_POOL, CELLAR_SHARED_VOLUMES and CELLAR_FILTER_...

    `PolicyError` names the variable that is wrong.
    """
    site = env.get("CELLAR_SITE") or "cellar"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", site):
        raise PolicyError("CELLAR_SITE must be lowercase letters, digits and '-', at most 31")
    # "label=image" is how the hub names them to people; the image is what counts here
    entries = env.get("CELLAR_WORKSPACE_IMAGES", "").split(",")
    images = tuple(entry.rsplit("=", 1)[-1].strip() for entry in entries if entry.strip())
    if not images:
        raise PolicyError("CELLAR_WORKSPACE_IMAGES must name at least one image")
    try:
        pool = ipaddress.IPv4Network(env.get("CELLAR_WORKSPACE_POOL") or "10.213.0.0/16")
    except ValueError as error:
        raise PolicyError(f"CELLAR_WORKSPACE_POOL is not a network like 10.213.0.0/16: {error}") from None
    shared = _words(env, "CELLAR_SHARED_VOLUMES")
    if wrong := [name for name in shared if not re.fullmatch(NAME, name)]:
        raise PolicyError(f"CELLAR_SHARED_VOLUMES: {wrong[0][:60]!r} is not the name of a volume")
    return Policy(
        site=site,
        images=images,
        pool=pool,
        shared_volumes=frozenset(shared),
        max_memory=_count(env, "CELLAR_FILTER_MAX_MEMORY_GB", 64) * GIB,
        max_cpus=_count(env, "CELLAR_FILTER_MAX_CPUS", 64),
        max_pids=_count(env, "CELLAR_FILTER_MAX_PIDS", 8192),
        gpus=frozenset(_words(env, "CELLAR_FILTER_GPUS")),
        runtimes=frozenset(_words(env, "CELLAR_FILTER_RUNTIMES")),
    )


def _words(env: Mapping[str, str], name: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", env.get(name, "")) if word]


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name, "").strip() or str(default)
    if not (value.isascii() and value.isdecimal() and 0 < int(value) < 1_000_000):
        raise PolicyError(f"{name} must be a whole number above 0")
    return int(value)
