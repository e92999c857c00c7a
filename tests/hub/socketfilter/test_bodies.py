"""What a workspace and its network may be made of."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from cellar_hub.socketfilter.bodies import container_body
from cellar_hub.socketfilter.policy import Policy, PolicyError, policy_from_env
from cellar_hub.socketfilter.strict import Refused
from cellar_hub.spawner.names import Names

from tests.hub.socketfilter.conftest import IMAGE_ID, OURS, FakeEngine, Filter

CREATE = "/v1.41/containers/create?name=cellar-ws-ann"
GIB = 1024**3
BIND_OPTIONS = {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}}


async def test_a_workspace_is_made_by_the_id_of_its_image(
    door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    status, _ = await door.call("POST", CREATE, workspace_body)
    assert (status, engine.acted) == (200, [("POST", CREATE, workspace_body | {"Image": IMAGE_ID})])


async def test_the_body_is_written_anew(door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]) -> None:
    """What the engine reads is what was judged, not the client's bytes."""
    spaced = json.dumps(workspace_body, indent=8).replace('"Cmd"', '"\\u0043md"').encode()
    status, _ = await door.call("POST", CREATE, spaced)
    assert (status, engine.acted[0][2]) == (200, workspace_body | {"Image": IMAGE_ID})


async def test_null_counts_as_absent(door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]) -> None:
    host = workspace_body["HostConfig"] | dict.fromkeys(("CpuPeriod", "CpuQuota", "Binds", "Mounts", "Tmpfs"))
    body = workspace_body | {"HostConfig": host, "NetworkingConfig": None, "User": None}
    assert (await door.call("POST", CREATE, body))[0] == 200
    assert len(engine.acted) == 1


HOST: list[dict[str, Any]] = [
    {"Privileged": True},
    {"Binds": ["/:/host"]},
    {"Binds": ["/var/run/docker.sock:/s"]},
    {"Binds": ["../etc:/host"]},
    {"Binds": ["postgres_data:/data:ro"]},
    {"Binds": ["cellar-wheelhouse:/wheelhouse:rw"]},
    {"Binds": ["cellar-wheelhouse:/wheelhouse"]},
    {"Binds": ["cellar-ws-ann:/home/user:rw,rshared"]},
    {"Binds": ["cellar-ws-ann:/home/../etc"]},
    {"Binds": ["cellar-ws-host:/host"]},
    {"Binds": ["cellar-ws-x_db:/db"]},  # a compose project's whose name begins like ours
    {"Binds": ["cellar-ws-ann/../../x:/host"]},
    {"Binds": "/:/host"},
    {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]},
    {"Mounts": [{"Type": "npipe", "Source": "x", "Target": "/host"}]},
    {"Mounts": [{"Type": "volume", "Source": "postgres_data", "Target": "/data"}]},
    {"Mounts": [{"Type": "volume", "Source": "cellar-ws-ann", "Target": "/x", "VolumeOptions": BIND_OPTIONS}]},
    {"Mounts": [{"Type": "volume", "Source": "cellar-ws-ann", "Target": "/x", "BindOptions": {}}]},
    {"Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": BIND_OPTIONS}]},
    {"Mounts": [{"Type": "image", "Source": "alpine", "Target": "/x"}]},
    {"VolumesFrom": ["cellar_gateway_1"]},
    {"VolumeDriver": "nfs"},
    {"NetworkMode": "host"},
    {"NetworkMode": "bridge"},
    {"NetworkMode": "default"},
    {"NetworkMode": ""},
    {"NetworkMode": "container:cellar_gateway_1"},
    {"NetworkMode": "cellar_inner"},
    {"NetworkMode": "b" * 64},
    {"NetworkMode": None},
    {"PidMode": "host"},
    {"PidMode": "container:cellar_gateway_1"},
    {"IpcMode": "host"},
    {"IpcMode": "container:cellar_gateway_1"},
    {"UTSMode": "host"},
    {"UsernsMode": "host"},
    {"CgroupnsMode": "host"},
    {"Cgroup": "container:x"},
    {"CgroupParent": "/"},
    {"CapAdd": ["SYS_ADMIN"]},
    {"CapDrop": []},
    {"CapDrop": ["NET_RAW"]},
    {"CapDrop": None},
    {"SecurityOpt": []},
    {"SecurityOpt": None},
    {"SecurityOpt": ["no-new-privileges:false"]},
    {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
    {"SecurityOpt": ["apparmor=unconfined"]},
    {"SecurityOpt": ["systempaths=unconfined"]},
    {"MaskedPaths": []},
    {"ReadonlyPaths": []},
    {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]},
    {"DeviceCgroupRules": ["a *:* rwm"]},
    {"DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]},
    {"Runtime": "nvidia"},
    {"PublishAllPorts": True},
    {"PortBindings": {"8888/tcp": [{"HostPort": "80"}]}},
    {"ExtraHosts": ["hub:host-gateway"]},
    {"Dns": ["10.1.2.3"]},
    {"Dns": ["127.0.0.1", "10.1.2.3"]},
    {"Dns": []},
    {"Dns": None},  # the host's own
    {"Links": ["cellar_gateway_1:g"]},
    {"Sysctls": {"kernel.core_pattern": "|/x"}},
    {"RestartPolicy": {"Name": "always"}},
    {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://10.0.0.1:514"}}},
    {"LogConfig": {"Type": "json-file", "Config": {"labels": "x"}}},
    {"Tmpfs": {"/tmp": "rw,suid,dev"}},
    {"Tmpfs": {"/tmp/../etc": "rw"}},
    {"Memory": 8 * GIB},
    {"Memory": 0},
    {"Memory": None},
    {"MemorySwap": -1},
    {"ShmSize": 1 << 50},
    {"NanoCpus": 3 * 10**9},
    {"CpuQuota": 300_000},
    {"CpuQuota": -1},
    {"CpuPeriod": 1_000, "CpuQuota": 100_000},
    {"CpuPeriod": None, "CpuQuota": 300_000},
    {"CpuRealtimeRuntime": 1},
    {"PidsLimit": 0},
    {"PidsLimit": -1},
    {"PidsLimit": 100_000},
    {"PidsLimit": None},
    {"OomScoreAdj": -1000},
    {"OomKillDisable": True},
    {"GroupAdd": ["0"]},
    {"GroupAdd": ["docker"]},
    {"Isolation": "hyperv"},
    {"Annotations": {"run.oci.keep_original_groups": "1"}},
    {"ContainerIDFile": "/etc/x"},
    {"StorageOpt": {"dm.basesize": "1"}},
    {"privileged": True},
    {"Unheard": False},
]


@pytest.mark.parametrize("change", HOST, ids=lambda change: json.dumps(change)[:90])
async def test_a_container_is_not_made_with(
    change: dict[str, Any], door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    status, _ = await door.call("POST", CREATE, workspace_body | {"HostConfig": workspace_body["HostConfig"] | change})
    assert (status, engine.acted) == (403, [])


BODY: list[dict[str, Any]] = [
    {"Image": "alpine"},
    {"Image": "sha256:" + "e" * 64},
    {"Image": "cellar-workspace:dev/../alpine"},
    {"Image": None},
    {"Labels": {}},
    {"Labels": {"org.cellar.site": "other", "org.cellar.kind": "workspace"}},
    {"Labels": OURS | {"org.cellar.service": "gateway"}},
    {"Labels": OURS | {"com.docker.compose.service": "gateway"}},
    {"User": "root"},
    {"User": "0"},
    {"User": "00"},
    {"User": "0:1000"},
    {"User": "1000:0"},
    {"User": "root:root"},
    {"User": "-0"},  # Go reads it as 0
    {"User": "1000:-0"},
    {"User": "-00:-1"},
    {"HostConfig": None},
    {"hostconfig": {"Privileged": True}},
    {"Hostconfig": {}},
    {"OpenStdin": True},
    {"MacAddress": "02:42:ac:11:00:02"},
    {"NetworkingConfig": {"EndpointsConfig": {"cellar_inner": {}}}},
    {"NetworkingConfig": {"EndpointsConfig": {"host": {}}}},
    {"NetworkingConfig": {"EndpointsConfig": {"cellar-ws-ann": {"DriverOpts": {"a": "b"}}}}},
    {"NetworkingConfig": {"EndpointsConfig": {"cellar-ws-ann": {"Aliases": ["gateway"]}}}},
    {"NetworkingConfig": {"EndpointsConfig": {"cellar-ws-ann": {"Aliases": ["warehouse.corp"]}}}},
    {"Hostname": "hub"},
    {"Hostname": "gateway"},
    {"Hostname": "ws-bob"},
    {"Hostname": "ws"},
    {"Hostname": "ws-an"},
    {"Hostname": "ws-ann.corp"},
    {"Runtime": "runsc"},
    {"Platform": "x"},
]


@pytest.mark.parametrize("change", BODY, ids=lambda change: json.dumps(change)[:90])
async def test_a_body_is_refused_with(
    change: dict[str, Any], door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    status, _ = await door.call("POST", CREATE, workspace_body | change)
    assert status in (403, 404)
    assert engine.acted == []


@pytest.mark.parametrize(
    ("user", "server"), [("ann", ""), ("ann", "gpu"), ("Ann Lee", ""), ("Ann Lee", "Big one"), ("a-" * 40, "x")]
)
async def test_a_workspace_has_the_host_name_that_the_hub_gives_it(
    user: str, server: str, door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    names = Names("cellar", user, server)
    body = workspace_body | {"Hostname": names.hostname}
    status, answer = await door.call("POST", f"/v1.41/containers/create?name={names.own}", body)
    assert (status, len(engine.acted)) == (200, 1), answer


async def test_a_host_name_is_not_the_beginning_of_the_workspaces(
    door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    names = Names("cellar", "Ann Lee")
    body = workspace_body | {"Hostname": names.hostname.partition("---")[0]}
    assert (await door.call("POST", f"/v1.41/containers/create?name={names.own}", body))[0] == 403
    assert engine.acted == []


@pytest.mark.parametrize("name", ["postgres", "cellar-ws-", "cellar-ws", "x-cellar-ws-ann", "", None])
async def test_a_containers_name_must_be_ours(
    name: str | None, door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    target = "/v1.41/containers/create" + ("" if name is None else f"?name={name}")
    status, _ = await door.call("POST", target, workspace_body)
    assert (status, engine.acted) == (403, [])


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["/" + "a" * 500 + "!", "/" + "a/" * 250 + "!", "rw," * 66 + "!", "size=" + "1" * 190])
async def test_no_text_keeps_the_filter_thinking(
    text: str, door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    """A pattern that can match in many ways would try them all, and hold up everybody."""
    for change in ({"Tmpfs": {text: "rw"}}, {"Tmpfs": {"/tmp": text + "!"}}, {"Binds": [f"cellar-ws-ann:{text}"]}):
        body = workspace_body | {"HostConfig": workspace_body["HostConfig"] | change}
        assert (await door.call("POST", CREATE, body))[0] == 403
    assert (await door.call("POST", CREATE, workspace_body | {"WorkingDir": text}))[0] == 403
    assert engine.acted == []


async def test_an_image_that_was_tagged_anew_counts_by_its_id(
    door: Filter, engine: FakeEngine, workspace_body: dict[str, Any]
) -> None:
    engine.objects["images"]["cellar-workspace:dev"] = {"Id": "sha256:" + "f" * 64}
    status, _ = await door.call("POST", CREATE, workspace_body | {"Image": IMAGE_ID})
    assert (status, engine.acted) == (403, [])


async def test_gpus_are_given_out_by_the_ids_of_the_site(
    engine: FakeEngine, workspace_body: dict[str, Any], policy: Policy
) -> None:
    body = copy.deepcopy(workspace_body)
    request = {"Driver": "nvidia", "DeviceIDs": ["1"], "Capabilities": [["gpu"]]}
    body["HostConfig"]["DeviceRequests"] = [request]
    container_body(replace(policy, gpus=frozenset({"0", "1"})), "cellar-ws-ann", body)
    for wrong in ({"DeviceIDs": ["2"]}, {"DeviceIDs": ["all"]}, {"Count": -1}, {"Options": {"a": "b"}}):
        body["HostConfig"]["DeviceRequests"] = [request | wrong]
        with pytest.raises(Refused):
            container_body(replace(policy, gpus=frozenset({"0", "1"})), "cellar-ws-ann", body)


async def test_a_network_is_made_without_the_host(
    door: Filter, engine: FakeEngine, network_body: dict[str, Any]
) -> None:
    isolated = {f"com.docker.network.bridge.gateway_mode_ipv{v}": "isolated" for v in (4, 6)}
    for options in (network_body["Options"], isolated):
        assert (await door.call("POST", "/v1.41/networks/create", network_body | {"Options": options}))[0] == 200
    assert len(engine.acted) == 2


NETWORK: list[dict[str, Any]] = [
    {"Internal": False},
    {"Internal": None},
    {"Driver": "host"},
    {"Driver": "macvlan"},
    {"Driver": None},
    {"Name": "cellar_inner"},
    {"Name": "bridge"},
    {"Labels": {}},
    {"Options": {}},
    {"Options": {"com.docker.network.bridge.inhibit_ipv4": "false"}},
    {"Options": {"com.docker.network.bridge.gateway_mode_ipv4": "nat"}},
    {
        "Options": {
            "com.docker.network.bridge.inhibit_ipv4": "true",
            "com.docker.network.bridge.name": "docker0",
        }
    },
    {"Options": {"com.docker.network.bridge.inhibit_ipv4": "true", "parent": "eth0"}},
    {"IPAM": {"Config": []}},
    {"IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}},
    {"IPAM": {"Config": [{"Subnet": "10.213.0.0/16"}]}},
    {"IPAM": {"Config": [{"Subnet": "0.0.0.0/0"}]}},
    {"IPAM": {"Config": [{"Subnet": "10.213.4.16/28", "Gateway": "192.168.0.1"}]}},
    {"IPAM": {"Driver": "dhcp", "Config": [{"Subnet": "10.213.4.16/28"}]}},
    {"IPAM": {"Config": [{"Subnet": "10.213.4.16/28"}, {"Subnet": "10.213.5.16/28"}]}},
    {"EnableIPv6": True},
    {"Ingress": True},
    {"Attachable": True},
    {"Scope": "swarm"},
    {"ConfigFrom": {"Network": "x"}},
    {"ConfigOnly": True},
]


@pytest.mark.parametrize("change", NETWORK, ids=lambda change: json.dumps(change)[:90])
async def test_a_network_is_not_made_with(
    change: dict[str, Any], door: Filter, engine: FakeEngine, network_body: dict[str, Any]
) -> None:
    status, _ = await door.call("POST", "/v1.41/networks/create", network_body | change)
    assert (status, engine.acted) == (403, [])


def test_the_policy_is_read_from_the_environment() -> None:
    env = {
        "CELLAR_SITE": "lab",
        "CELLAR_WORKSPACE_IMAGES": "Data science=cellar-workspace:1.0, gpu=sha256:" + "a" * 64,
        "CELLAR_SHARED_VOLUMES": "datasets wheels",
        "CELLAR_FILTER_MAX_MEMORY_GB": "8",
        "CELLAR_FILTER_GPUS": "0,1",
    }
    policy = policy_from_env(env)
    assert policy.images == ("cellar-workspace:1.0", "sha256:" + "a" * 64)
    assert (policy.prefix, policy.max_memory, policy.gpus) == ("lab-ws-", 8 * GIB, frozenset({"0", "1"}))
    assert policy.shared_volumes == frozenset({"datasets", "wheels"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELLAR_SITE", "Not A Name"),
        ("CELLAR_WORKSPACE_IMAGES", ""),
        ("CELLAR_WORKSPACE_POOL", "10.0.0.1/8"),
        ("CELLAR_SHARED_VOLUMES", "/etc"),
        ("CELLAR_FILTER_MAX_MEMORY_GB", "-1"),
        ("CELLAR_FILTER_MAX_CPUS", "many"),
        ("CELLAR_FILTER_MAX_PIDS", "0"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(PolicyError, match=f"^{name}"):
        policy_from_env({"CELLAR_WORKSPACE_IMAGES": "cellar-workspace"} | {name: value})
