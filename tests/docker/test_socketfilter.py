"""The filter in front of the real engine: docker-py, which the hub uses, makes a workspace, and nothing more of it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from cellar_hub.spawner.creation import NO_NAMES
from docker.errors import APIError, NotFound

from tests.hub import engines

pytestmark = pytest.mark.skipif(not engines.answers(), reason=engines.NOT_HERE)
LABELS = {"org.cellar.site": "", "org.cellar.kind": "workspace"}


class Site:
    """A site of its own for one test run: its name, an engine client without a filter and one behind it."""

    def __init__(self, folder: Path) -> None:
        self.name = f"t{secrets.token_hex(4)}"
        self.labels = LABELS | {"org.cellar.site": self.name}
        self.real = docker.DockerClient(base_url=f"unix://{engines.SOCKET}")
        self.image = f"{self.name}-tiny:1"
        self.real.api.import_image_from_data(engines.tiny_image(), repository=f"{self.name}-tiny", tag="1")
        listen = folder / "filter.sock"
        env = {
            "CELLAR_SITE": self.name,
            "CELLAR_WORKSPACE_IMAGES": self.image,
            "CELLAR_WORKSPACE_POOL": "10.254.77.0/24",
            "CELLAR_FILTER_LISTEN": str(listen),
            "CELLAR_FILTER_ENGINE": str(engines.SOCKET),
        }
        command = [sys.executable, "-m", "cellar_hub.socketfilter"]
        self.process = subprocess.Popen(command, env=os.environ | env, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert self.process.stderr.readline().startswith("ready: ")
        self.hub = docker.APIClient(base_url=f"unix://{listen}", version="auto")

    def ws(self, name: str) -> str:
        return f"{self.name}-ws-{name}"

    def make_network(self) -> str:
        config = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="10.254.77.16/28")])
        options = {"com.docker.network.bridge.inhibit_ipv4": "true"}
        made = self.hub.create_network(
            self.ws("ann"), driver="bridge", internal=True, ipam=config, labels=self.labels, options=options
        )
        return str(made["Id"])

    def make_workspace(self, command: list[str], user: str | None = None, **host: Any) -> str:
        config = self.hub.create_host_config(
            **{
                "network_mode": self.ws("ann"),
                "binds": {self.ws("ann"): {"bind": "/home/user", "mode": "rw"}},
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges"],
                "mem_limit": "64m",
                "pids_limit": 64,
                "read_only": True,
                **NO_NAMES,
                "dns": ["127.0.0.1"],
            }
            | host
        )
        made = self.hub.create_container(
            self.image, command, user=user, name=self.ws("ann"), labels=self.labels, host_config=config, ports=[8888]
        )
        return str(made["Id"])

    def clean(self) -> None:
        """Only what carries this site's label or name."""
        self.process.terminate()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.hub.close()
        mine = {"label": f"org.cellar.site={self.name}"}
        for container in self.real.containers.list(all=True, filters=mine):
            container.remove(force=True)
        for network in self.real.networks.list(filters=mine):
            network.remove()
        for volume in self.real.volumes.list(filters={"name": self.name}):
            volume.remove(force=True)
        self.real.images.remove(self.image, force=True)
        self.real.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.clean()


def test_a_workspace_lives_its_life_through_the_filter(site: Site) -> None:
    network = site.make_network()
    workspace = site.make_workspace(["/bin/sh", "-c", "echo hello from inside; sleep 600"])
    began = int(time.time())
    site.hub.start(workspace)
    events = site.hub.events(since=began, until=int(time.time()) + 1, decode=True, filters={"event": "start"})
    assert [event["Actor"]["ID"] for event in events] == [workspace]
    while not site.hub.logs(workspace):
        time.sleep(0.05)  # until it has spoken; the test's time limit ends a wait for ever
    found = site.hub.inspect_container(site.ws("ann"))
    assert found["State"]["Running"] and found["HostConfig"]["ReadonlyRootfs"]
    assert site.hub.stats(workspace, stream=False)["pids_stats"]["current"] >= 1
    assert [each["Id"] for each in site.hub.containers()] == [workspace]
    assert [each["Id"] for each in site.hub.networks()] == [network]
    assert [each["Name"] for each in site.hub.volumes()["Volumes"]] == [site.ws("ann")]
    site.hub.kill(workspace, "SIGKILL")
    assert site.hub.wait(workspace)["StatusCode"] == 137
    assert site.hub.logs(workspace) == b"hello from inside\n"
    site.hub.remove_container(workspace, v=True, force=True)
    with pytest.raises(NotFound):
        site.hub.inspect_container(site.ws("ann"))
    site.hub.remove_network(network)
    site.hub.remove_volume(site.ws("ann"))


def test_a_service_is_attached_to_a_workspaces_network_and_taken_off(site: Site) -> None:
    network = site.make_network()
    labels = {"org.cellar.site": site.name, "org.cellar.service": "gateway"}
    service = site.real.containers.run(
        site.image,
        ["/bin/sleep", "600"],
        detach=True,
        labels=labels,
        network_mode="none",
        name=f"{site.name}_gateway_1",
    )
    site.real.networks.get("none").disconnect(service)
    site.hub.connect_container_to_network(f"{site.name}_gateway_1", network, aliases=["gateway"])
    found = site.hub.inspect_container(f"{site.name}_gateway_1")
    assert "gateway" in found["NetworkSettings"]["Networks"][site.ws("ann")]["Aliases"]
    assert "Env" not in found["Config"]
    site.hub.disconnect_container_from_network(f"{site.name}_gateway_1", network, force=True)
    with pytest.raises(APIError):
        site.hub.stop(service.id)


@pytest.mark.parametrize(
    "host",
    [
        {"privileged": True},
        {"binds": {"/": {"bind": "/host", "mode": "ro"}}},
        {"network_mode": "host"},
        {"pid_mode": "host"},
        {"cap_add": ["SYS_ADMIN"]},
        {"devices": ["/dev/null:/dev/x:rwm"]},
        {"security_opt": ["no-new-privileges", "seccomp=unconfined"]},
        {"mounts": [docker.types.Mount("/host", "/", type="bind")]},
        {"volumes_from": ["x"]},
        {"port_bindings": {8888: 80}},
    ],
    ids=lambda host: next(iter(host)),
)
def test_docker_py_cannot_make_a_container_with(host: dict[str, Any], site: Site) -> None:
    site.make_network()
    with pytest.raises(APIError, match="socket filter"):
        site.make_workspace(["/bin/sleep", "600"], **host)
    assert site.real.containers.list(all=True, filters={"label": f"org.cellar.site={site.name}"}) == []


@pytest.mark.parametrize("user", ["0", "root", "-0", "-0:-0", "1000:-0"])
def test_no_spelling_of_root_makes_a_workspace(user: str, site: Site) -> None:
    """Docker reads the text as Go does: "-0" is a number, and that number is root."""
    site.make_network()
    with pytest.raises(APIError, match="socket filter"):
        site.make_workspace(["/usr/bin/id"], user=user)


def test_docker_py_cannot_run_a_program_or_read_a_file_in_a_workspace(site: Site) -> None:
    site.make_network()
    workspace = site.make_workspace(["/bin/sleep", "600"])
    site.hub.start(workspace)
    for reach in (
        lambda: site.hub.exec_create(workspace, ["/bin/id"]),
        lambda: site.hub.get_archive(workspace, "/home/user"),
        lambda: site.hub.attach(workspace),
        lambda: site.hub.commit(workspace),
        lambda: list(site.hub.export(workspace)),
        lambda: site.hub.images(),
        lambda: site.hub.tag(site.image, "other"),
    ):
        with pytest.raises(APIError, match="socket filter"):
            reach()
