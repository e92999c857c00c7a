"""The service of docker-compose.vllm.yml as compose reads it, in a container of its own: confined as it is there, with
another image and without the GPU, which a test machine has not."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import docker
import yaml

from tests.docker.engine import TEST
from tests.hub.compose.test_compose import BASE, SECRETS, configured, overlay
from tools import hub

HOME = "/home/vllm"
IMAGE = f"""
FROM {{base}}
RUN useradd --uid 2000 --gid 0 --create-home --home-dir {HOME} vllm && chmod -R g+rwX {HOME}
"""
"""As vLLM's image has its user."""


def build(client: docker.APIClient, base: str, tag: str) -> None:
    list(client.build(fileobj=io.BytesIO(IMAGE.format(base=base).encode()), tag=tag, rm=True, network_mode="none"))


def service(**settings: str) -> dict[str, Any]:
    """With these settings in .env."""
    done = configured(hub.compose_command(), [BASE, overlay("vllm")], SECRETS | settings)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]["vllm"]
    return found


def create(
    client: docker.APIClient,
    image: str,
    wanted: Mapping[str, Any],
    *,
    home: str,
    label: str,
    program: Sequence[str] = (),
    binds: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    network: str = "none",
) -> str:
    """The id of a container that was made and not started.

    `wanted`: the service; `home`: the volume of what it writes; `program`: instead of the service's own.
    """
    command = wanted["command"]
    host = client.create_host_config(
        binds=[f"{home}:{HOME}", *_folders(wanted), *binds],
        read_only=wanted["read_only"],
        cap_drop=wanted["cap_drop"],
        security_opt=wanted["security_opt"],
        tmpfs=dict(each.split(":") for each in wanted["tmpfs"]),
        shm_size=wanted["shm_size"],
        pids_limit=wanted["pids_limit"],
        init=wanted["init"],
        dns=wanted["dns"],
        dns_search=wanted["dns_search"],
        restart_policy={"Name": "no" if program else wanted["restart"]},
        network_mode=network,
    )
    known = {network: client.create_endpoint_config(aliases=["vllm"])} if network != "none" else {}
    made = client.create_container(
        image,
        list(program) or (shlex.split(command) if isinstance(command, str) else command),
        entrypoint=None if program else wanted["entrypoint"],
        user=wanted["user"],
        environment={name: str(value) for name, value in wanted["environment"].items()} | dict(env or {}),
        host_config=host,
        networking_config=client.create_networking_config(known),
        labels={TEST: label},
    )
    return str(made["Id"])


def _folders(wanted: Mapping[str, Any]) -> list[str]:
    """Those of this machine, all read-only. Old compose writes them as words, new compose as tables."""
    found = []
    for each in wanted["volumes"]:
        if isinstance(each, str) and each.endswith(":ro"):
            found.append(each)
        elif not isinstance(each, str) and each.get("read_only"):
            found.append(f"{each['source']}:{each['target']}:ro")
    return found
