"""The Docker that tests use: found, or why not; a base image; and one site's own things, removed at its end."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docker
import yaml
from cellar_hub.spawner import names
from docker.errors import APIError, DockerException, NotFound

BASES = ("cellar-base:bookworm", "cellar-test-base:latest")
TEST = "org.cellar.test"
"""Label of what a test made beside the hub's own labels."""
WORKSPACE_IMAGE = "cellar-test-workspace:1"
HOME = "/home/user"

COMPOSE = Path(__file__).parents[2] / "hub_config/compose/docker-compose.yml"

SERVER = Path(__file__).with_name("stand_in.py")
"""Stands in for jupyterhub-singleuser: a few lines, so that a test needs no image of a gigabyte."""


def connect() -> tuple[docker.APIClient | None, str]:
    """A client of the engine, or why there is none."""
    try:
        client = docker.APIClient(base_url=os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock", timeout=60)
        client.ping()
    except (DockerException, OSError) as error:
        return None, f"no Docker: {error}. Start it (`dockerd` as root) or install it (apt-get install docker.io)"
    return client, ""


def find_base(client: docker.APIClient) -> str:
    """An image with Python 3 and nothing else that is needed; made by debootstrap where there is none."""
    for name in (os.environ.get("CELLAR_TEST_BASE", ""), *BASES):
        if name and _has(client, name):
            return name
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        raise LookupError(f"no base image: none of {', '.join(BASES)}, and debootstrap as root is needed to make one")
    with tempfile.TemporaryDirectory() as folder:
        wanted = "--include=ca-certificates,python3"
        subprocess.run(["debootstrap", "--variant=minbase", wanted, "bookworm", f"{folder}/root"], check=True)
        subprocess.run(f"tar -C {folder}/root -c . | docker import - {BASES[1]}", shell=True, check=True)
    return BASES[1]


def _has(client: docker.APIClient, image: str) -> bool:
    try:
        client.inspect_image(image)
    except NotFound:
        return False
    return True


DOCKERFILE = """
FROM {base}
RUN useradd --uid 1000 --create-home --home-dir {home} user
COPY stand_in.py /opt/stand_in.py
USER 1000:1000
ENV HOME={home}
WORKDIR {home}
CMD ["python3", "/opt/stand_in.py"]
"""


def build_workspace(client: docker.APIClient, base: str, tag: str = WORKSPACE_IMAGE) -> str:
    """An image with a user whose home belongs to them, and a server that answers; its id."""
    files = {"Dockerfile": DOCKERFILE.format(base=base, home=HOME).encode(), "stand_in.py": SERVER.read_bytes()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed.seek(0)
    said = list(client.build(fileobj=packed, custom_context=True, tag=tag, rm=True, network_mode="none", decode=True))
    if any("error" in line for line in said):
        raise RuntimeError(f"the test image could not be built: {said[-3:]}")
    return str(client.inspect_image(tag)["Id"])


LISTENER = """
import http.server, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        print(self.path, self.headers.get("Authorization"), self.rfile.read(length).decode(), flush=True)
        self.do_GET()
    def log_message(self, *_): pass
servers = [http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Answer) for port in sys.argv[2:]]
for server in servers: threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""


SYSCTLS: dict[str, str] = yaml.safe_load(COMPOSE.read_text())["x-service"]["sysctls"]
"""Of each service of the stack."""


class Site:
    """One installation: a name nobody else has, services, and workspaces made by what is tested."""

    def __init__(self, client: docker.APIClient, base: str) -> None:
        self.client = client
        self.base = base
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.net = f"{self.name}-inside"
        client.create_network(self.net, labels={TEST: self.name}, check_duplicate=True)

    def service(self, service: str, *ports: int, **more: Any) -> str:
        """A running container that answers with its name on these ports; its id."""
        labels = {names.SITE: self.name, names.SERVICE: service, TEST: self.name}
        command = ["python3", "-c", LISTENER, service, *map(str, ports)]
        more = {"sysctls": SYSCTLS} | more
        return self.run(f"{self.name}-{service}-{uuid.uuid4().hex[:4]}", command, labels, self.net, service, **more)

    def run(
        self, name: str, command: list[str], labels: dict[str, str], network: str, alias: str = "", **more: Any
    ) -> str:
        """A running container; `more` goes into its host config. What is in `port_bindings` is reached from here."""
        image = more.pop("image", self.base)
        environment = more.pop("environment", {})
        config = self.client.create_host_config(network_mode=network, init=True, **more)
        named = self.client.create_endpoint_config(aliases=[alias] if alias else None)
        made = self.client.create_container(
            image,
            command,
            name=name,
            labels=labels | {TEST: self.name},
            host_config=config,
            environment=environment,
            ports=list(more.get("port_bindings", ())) or None,
            networking_config=None if network == "none" else self.client.create_networking_config({network: named}),
        )
        self.client.start(made["Id"])
        return str(made["Id"])

    def neighbour(self, network: str, *ports: int) -> tuple[str, str]:
        """A container of its own on a workspace's network as the hub would start it, listening; (id, address)."""
        labels = names.Names(self.name, network.removeprefix(f"{self.name}-ws-")).labels()
        command = ["python3", "-c", LISTENER, network, *map(str, ports)]
        more: dict[str, Any] = {"cap_drop": ["ALL"], "dns": ["127.0.0.1"], "dns_opt": ["timeout:1", "attempts:1"]}
        found = self.run(f"{network}-box", command, labels, network, **more)
        return found, self.address(found, network)

    def address(self, container: str, network: str) -> str:
        networks = self.client.inspect_container(container)["NetworkSettings"]["Networks"]
        return str(networks[network]["IPAddress"])

    def said_by(self, container: str) -> str:
        """The end of its log."""
        return str(self.client.logs(container, tail=100).decode("utf-8", "replace"))

    def inside(self, container: str, code: str) -> Any:
        """What Python code inside of a container prints, as JSON."""
        made = self.client.exec_create(container, ["python3", "-c", code])
        said = self.client.exec_start(made["Id"]).decode()
        status = self.client.exec_inspect(made["Id"])["ExitCode"]
        if status != 0:
            raise AssertionError(f"exit {status}: {said[-2000:]}")
        return json.loads(said.strip().splitlines()[-1])

    def containers(self, **labels: str) -> list[dict[str, Any]]:
        wanted = [f"{names.SITE}={self.name}", *(f"{key}={value}" for key, value in labels.items())]
        found: list[dict[str, Any]] = self.client.containers(all=True, filters={"label": wanted})
        return found

    def networks(self) -> list[str]:
        return [each["Name"] for each in self.client.networks(filters={"label": f"{names.SITE}={self.name}"})]

    def close(self) -> None:
        """Remove everything with this site's labels, and nothing else."""
        for label in (names.SITE, TEST):
            found = {"label": f"{label}={self.name}"}
            for container in self.client.containers(all=True, filters=found):
                try:
                    self.client.remove_container(container["Id"], force=True, v=True)
                except APIError as error:
                    if error.status_code not in (404, 409):
                        raise
            for network in self.client.networks(filters=found):
                self.client.remove_network(network["Id"])
            for volume in self.client.volumes(filters=found)["Volumes"] or []:
                self.client.remove_volume(volume["Name"], force=True)


ROOT = Path(__file__).resolve().parents[2]
TOKEN = "test-token-0123456789"
PACKAGES = next(path for path in sys.path if path.endswith("site-packages"))


class Hub:
    """A real JupyterHub with our configuration, in a container of a site, behind the real socket filter.

    Its API is asked from inside."""

    def __init__(self, site: Site, image: str, pool: str, packages: str = PACKAGES, **env: str) -> None:
        """`packages`: the folder that holds JupyterHub and all that it needs."""
        self.site = site
        share = (
            Path(packages) / "share" if (Path(packages) / "share/jupyterhub").is_dir() else Path(sys.prefix) / "share"
        )
        self._code = [
            f"{packages}:/srv/packages:ro",
            f"{share}/jupyterhub:/usr/share/jupyterhub:ro",
            f"{ROOT}/hub_config:/srv/hub_config:ro",
            f"{ROOT}/jupyter_ext:/srv/jupyter_ext:ro",
            f"{ROOT}/tests/docker:/srv/tests:ro",
        ]
        self.env = {
            "CELLAR_SITE": site.name,
            "CELLAR_DATA": "/data",
            "CELLAR_WORKSPACE_IMAGES": f"data={image}",
            "CELLAR_WORKSPACE_POOL": pool,
            "CELLAR_WORKSPACE_MEMORY": "256M",
            "CELLAR_WORKSPACE_CPUS": "0.5",
            "CELLAR_START_TIMEOUT": "60",
            "CELLAR_GATEWAY_TOKEN": "gateway-token-0123456789",
            "CONFIGPROXY_AUTH_TOKEN": "proxy-token-0123456789",
            "DOCKER_HOST": "unix:///run/cellar-docker/docker.sock",
            "CELLAR_FILTER_LISTEN": "/run/cellar-docker/docker.sock",
            "TEST_TOKEN": TOKEN,
            "PYTHONPATH": "/srv/hub_config:/srv/jupyter_ext:/srv/packages",
            "PYTHONDONTWRITEBYTECODE": "1",
        } | env
        self.data, self.socket = f"{site.name}-data", f"{site.name}-socket"
        for volume in (self.data, self.socket):
            site.client.create_volume(volume, labels={TEST: site.name})
        self.id = self.filter = ""
        self.start_filter()

    def start_filter(self) -> None:
        """The one container that holds Docker's socket."""
        binds = [*self._code, "/var/run/docker.sock:/var/run/docker.sock", f"{self.socket}:/run/cellar-docker"]
        name, command = f"{self.site.name}-filter-{uuid.uuid4().hex[:4]}", ["python3", "-m", "cellar_hub.socketfilter"]
        self.filter = self.site.run(name, command, {}, "none", binds=binds, environment=self.env)
        wait_for(lambda: b"ready" in self.site.client.logs(self.filter), 60, lambda: self.said_by(self.filter))

    def start(self, command: list[str] | None = None, **env: str) -> None:
        """Start it, or another one on the same data, and wait until it answers; or a `command` in its place."""
        binds = [*self._code, f"{self.socket}:/run/cellar-docker", f"{self.data}:/data"]
        labels = {names.SITE: self.site.name, names.SERVICE: "hub"}
        self.env |= env
        hub = ["python3", "-m", "jupyterhub", "-f", "/srv/tests/hub_config.py"]
        name = f"{self.site.name}-hub-{uuid.uuid4().hex[:4]}"
        more: dict[str, Any] = {"binds": binds, "environment": self.env, "sysctls": SYSCTLS}
        self.id = self.site.run(name, command or hub, labels, self.site.net, "hub", **more)
        if command is None:
            wait_for(lambda: self.call("GET", "/")[0] == 200, 180, self.log)

    def write(self, name: str, text: str) -> None:
        """A file in the hub's data, before it starts."""
        path = f"/data/{name}"
        code = f"import os; os.makedirs(os.path.dirname({path!r}), exist_ok=True); open({path!r}, 'w').write({text!r})"
        command = ["python3", "-c", code]
        made = self.site.run(f"{self.site.name}-write", command, {}, "none", binds=[f"{self.data}:/data"])
        self.site.client.wait(made)
        self.site.client.remove_container(made)

    def wait_until_ready(self, user: str) -> None:
        wait_for(lambda: self.call("GET", f"/users/{user}")[1]["servers"].get("", {}).get("ready"), 60, self.log)

    def probe(self, **env: str) -> tuple[int, str]:
        """Run the probe in the hub's container: exit status and what it said."""
        command = ["python3", "-m", "cellar_hub.spawner.probe"]
        made = self.site.client.exec_create(self.id, command, environment=self.env | env)
        said = self.site.client.exec_start(made["Id"]).decode()
        return self.site.client.exec_inspect(made["Id"])["ExitCode"], said

    def kill(self) -> None:
        """As if the machine had lost it: no chance to say goodbye, and the container is gone."""
        self.site.client.kill(self.id, "SIGKILL")
        self.site.client.remove_container(self.id, force=True)

    def log(self) -> str:
        return self.said_by(self.id) + "\n--- filter\n" + self.said_by(self.filter)

    def said_by(self, container: str) -> str:
        return self.site.said_by(container)

    def call(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
        """Ask the hub's API: status and answer (JSON, or text where it is none). Status 0: it did not answer."""
        try:
            status, text = self.site.inside(self.id, CALL % json.dumps([method, path, json.dumps(body), token]))
        except (AssertionError, APIError):
            return 0, ""
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def start_server(self, user: str, options: Any = None) -> dict[str, Any]:
        """Make the user, start their workspace, and wait for the end of its progress: the last event."""
        self.call("POST", f"/users/{quote(user, safe='')}")
        status, answer = self.call("POST", f"/users/{quote(user, safe='')}/server", options or {})
        if status not in (201, 202):
            return {"status": status, "failed": True, "message": str(answer)}
        events: list[dict[str, Any]] = []

        def told() -> bool:
            """Between a failed start and its end the hub says that nothing is starting."""
            events[:] = self.progress(user)
            return bool(events)

        wait_for(told, 30, self.log)
        return events[-1]

    def progress(self, user: str) -> list[dict[str, Any]]:
        _, text = self.call("GET", f"/users/{quote(user, safe='')}/server/progress")
        return [json.loads(line[6:]) for line in str(text).splitlines() if line.startswith("data: ")]

    def stop_server(self, user: str) -> None:
        self.call("DELETE", f"/users/{quote(user, safe='')}/server")
        wait_for(lambda: not self.call("GET", f"/users/{quote(user, safe='')}")[1]["servers"], 60, self.log)


CALL = """
import json, urllib.request, urllib.error
method, path, body, token = %s
request = urllib.request.Request("http://127.0.0.1:8081/hub/api" + path, method=method,
    data=None if body == "null" else body.encode(), headers={"Authorization": "token " + token})
try:
    answer = urllib.request.urlopen(request, timeout=100)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode()]))
"""


def wait_for(condition: Callable[[], Any], seconds: float, why: Callable[[], str] = str) -> None:
    """Until the condition holds; AssertionError with `why` when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain\n{why()}")
        time.sleep(0.1)
