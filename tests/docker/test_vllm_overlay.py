"""The container of docker-compose.vllm.yml, with a small program in vLLM's place: what it may write, and where. No GPU
is needed to see that."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.docker.engine import TEST
from tests.hub.compose.test_compose import overlay, services

IMAGE = """
FROM {base}
RUN useradd --uid 2000 --gid 0 --create-home --home-dir /home/vllm vllm && chmod -R g+rwX /home/vllm
"""
"""As vLLM's image has its user."""
PROGRAM = """
import getpass, json, os, shutil, socket
from pathlib import Path
home, out = Path(os.environ["HOME"]), {}
def written(path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("/usr/bin/true", path)
        path.chmod(0o755)
        return os.spawnl(os.P_WAIT, path, "true") == 0
    except OSError:
        return False
places = [home / ".triton/cache/k.so", home / ".nv/ComputeCache/k", home / ".config/vllm/usage.json", Path("/tmp/k.so")]
places += [Path(value) / "k.so" for name, value in os.environ.items() if name.endswith("_DIR")]
out["written"] = {str(each): written(each) for each in places}
out["closed"] = [str(each) for each in map(Path, ("/k", "/usr/k", "/models/k", "/etc/k")) if not written(each)]
shared = os.statvfs("/dev/shm")
out["shared"] = shared.f_blocks * shared.f_frsize
with socket.socket(socket.AF_UNIX) as between_processes:
    between_processes.bind("/tmp/socket")
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
out["capabilities"] = int(status["CapEff"], 16) | int(status["CapBnd"], 16)
out["user"] = [os.getuid(), os.getgid(), getpass.getuser()]
print(json.dumps(out))
"""


@pytest.fixture
def image(client: docker.APIClient, base: str) -> Iterator[str]:
    name = f"cellar-test-vllm:{uuid.uuid4().hex[:8]}"
    list(client.build(fileobj=io.BytesIO(IMAGE.format(base=base).encode()), tag=name, rm=True, network_mode="none"))
    yield name
    client.remove_image(name)


def run(client: docker.APIClient, image: str, service: dict[str, Any], weights: str, home: str) -> dict[str, Any]:
    """What the program says in a container with the service's hardening."""
    host = client.create_host_config(
        binds=[f"{weights}:/models:ro", f"{home}:{service['environment']['HOME']}"],
        read_only=service["read_only"],
        cap_drop=service["cap_drop"],
        security_opt=service["security_opt"],
        tmpfs=dict(each.split(":") for each in service["tmpfs"]),
        shm_size=service["shm_size"],
        pids_limit=service["pids_limit"],
        init=service["init"],
        network_mode="none",
    )
    made = client.create_container(
        image,
        ["python3", "-c", PROGRAM],
        user=service["user"].partition(":-")[2].rstrip("}"),
        environment={name: str(value) for name, value in service["environment"].items()},
        host_config=host,
        labels={TEST: home},
    )
    try:
        client.start(made["Id"])
        status = client.wait(made["Id"])["StatusCode"]
        said = client.logs(made["Id"]).decode()
    finally:
        client.remove_container(made["Id"], force=True, v=True)
    assert status == 0, said
    found: dict[str, Any] = json.loads(said)
    return found


def test_what_vllm_writes_it_may_write_and_nothing_else(client: docker.APIClient, image: str) -> None:
    service = services(overlay("vllm"))["vllm"]
    volumes = [f"{image.replace(':', '-')}-{name}" for name in ("home", "weights")]
    for name in volumes:
        client.create_volume(name, labels={TEST: image})
    try:
        found = run(client, image, service, volumes[1], volumes[0])
    finally:
        for name in volumes:
            client.remove_volume(name)
    assert len(found["written"]) >= 5 and all(found["written"].values()), "and what was compiled may be loaded"
    assert found["closed"] == ["/k", "/usr/k", "/models/k", "/etc/k"]
    assert found["shared"] == 8 * 1024**3
    assert found["user"] == [2000, 0, "vllm"]
    assert found["capabilities"] == 0
