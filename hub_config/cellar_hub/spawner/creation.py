"""What Docker is asked to make for a workspace: every switch of its hardening, in one place. Pure.

The arguments are docker-py's for `create_container` and `create_host_config`. The socket filter lets nothing else
through, so a new switch is made known there as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker.types import DeviceRequest, LogConfig, Ulimit

from cellar_hub.settings import HubSettings
from cellar_hub.spawner.names import GPUS, PROFILE, Names
from cellar_hub.spawner.profiles import Profile

PORT = 8888
GATEWAY = "http://gateway:8080/v1"
SHARED = "/srv/shared"
WHEELHOUSE = "/wheelhouse"
"""Where pip looks, for it asks no index (pip.conf in the workspace's image)."""
CPU_PERIOD = 100_000  # microseconds, Docker's default
MIB = 1024**2
STOP_TIMEOUT = 10  # seconds a workspace has to save its journals

NO_NAMES = {"dns": ["127.0.0.1"], "dns_opt": ["timeout:1", "attempts:1"], "dns_search": ["."]}
"""Names of the outside fail within a second, at a resolver that is not there; aliases are Docker's own and work."""

SEALED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "ipc_mode": "private",
    "cgroupns": "private",
    "init": True,
    **NO_NAMES,
}


@dataclass(frozen=True, kw_only=True)
class Creation:
    """One container to be made."""

    names: Names
    profile: Profile
    image: str  # id
    command: Sequence[str]
    environment: Mapping[str, str]
    gpus: tuple[str, ...] = ()

    def container(self, settings: HubSettings) -> dict[str, Any]:
        labels = self.names.labels() | {PROFILE: self.profile.name}
        if self.gpus:
            labels[GPUS] = ",".join(self.gpus)
        return {
            "image": self.image,
            "name": self.names.own,
            "hostname": self.names.hostname,
            "command": list(self.command),
            "environment": dict(self.environment),
            "labels": labels,
            "ports": [PORT],
            "volumes": [bind.split(":")[1] for bind in self.binds(settings)],
            "stop_timeout": STOP_TIMEOUT,
        }

    def binds(self, settings: HubSettings) -> list[str]:
        places = {name: f"{SHARED}/{name}" for name in settings.shared_volumes}
        if settings.wheelhouse:
            places[settings.wheelhouse] = WHEELHOUSE
        shared = [f"{name}:{place}:ro" for name, place in places.items()]
        return [f"{self.names.own}:{settings.home}:rw", *shared]

    def host(self, settings: HubSettings) -> dict[str, Any]:
        profile = self.profile
        found = SEALED | {
            "network_mode": self.names.own,
            "binds": self.binds(settings),
            "mem_limit": profile.memory,
            "memswap_limit": profile.memory,  # the same: no swap, so the limit is the limit
            "cpu_period": CPU_PERIOD,
            "cpu_quota": max(1000, int(profile.cpus * CPU_PERIOD)),
            "pids_limit": profile.pids,
            "shm_size": min(profile.shared_memory, profile.memory),
            "tmpfs": {
                # counted within the memory limit; exec on purpose: builds and language servers run things from /tmp
                "/tmp": f"rw,exec,nosuid,nodev,size={max(64, profile.memory // MIB // 2)}m,mode=1777",
                "/run": "rw,noexec,nosuid,nodev,size=16m,mode=1777",
            },
            "ulimits": [Ulimit(name="core", soft=0, hard=0)],
            "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m", "max-file": "3"}),
        }
        if settings.runtime:
            found["runtime"] = settings.runtime
        if self.gpus:
            found["device_requests"] = [DeviceRequest(device_ids=list(self.gpus), capabilities=[["gpu"]])]
        return found


LATER = 30.0
"""Seconds of silence that a workspace waits longer than the gateway: whose words are the first, and in the audit."""


def environment(hub: Mapping[str, str], token: str, settings: HubSettings) -> dict[str, str]:
    """JupyterHub's own variables; where the model is: at the gateway, with the workspace's own token; where packages
    are."""
    model = {"VLLM_BASE_URL": GATEWAY, "VLLM_API_KEY": token, "CELLAR_GATEWAY": "1"}
    model["CELLAR_READ_TIMEOUT"] = f"{settings.read_timeout + LATER:g}"
    packages = {"PIP_FIND_LINKS": WHEELHOUSE} if settings.wheelhouse else {}
    if settings.package_index:
        packages |= {"PIP_INDEX_URL": settings.package_index, "PIP_NO_INDEX": "0"}
    return dict(hub) | model | packages
