"""A whole Cellar Hub for the tests: what `make hub` starts, under a name, a port and addresses that nobody else has."""

from __future__ import annotations

import io
import ipaddress
import json
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docker
from cellar_hub.spawner import names
from docker.errors import APIError

from tests.docker.engine import TEST
from tests.fakes.fixtures import unused_port
from tests.ui.lab import wait_until
from tools import hub, images

BOOKS = ("usage", "audit")
"""Commands that run in the gateway's container; the others run in the hub's."""
SERVICES = ("proxy", "hub", "gateway", "console", "socketfilter", "model")
SHORT = "[default]\nmax_tokens = 16\n"
LONG = "[default]\nmax_tokens = 4096\nmax_waiting = 64\nmax_running = 64\n"
"""Policies. The embedded model does not end by itself, and a long answer takes it a minute on a busy machine."""
CPU_PERIOD = 100_000  # microseconds, Docker's default
ME = """
import json, os, urllib.request as r
ask = r.Request("http://gateway:8080/cellar/v1/me", headers={"Authorization": "Bearer " + os.environ["VLLM_API_KEY"]})
print(r.urlopen(ask, timeout=20).read().decode())
"""
SAVE_POLICY = """
import os, sys
from pathlib import Path
from cellar_hub.policybook import PolicyBook
book = PolicyBook(Path(os.environ["CELLAR_POLICY"]))
book.save(sys.argv[1], based_on=book.read().id, by="tests")
"""
HUNGRY = """
FROM {image}
CMD ["python3", "-c", "print('These are its last words.', flush=True); b'x' * 10**9"]
"""
"""A workspace's image whose server wants more memory than the profile `tight` has."""
PROFILES = """
[standard]
title = "Standard"
image = "standard"
cpus = 2
memory = "2G"

[tight]
title = "Far too small"
image = "hungry"
groups = ["tight"]
cpus = 1
memory = "128M"
"""


class Installation:
    """`start` and `end` it once; in between it may be asked, and its services may be killed and made anew."""

    def __init__(self, client: docker.APIClient, folder: Path, **more: str) -> None:
        """`more`: settings of .env besides its own."""
        self.client = client
        self.name = f"e{secrets.token_hex(4)}"
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.files = folder / "site"
        self.image = f"cellar-workspace:{self.name}"
        self.more = more
        self.wheels = f"{self.name}-wheels"
        self.subdomains = False
        self._policy = ""
        self.said = ""
        self.passwords: dict[str, str] = {}

    # --- start and end

    def start(self, built: Sequence[str]) -> None:
        """With the images of hub, workspace and model. Raises SystemExit that says why it cannot."""
        hub_image, workspace_image, model_image = (self._id(name) for name in built)
        self.client.tag(workspace_image, *self.image.split(":"))
        hungry = io.BytesIO(HUNGRY.format(image=workspace_image).encode())
        list(self.client.build(fileobj=hungry, tag=f"{self.image}-hungry", rm=True, network_mode="none"))
        self._fill_wheelhouse(workspace_image)
        self.files.mkdir(mode=0o755)
        self.files.chmod(0o755)
        (self.files / "profiles.toml").write_text(PROFILES)
        self._policy = SHORT
        env = self.folder / ".env"
        hub.write_env(env)
        values = {
            "CELLAR_SITE": self.name,
            "CELLAR_PORT": str(self.port),
            "CELLAR_HUB_IMAGE": hub_image,
            "CELLAR_MODEL_IMAGE": model_image,
            "CELLAR_WORKSPACE_IMAGES": f"standard={self.image},hungry={self.image}-hungry",
            "CELLAR_WORKSPACE_POOL": str(unused_pool(self.client)),
            "CELLAR_SHARED_VOLUMES": self.wheels,
            "CELLAR_WHEELHOUSE_VOLUME": self.wheels,
            "CELLAR_MAX_WAIT": "3600",  # a small machine may well need minutes for the fifty requests of a test
            "CELLAR_SITE_FILES": str(self.files),
            "CELLAR_PROFILES": "/etc/cellar/site/profiles.toml",
            **self.more,
        }
        with env.open("a") as out:
            out.writelines(f"{name}={value}\n" for name, value in values.items())
        self.stack = hub.Stack(hub.read_env(env), env, self.folder / "admin-password")
        self._make_hub()
        self._write_policy(SHORT)
        self.passwords["admin"] = self.stack.password.read_text().strip()

    def _make_hub(self) -> None:
        """`said` is then what an administrator reads."""
        lines = io.StringIO()
        with redirect_stdout(lines):
            hub.start(self.stack, build=False)
        self.said = lines.getvalue()

    def set(self, **values: str) -> None:
        """`make hub` once more, with these settings."""
        with self.stack.env.open("a") as out:
            out.writelines(f"{name}={value}\n" for name, value in values.items())
        self.stack.settings = hub.read_env(self.stack.env)
        self._make_hub()

    def give_everybody_an_origin(self) -> None:
        """With CELLAR_SUBDOMAIN_HOST; a browser finds every name below localhost on its own machine."""
        self.url, self.subdomains = f"http://hub.localhost:{self.port}", True
        self.set(CELLAR_PUBLIC_URL=self.url, CELLAR_SUBDOMAIN_HOST=self.url)

    def origin(self, user: str) -> str:
        """Where the pages of this user's workspace are from."""
        return self.url.replace("//", f"//{user}.") if self.subdomains else self.url

    def _id(self, image: str) -> str:
        """Tags move when somebody builds beside us; ids do not."""
        return str(self.client.inspect_image(image)["Id"])

    def _fill_wheelhouse(self, image: str) -> None:
        """What users may install: the openai package, as the tests have it."""
        self.client.create_volume(self.wheels, labels={TEST: self.name})
        binds = self.client.create_host_config(binds=[f"{self.wheels}:/wheelhouse"])
        made = self.client.create_container(image, "true", labels={TEST: self.name}, host_config=binds)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for wheel in openai_wheels().glob("*.whl"):
                archive.add(wheel, wheel.name)
        assert self.client.put_archive(made["Id"], "/wheelhouse", packed.getvalue())
        self.client.remove_container(made["Id"])

    def end(self) -> None:
        """Everything that carries this name goes, also what a broken test left; nothing else is touched. Fails when
        `make hub-down` has left a container or a network, or has taken a user's files."""
        before = self._carriers()["volumes"]
        try:
            self.stack.down()
            after = self._carriers()
        except SystemExit:
            after = {}  # what compose cannot remove is removed below
        for label in (f"com.docker.compose.project={self.name}", f"{names.SITE}={self.name}", f"{TEST}={self.name}"):
            found = {"label": label}
            for container in self.client.containers(all=True, filters=found):
                self._gone(self.client.remove_container, container["Id"], force=True, v=True)
            for network in self.client.networks(filters=found):
                hub.empty_network(network["Id"])
                self._gone(self.client.remove_network, network["Id"])
            for volume in self.client.volumes(filters=found)["Volumes"] or []:
                self._gone(self.client.remove_volume, volume["Name"], force=True)
        for image in (self.image, f"{self.image}-hungry"):
            self._gone(self.client.remove_image, image)
        assert after == {"containers": set(), "networks": set(), "volumes": before}

    def _carriers(self) -> dict[str, set[str]]:
        """What there is of the stack and of workspaces."""
        found: dict[str, set[str]] = {"containers": set(), "networks": set(), "volumes": set()}
        for label in (f"com.docker.compose.project={self.name}", f"{names.SITE}={self.name}"):
            wanted = {"label": label}
            found["containers"] |= {each["Id"] for each in self.client.containers(all=True, filters=wanted)}
            found["networks"] |= {each["Name"] for each in self.client.networks(filters=wanted)}
            volumes = self.client.volumes(filters=wanted)["Volumes"] or []
            found["volumes"] |= {each["Name"] for each in volumes}
        return found

    def _gone(self, remove: Callable[..., Any], name: str, **more: Any) -> None:
        try:
            remove(name, **more)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise

    # --- what an administrator does

    def command(self, *arguments: str, stdin: str = "", service: str = "") -> str:
        """What `cellar-hub` says, run where hub_config/compose/cellar-hub runs it, unless a service is named. Not by
        compose, which needs a second to begin."""
        where = service or ("gateway" if arguments[0] in BOOKS else "hub")
        return _said(["docker", "exec", "-i", self.service(where), "cellar-hub", *arguments], stdin)

    def compose(self, *arguments: str) -> str:
        return _said([*self.stack.command, *arguments])

    def add_user(self, name: str) -> str:
        """The new user's password."""
        self.passwords[name] = secrets.token_urlsafe(12)
        self.command("users", "add", name, "--password-stdin", stdin=self.passwords[name] + "\n")
        return self.passwords[name]

    def me(self, user: str) -> dict[str, Any]:
        """What the gateway tells this user, asked from their workspace."""
        found: dict[str, Any] = self.inside(self.workspace(user), ME)
        return found

    def policy(self, text: str, user: str = "ada") -> None:
        """Returns when the gateway goes by it, for this user and so for everybody."""
        if text == self._policy:
            return
        self._policy = text
        mark = f"p{secrets.token_hex(4)}"
        self._write_policy(f'{text}\n[[announcements]]\nid = "{mark}"\nlevel = "info"\ntext = "{mark}"\n')
        wait_until(lambda: mark in str(self.me(user).get("announcements")), "the policy to be read")
        self._write_policy(text)
        wait_until(lambda: not self.me(user).get("announcements"), "the announcement to go")

    def give_the_model(self, cores: float) -> None:
        """So much of the processor at most; 0: all of it."""
        quota = round(cores * CPU_PERIOD) or -1
        self.client.update_container(self.service("model"), cpu_period=CPU_PERIOD, cpu_quota=quota)

    def _write_policy(self, text: str) -> None:
        """As a page of the console does it."""
        self.run_inside(self.service("console"), SAVE_POLICY, text)

    def usage(self, user: str) -> int:
        """Tokens of this month, as the gateway's books say."""
        lines = self.command("usage", "--user", user).splitlines()[2:]
        return sum(int(prompt) + int(answer) for *_, prompt, _, answer in (line.split() for line in lines))

    # --- containers

    def service(self, name: str) -> str:
        """The id of its running container."""
        found = self.stack.container(name)
        assert found, f"{name} does not run: {self.stack.log(name)}"
        return self._long(found)

    def _long(self, container: str) -> str:
        return str(self.client.inspect_container(container)["Id"])

    def workspace(self, user: str) -> str:
        """The container's id; empty when there is none."""
        labels = [f"{names.SITE}={self.name}", f"{names.KIND}={names.WORKSPACE}", f"{names.USER}={user}"]
        found = self.client.containers(filters={"label": labels})
        return str(found[0]["Id"]) if found else ""

    def started_at(self, container: str) -> str:
        return str(self.client.inspect_container(container)["State"]["StartedAt"])

    def address(self, container: str, network: str) -> str:
        networks = self.client.inspect_container(container)["NetworkSettings"]["Networks"]
        return str(networks[network]["IPAddress"])

    def run_inside(self, container: str, code: str, *arguments: str) -> str:
        """What a Python program prints inside of a container, as its own user and with its environment."""
        made = self.client.exec_create(container, ["python3", "-c", code, *arguments])
        said = self.client.exec_start(made["Id"]).decode()
        status = self.client.exec_inspect(made["Id"])["ExitCode"]
        assert status == 0, f"exit {status}: {said[-3000:]}"
        return str(said)

    def inside(self, container: str, code: str, *arguments: str) -> Any:
        """The last line that it prints, as JSON."""
        return json.loads(self.run_inside(container, code, *arguments).strip().splitlines()[-1])

    def kill(self, service: str) -> None:
        """kill -9 of its first process; Docker starts it again."""
        container = self.service(service)
        before = self.started_at(container)
        process = self.client.inspect_container(container)["State"]["Pid"]
        # From a container that sees the processes of Docker's machine: whoever runs the tests need not be its root.
        host = self.client.create_host_config(pid_mode="host", network_mode="none")
        command = ["python3", "-c", f"import os; os.kill({process}, 9)"]
        made = self.client.create_container(self.image, command, user="0", labels={TEST: self.name}, host_config=host)
        self.client.start(made["Id"])
        assert self.client.wait(made["Id"])["StatusCode"] == 0
        self.client.remove_container(made["Id"])
        wait_until(lambda: self.started_at(container) != before, f"{service} to be started again")

    def logs(self) -> bytes:
        """Of all containers of the hub's side."""
        return b"".join(self.client.logs(self.service(name)) for name in SERVICES)


def _said(command: list[str], stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def unused_pool(client: docker.APIClient) -> ipaddress.IPv4Network:
    """A /20 that no network of this engine has, for workspaces' networks."""
    taken = []
    for network in client.networks():
        for config in (network["IPAM"] or {}).get("Config") or []:
            if "." in config.get("Subnet", ""):
                taken.append(ipaddress.IPv4Network(config["Subnet"]))
    while True:
        found = ipaddress.IPv4Network(f"10.{secrets.randbelow(30) + 220}.{16 * secrets.randbelow(16)}.0/20")
        if not any(found.overlaps(each) for each in taken):
            return found


def openai_wheels() -> Path:
    """A folder with the package and what it needs, for the Python of the images; downloaded once."""
    wanted = f"openai=={version('openai')}"
    folder = images.CACHE / "wheels" / f"test-{wanted}"
    if not folder.is_dir():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(unfinished), *images.target_flags(), wanted]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        unfinished.rename(folder)
    return folder


@contextmanager
def running(client: docker.APIClient, folder: Path, built: Sequence[str], **more: str) -> Iterator[Installation]:
    made = Installation(client, folder, **more)
    try:
        made.start(built)
        yield made
    finally:
        made.end()
