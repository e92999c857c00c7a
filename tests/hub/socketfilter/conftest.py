"""The filter on a real unix socket, in front of an engine that writes down what reaches it."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import pytest
from cellar_hub.socketfilter.policy import Policy
from cellar_hub.socketfilter.refusals import RefusalLog
from cellar_hub.socketfilter.server import bind, start

IMAGE_ID = "sha256:" + "a" * 64
OURS = {"org.cellar.site": "cellar", "org.cellar.kind": "workspace"}


def engine_objects() -> dict[str, dict[str, dict[str, Any]]]:
    """What the engine has, by kind and by every reference that means it."""
    workspace = {"Id": "1" * 64, "Name": "/cellar-ws-ann", "Config": {"Labels": OURS, "Env": ["TOKEN=t"]}}
    gateway_labels = {"org.cellar.site": "cellar", "org.cellar.service": "gateway"}
    gateway = {
        "Id": "2" * 64,
        "Name": "/cellar_gateway_1",
        "Config": {"Labels": gateway_labels, "Env": ["VLLM_API_KEY=secret-of-the-gateway"]},
        "NetworkSettings": {"Networks": {}},
    }
    forwarder = {
        "Id": "6" * 64,
        "Name": "/cellar_forwarder-1_1",
        "Config": {"Labels": gateway_labels | {"org.cellar.service": "forwarder", "org.cellar.forwarder": "1"}},
    }
    database = {"Id": "3" * 64, "Name": "/postgres", "Config": {"Labels": {}}}
    other_site = {"Id": "4" * 64, "Name": "/cellar-ws-bob", "Config": {"Labels": OURS | {"org.cellar.site": "other"}}}
    named = {"Id": "5" * 64, "Name": "/cellar-ws-eve", "Config": {"Labels": {}}}
    containers = [workspace, gateway, forwarder, database, other_site, named]
    network = {"Id": "b" * 64, "Name": "cellar-ws-ann", "Labels": OURS}
    inner = {"Id": "c" * 64, "Name": "cellar_inner", "Labels": {}}
    images = [{"Id": IMAGE_ID, "name": "cellar-workspace:dev"}, {"Id": "sha256:" + "e" * 64, "name": "alpine"}]
    volumes = [
        {"Name": "cellar-ws-ann", "Driver": "local", "Options": None},
        {"Name": "cellar-ws-host", "Driver": "local", "Options": {"type": "none", "o": "bind", "device": "/"}},
        {"Name": "cellar-ws-x_db", "Driver": "local", "Labels": {"com.docker.compose.project": "cellar-ws-x"}},
    ]
    by_id = {c["Id"]: c for c in containers} | {c["Id"][:12]: c for c in containers}
    return {
        "containers": by_id | {c["Name"][1:]: c for c in containers},
        "networks": {n["Id"]: n for n in (network, inner)} | {n["Name"]: n for n in (network, inner)},
        "images": {i["Id"]: i for i in images} | {i["name"]: i for i in images},
        "volumes": {v["Name"]: v for v in volumes},
    }


@dataclass
class FakeEngine:
    """Answers looks from `objects`; everything else goes into `acted` and gets 200 (or what `answers` says)."""

    path: Path
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=engine_objects)
    acted: list[tuple[str, str, Any]] = field(default_factory=list)
    connections: int = 0
    stream: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    switches: bool = False  # answers everything with 101

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        body, request = b"", None
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        assert request is not None
        if self.switches:
            writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        elif request.target.startswith(b"/v1.41/events"):
            await self._stream(reader, writer, http)
        else:
            status, answer = self._answer(request.method.decode(), request.target.decode(), body)
            data = json.dumps(answer).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data))), ("X-Secret", "1")]
            for each in (h11.Response(status_code=status, headers=headers), h11.Data(data=data), h11.EndOfMessage()):
                writer.write(http.send(each) or b"")
        writer.close()

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        parts = target[1:].removeprefix("v1.41/").split("?")[0].split("/")
        look = method == "GET" and parts[0] in self.objects and parts[-1] not in ("logs", "stats")
        ref = "/".join(parts[1:]).removesuffix("/json").replace("%3A", ":")
        if look and ref not in ("", "json"):
            found = self.objects[parts[0]].get(ref)
            return (200, copy.deepcopy(found)) if found else (404, {"message": "no such thing"})
        self.acted.append((method, target, json.loads(body) if body else None))
        return 200, {"Id": "9" * 64, "Volumes": [*self.objects["volumes"].values(), {"Name": "secrets"}]}

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, http: h11.Connection) -> None:
        headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
        writer.write(http.send(h11.Response(status_code=200, headers=headers)) or b"")
        gone = asyncio.ensure_future(reader.read(1))
        while True:
            item = asyncio.ensure_future(self.stream.get())
            await asyncio.wait({gone, item}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                item.cancel()
                self.left.set()
                return
            if (piece := item.result()) is None:
                gone.cancel()
                writer.write(http.send(h11.EndOfMessage()) or b"")
                return
            writer.write(http.send(h11.Data(data=piece)) or b"")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    fake = FakeEngine(tmp_path / "engine.sock")
    server = await asyncio.start_unix_server(fake.serve, str(fake.path))
    yield fake
    server.close()


@pytest.fixture
def policy() -> Policy:
    return Policy(
        site="cellar",
        images=("cellar-workspace:dev",),
        pool=ipaddress.IPv4Network("10.213.0.0/16"),
        shared_volumes=frozenset({"cellar-wheelhouse"}),
        max_memory=4 * 1024**3,
        max_cpus=2,
        max_pids=1000,
    )


@dataclass
class Filter:
    """What a test says to the filter, byte by byte or by the call, and what the filter wrote into its log."""

    path: Path
    log: list[str]

    async def raw(self, data: bytes) -> tuple[int, bytes]:
        """Status (0: it hung up without an answer) and body of the first answer to these bytes."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(data)
        await writer.drain()
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        status, body = 0, b""
        while not isinstance(event := http.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                piece = await reader.read(65536)
                if not piece and not status:
                    break
                http.receive_data(piece)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        writer.close()
        return status, body

    async def call(self, method: str, target: str, body: Any = None, headers: str = "") -> tuple[int, Any]:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if method == "POST":
            headers += f"Content-Length: {len(data)}\r\n"
        if data:
            headers += "Content-Type: application/json\r\n"
        head = f"{method} {target} HTTP/1.1\r\nHost: docker\r\n{headers}\r\n"
        status, answer = await self.raw(head.encode() + data)
        return status, json.loads(answer) if answer else None


@pytest.fixture
async def door(tmp_path: Path, engine: FakeEngine, policy: Policy) -> AsyncIterator[Filter]:
    log: list[str] = []
    path = tmp_path / "filter.sock"
    server = await start(policy, engine.path, bind(path), RefusalLog(log.append))
    yield Filter(path, log)
    server.close()


@pytest.fixture
def workspace_body() -> dict[str, Any]:
    """A create call's body as the hub sends it."""
    return {
        "Image": "cellar-workspace:dev",
        "Cmd": ["jupyterhub-singleuser"],
        "Env": ["JUPYTERHUB_API_TOKEN=t"],
        "Labels": dict(OURS),
        "ExposedPorts": {"8888/tcp": None},
        "Volumes": {"/home/user": {}},
        "AttachStdout": True,
        "HostConfig": {
            "NetworkMode": "cellar-ws-ann",
            "Binds": ["cellar-ws-ann:/home/user:rw", "cellar-wheelhouse:/wheelhouse:ro"],
            "Mounts": [],
            "Links": [],
            "AutoRemove": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "rw,exec,nosuid,nodev,size=1g"},
            "Memory": 1024**3,
            "MemorySwap": 1024**3,
            "CpuPeriod": 100_000,
            "CpuQuota": 100_000,
            "PidsLimit": 512,
            "Dns": ["127.0.0.1"],
            "DnsOptions": ["timeout:1", "attempts:1"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        },
    }


@pytest.fixture
def network_body() -> dict[str, Any]:
    return {
        "Name": "cellar-ws-ann",
        "Driver": "bridge",
        "Internal": True,
        "CheckDuplicate": True,
        "Labels": dict(OURS),
        "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.213.4.16/28", "Gateway": "10.213.4.17"}]},
    }
