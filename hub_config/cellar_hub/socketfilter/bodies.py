"""What the bodies of create calls may say. Pure.

`container_body`, `network_body`, `volume_body`, `connect_body`, `disconnect_body` judge a parsed body or raise
`Refused`. What needs the engine's answer (does this name mean one of our networks, which id has this image) is decided
by `calls.py`. Source of the fields: Docker Engine API 1.41 to 1.51. A key that is not listed is refused, so a field of
a newer engine is closed until somebody has thought about it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from . import strict
from .policy import FORWARDER, KIND_LABEL, KINDS, NAME, OTHERS, SERVICE_LABEL, SERVICES, SITE_LABEL, Policy
from .strict import Refused, absent, boolean, each, empty, free, mapping, number, one_of, record, text

PATH = r"(?:/[A-Za-z0-9_.@+-]+)+/?"

# --- parts of bodies


def _labels(policy: Policy) -> strict.Check:
    check = mapping(text(r"[A-Za-z0-9._/-]+", 128), free(1024))

    def ours(value: Any, where: str) -> None:
        check(value, where)
        if value.get(SITE_LABEL) != policy.site or value.get(KIND_LABEL) not in KINDS:
            raise Refused(f"{where} must hold {SITE_LABEL}={policy.site} and a known {KIND_LABEL}")
        if SERVICE_LABEL in value or any(key.startswith("com.docker.") for key in value):
            raise Refused(f"{where} must not pretend to be a service")

    return ours


def _ours(policy: Policy) -> strict.Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or not policy.is_ours(value):
            raise Refused(f"{where} must begin with {policy.prefix}")

    return check


def _clean_path(value: Any, where: str) -> None:
    text(PATH, 512)(value, where)
    if any(part in (".", "..") for part in value.split("/")):
        raise Refused(f"{where} is not a plain path")


def _bind(policy: Policy) -> strict.Check:
    """`volume:/path[:ro|rw]`, never a path of the host."""

    def check(value: Any, where: str) -> None:
        parts = value.split(":") if isinstance(value, str) else []
        if len(parts) not in (2, 3):
            raise Refused(f"{where} is not a volume, a path and a mode")
        _clean_path(parts[1], where)
        _volume(policy, parts[0], read_only=parts[2:] == ["ro"], where=where)
        if parts[2:] not in ([], ["ro"], ["rw"]):
            raise Refused(f"{where} has a mode that is not allowed")

    return check


def _volume(policy: Policy, name: Any, read_only: bool, where: str) -> None:
    if isinstance(name, str) and (policy.is_ours(name) or (name in policy.shared_volumes and read_only)):
        return
    raise Refused(f"{where} may mount only volumes of workspaces, and shared ones read-only")


def _mount(policy: Policy) -> strict.Check:
    shape = record(
        {
            "Type": one_of("volume", "tmpfs"),
            "Source": free(200),
            "Target": _clean_path,
            "ReadOnly": boolean,
            "Consistency": empty,
            "VolumeOptions": record({"NoCopy": boolean, "Labels": _labels(policy), "DriverConfig": empty}),
            "TmpfsOptions": record({"SizeBytes": number(0, policy.max_memory), "Mode": number(0, 0o1777)}),
        },
        required=("Type", "Target"),
    )

    def check(value: Any, where: str) -> None:
        shape(value, where)
        if value["Type"] == "volume":
            _volume(policy, value.get("Source"), value.get("ReadOnly") is True, where)
        elif value.get("Source"):
            raise Refused(f"{where}.Source is not allowed here")

    return check


def _gpu_request(policy: Policy) -> strict.Check:
    allowed = policy.gpus
    everything = "all" in allowed

    def device(value: Any, where: str) -> None:
        free(80)(value, where)
        if not everything and value not in allowed:
            raise Refused(f"{where} is not a GPU of this site")

    shape = record(
        {
            "Driver": one_of("", "nvidia"),
            "Count": number(-1 if everything else 0, 64 if everything else 0),
            "DeviceIDs": each(device),
            "Capabilities": each(each(one_of("gpu", "compute", "utility", "video", "graphics"))),
            "Options": empty,
        }
    )

    def check(value: Any, where: str) -> None:
        if not allowed:
            raise Refused(f"{where}: this site gives out no GPU")
        shape(value, where)

    return check


def _environment(value: Any, where: str) -> None:
    each(free(32_768), most=256)(value, where)


_TMPFS = mapping(
    _clean_path,
    text(r"(?:(?:rw|ro|exec|noexec|nosuid|nodev|(?:size|mode|uid|gid|nr_inodes)=[0-9]+[kmgKMG%]?),?)*", 200),
)
_NAME = r"(?!(?:0+|root)(?::|$))[a-z0-9_][a-z0-9_-]{0,31}"  # no sign before it: the engine reads "-0" as a number
_USER = text(f"{_NAME}(?::{_NAME})?", 65)
_ARGUMENTS = each(free(32_768), most=256)
_LOGGING = record(
    {
        "Type": one_of("json-file", "local", "none"),
        "Config": mapping(one_of("max-size", "max-file", "compress"), text(r"[0-9]{1,6}[kmg]?|true|false")),
    }
)
_ULIMIT = record(
    {
        "Name": one_of("nofile", "nproc", "core", "fsize", "stack", "memlock"),
        "Soft": number(-1, 2**31),
        "Hard": number(-1, 2**31),
    }
)
_HEALTH = record(
    {
        "Test": _ARGUMENTS,
        "Interval": number(0, 10**13),
        "Timeout": number(0, 10**13),
        "StartPeriod": number(0, 10**13),
        "StartInterval": number(0, 10**13),
        "Retries": number(0, 1000),
    }
)
_NOTHING_MORE = (
    *("CapAdd", "ContainerIDFile", "Cgroup", "CgroupParent", "Links", "OomKillDisable", "PidMode", "Privileged"),
    *("PublishAllPorts", "PortBindings", "UTSMode", "UsernsMode", "VolumesFrom", "Devices", "DeviceCgroupRules"),
    *("ExtraHosts", "Sysctls", "Isolation", "KernelMemory", "KernelMemoryTCP", "CpuRealtimePeriod"),
    *("CpuRealtimeRuntime", "CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth", "Annotations"),
    *("BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps"),
    *("BlkioDeviceWriteIOps", "LxcConf"),
)
"""Known to Docker, and never needed by a workspace: they may stand there empty."""


def _host_config(policy: Policy) -> strict.Check:
    memory = number(0, policy.max_memory)
    return record(
        dict.fromkeys(_NOTHING_MORE, empty)
        | {
            "Binds": each(_bind(policy)),
            "Mounts": each(_mount(policy)),
            "Tmpfs": _TMPFS,
            "NetworkMode": _network_mode(policy),
            "RestartPolicy": record({"Name": one_of("", "no"), "MaximumRetryCount": empty}),
            "AutoRemove": boolean,
            "CapDrop": one_of(["ALL"]),
            "SecurityOpt": one_of(["no-new-privileges"], ["no-new-privileges:true"]),
            "MaskedPaths": absent,  # an empty list would unmask /proc
            "ReadonlyPaths": absent,
            "ReadonlyRootfs": boolean,
            "DeviceRequests": each(_gpu_request(policy)),
            "Runtime": one_of("", "runc", *sorted(policy.runtimes)),
            "IpcMode": one_of("", "private", "none"),
            "CgroupnsMode": one_of("", "private"),
            "Dns": one_of(["127.0.0.1"]),  # a resolver that is not there: no name is asked outside
            "DnsOptions": each(text(r"[a-z0-9:-]{1,40}")),
            "DnsSearch": each(text(r"[A-Za-z0-9.-]{0,253}")),
            "GroupAdd": each(text(r"[1-9][0-9]{0,9}")),
            "LogConfig": _LOGGING,
            "Memory": number(16 * 1024**2, policy.max_memory),
            "MemorySwap": memory,  # -1 would be as much swap as the host has
            "MemoryReservation": memory,
            "MemorySwappiness": number(0, 100),
            "ShmSize": memory,
            "NanoCpus": number(0, policy.max_cpus * 10**9),
            "CpuShares": number(0, 262_144),
            "CpuPeriod": number(1_000, 1_000_000),
            "CpuQuota": number(1_000, policy.max_cpus * 1_000_000),
            "CpusetCpus": text(r"[0-9,-]{0,200}"),
            "CpusetMems": text(r"[0-9,-]{0,200}"),
            "BlkioWeight": number(0, 1000),
            "OomScoreAdj": number(0, 1000),
            "PidsLimit": number(1, policy.max_pids),
            "Ulimits": each(_ULIMIT),
            "Init": boolean,
            "StorageOpt": mapping(one_of("size"), text(r"[0-9]{1,12}[kmgtKMGT]?")),
            "VolumeDriver": one_of("", "local"),
            "ConsoleSize": one_of([0, 0]),
        },
        required=("NetworkMode", "CapDrop", "SecurityOpt", "Dns", "Memory", "PidsLimit"),
    )


def _network_mode(policy: Policy) -> strict.Check:
    ours = _ours(policy)

    def check(value: Any, where: str) -> None:
        if value != "none":  # never host, bridge, default, container:ID
            ours(value, where)

    return check


_ALIASES = each(text(r"[a-z0-9][a-z0-9_.-]{0,252}", 253))


def _endpoint(policy: Policy, aliases: strict.Check) -> strict.Check:
    def address(value: Any, where: str) -> None:
        text(r"[0-9.]{0,15}")(value, where)
        if value and not _inside(policy, value):
            raise Refused(f"{where} is not inside of the workspaces' pool")

    nothing = ("Links", "DriverOpts", "MacAddress", "NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen")
    return record(
        dict.fromkeys((*nothing, "IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "GwPriority"), empty)
        | {
            "Aliases": aliases,
            "IPAMConfig": record({"IPv4Address": address, "IPv6Address": empty, "LinkLocalIPs": empty}),
        }
    )


def _inside(policy: Policy, address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address) in policy.pool
    except ValueError:
        return False


# --- bodies


def container_body(policy: Policy, name: str, body: dict[str, Any]) -> None:
    """Body of POST /containers/create, for a container of this name. It is known on its network by that alone: a host
    name is a DNS name on new engines, so it has to be the workspace's own."""
    ports = text(r"[0-9]{1,5}/(?:tcp|udp)")
    stdin = dict.fromkeys(("AttachStdin", "OpenStdin", "StdinOnce", "Domainname", "MacAddress", "OnBuild"), empty)
    record(
        stdin
        | {
            "Hostname": _hostname(policy, name),
            "User": _USER,
            "AttachStdout": boolean,
            "AttachStderr": boolean,
            "Tty": boolean,
            "ExposedPorts": mapping(ports, empty),
            "Env": _environment,
            "Cmd": _ARGUMENTS,
            "Entrypoint": _ARGUMENTS,
            "Shell": empty,
            "ArgsEscaped": empty,
            "Image": free(300),
            "Volumes": mapping(_clean_path, empty),
            "WorkingDir": _clean_path,
            "NetworkDisabled": boolean,
            "Labels": _labels(policy),
            "StopSignal": text(r"SIG[A-Z]{2,8}"),
            "StopTimeout": number(0, 3600),
            "Healthcheck": _HEALTH,
            "Runtime": one_of("", "runc", *sorted(policy.runtimes)),
            "HostConfig": _host_config(policy),
            "NetworkingConfig": record({"EndpointsConfig": mapping(_ours(policy), _endpoint(policy, empty), most=4)}),
        },
        required=("Image", "Labels", "HostConfig"),
    )(body, "")
    host = body["HostConfig"]
    if (host.get("CpuQuota") or 0) > policy.max_cpus * (host.get("CpuPeriod") or 100_000):
        raise Refused(f"HostConfig.CpuQuota is more than {policy.max_cpus} processors")


def _hostname(policy: Policy, name: str) -> strict.Check:
    """The container's name without the site, and without the server's name behind `--` (cellar_hub.spawner.names)."""
    own = name.removeprefix(f"{policy.site}-")

    def check(value: Any, where: str) -> None:
        text(r"[a-z0-9][a-z0-9-]{0,62}|")(value, where)
        rest = own.removeprefix(value)
        if value and not (own.startswith(value) and re.fullmatch(r"(?:--[a-z0-9][a-z0-9-]*)?", rest, re.ASCII)):
            raise Refused(f"{where} is not the workspace's own name")

    return check


_BRIDGE = "com.docker.network.bridge."
_SWITCH = one_of("true", "false")
_NETWORK_OPTIONS: dict[str, strict.Check] = {
    _BRIDGE + "gateway_mode_ipv4": one_of("isolated"),
    _BRIDGE + "gateway_mode_ipv6": one_of("isolated"),
    _BRIDGE + "inhibit_ipv4": one_of("true"),
    _BRIDGE + "enable_icc": _SWITCH,
    _BRIDGE + "enable_ip_masquerade": _SWITCH,
    _BRIDGE + "name": text(r"cel-[a-z0-9]{1,11}"),  # another name could take over a bridge of the host
    "com.docker.network.driver.mtu": text(r"[0-9]{3,5}"),
}
_WITHOUT_HOST = ({_BRIDGE + "gateway_mode_ipv4": "isolated"}, {_BRIDGE + "inhibit_ipv4": "true"})


def network_body(policy: Policy, body: dict[str, Any]) -> None:
    """Body of POST /networks/create: a bridge of our own, internal, in the pool, without an address of the host."""

    def subnet(value: Any, where: str) -> None:
        text(r"[0-9.]{7,15}/[0-9]{2}")(value, where)
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError:
            raise Refused(f"{where} is not a network") from None
        if not network.subnet_of(policy.pool) or not 24 <= network.prefixlen <= 30:
            raise Refused(f"{where} is not a /24 to /30 inside of {policy.pool}")

    def address(value: Any, where: str) -> None:
        if not isinstance(value, str) or not _inside(policy, value):
            raise Refused(f"{where} is not inside of {policy.pool}")

    addresses = record(
        {"Subnet": subnet, "IPRange": subnet, "Gateway": address, "AuxiliaryAddresses": empty, "AuxAddress": empty},
        required=("Subnet",),
    )
    record(
        dict.fromkeys(("Attachable", "Ingress", "EnableIPv6", "ConfigOnly", "ConfigFrom"), empty)
        | {
            "Name": _ours(policy),
            "CheckDuplicate": boolean,
            "Driver": one_of("bridge"),
            "Internal": one_of(True),
            "Scope": one_of("", "local"),
            "EnableIPv4": one_of(True),
            "Labels": _labels(policy),
            "Options": record(_NETWORK_OPTIONS),
            "IPAM": record(
                {"Driver": one_of("", "default"), "Options": empty, "Config": each(addresses, most=1)},
                required=("Config",),
            ),
        },
        required=("Name", "Driver", "Internal", "Labels", "Options", "IPAM"),
    )(body, "")
    if not body["IPAM"]["Config"]:
        raise Refused("IPAM.Config must give the subnet")
    if not any(option.items() <= body["Options"].items() for option in _WITHOUT_HOST):
        raise Refused("Options must leave the host out: gateway_mode_ipv4=isolated or inhibit_ipv4=true")


def volume_body(policy: Policy, body: dict[str, Any]) -> None:
    """Body of POST /volumes/create: the local driver without options, which could mount any path of the host."""
    record(
        {
            "Name": _ours(policy),
            "Driver": one_of("", "local"),
            "DriverOpts": empty,
            "Labels": _labels(policy),
        },
        required=("Name", "Labels"),
    )(body, "")


def connect_body(policy: Policy, body: dict[str, Any]) -> None:
    """Body of POST /networks/ID/connect."""
    record({"Container": text(NAME), "EndpointConfig": _endpoint(policy, _ALIASES)}, required=("Container",))(body, "")


_DNS = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DESTINATION = re.compile(rf"(?=.{{1,253}}\Z){_DNS}(?:\.{_DNS})*", re.ASCII)


def aliases(body: dict[str, Any], service: str) -> None:
    """Names that a container gets with a connect call: a service its own, a forwarder those of destinations, a
    workspace none. So nothing passes itself off as the hub, whoever asks."""
    for name in (body.get("EndpointConfig") or {}).get("Aliases") or []:
        if service == FORWARDER:
            is_good = _DESTINATION.fullmatch(name) and not _is_taken(name)
        else:
            is_good = bool(service) and name == service
        if not is_good:
            raise Refused("EndpointConfig.Aliases has a name that this container may not have")


def _is_taken(name: str) -> bool:
    last = name.rpartition(".")[2]
    return name in (*SERVICES, *OTHERS) or last in ("localhost", "localdomain") or last.isdecimal()


def disconnect_body(policy: Policy, body: dict[str, Any]) -> None:
    """Body of POST /networks/ID/disconnect."""
    record({"Container": text(NAME), "Force": boolean}, required=("Container",))(body, "")
