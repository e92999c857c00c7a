"""A real JupyterHub on loopback: users and tokens are made through its API, servers by a spawner that starts a small
real process. With `proxy=True` a real configurable-http-proxy stands before it, installed once by npm into a
cache directory.

Roles come by `load_roles`, so that the same works with JupyterHub 5.5 (tools/older_hub.py). The group "llm" may use the
models.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.fakes.fixtures import unused_port

PATIENCE = 60.0
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cellar"
PROXY_VERSION = "5"
GROUP = "llm"

NO_PROXY = '''
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    """The hub is asked directly."""

    should_start = False
    routes = {}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes
'''
"""Lines of a jupyterhub_config.py."""

CONFIG = (
    NO_PROXY
    + '''
import asyncio, os, subprocess, sys
from jupyterhub.auth import Authenticator
from jupyterhub.spawner import Spawner


class NoPassword(Authenticator):
    """Nobody logs in by a page here: tests have tokens."""

    async def authenticate(self, handler, data):
        return None


class SmallServer(Spawner):
    """A process that answers HTTP; its token lies in a file for the test."""

    process = None

    async def start(self):
        home = os.environ["HUB_HOME"]
        with open(os.path.join(home, self.user.name + ".token"), "w") as file:
            file.write(self.api_token)
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=home, **streams)
        told = await asyncio.to_thread(self.process.stdout.readline)  # Serving HTTP on 127.0.0.1 port 40053 (...
        return ("127.0.0.1", int(told.split()[5]))

    async def poll(self):
        return 0 if self.process is None else self.process.poll()

    async def stop(self, now=False):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


c = get_config()
c.JupyterHub.authenticator_class = NoPassword
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = SmallServer
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", "custom:llm:chat"]
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.bind_url = os.environ["PUBLIC_URL"]
c.JupyterHub.db_url = os.environ["HUB_DATABASE"] or "sqlite:///" + os.path.join(os.environ["HUB_HOME"], "hub.sqlite")
if os.environ["HUB_DATABASE"]:  # as our own configuration has it
    from cellar_hub.reconnecting import database_options, keep_connected
    keep_connected()
    c.JupyterHub.db_kwargs = database_options(c.JupyterHub.db_url)
c.JupyterHub.cookie_secret_file = os.path.join(os.environ["HUB_HOME"], "cookie-secret")
c.JupyterHub.cleanup_servers = False
c.JupyterHub.log_level = 20 if os.environ["HUB_DATABASE"] else 30  # 20 tells the end of the start
if os.environ["PROXY_COMMAND"]:
    c.ConfigurableHTTPProxy.command = os.environ["PROXY_COMMAND"]
    c.ConfigurableHTTPProxy.api_url = os.environ["PROXY_API"]
    c.ConfigurableHTTPProxy.pid_file = os.path.join(os.environ["HUB_HOME"], "proxy.pid")
else:
    c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.custom_scopes = {"custom:llm:chat": {"description": "Use the models"}}
c.JupyterHub.load_groups = {"llm": {"users": []}, "research": {"users": []}}
c.JupyterHub.services = [
    {"name": "tests", "api_token": os.environ["ADMIN_TOKEN"]},
    {"name": "cellar", "api_token": os.environ["GATEWAY_TOKEN"], "url": os.environ["GATEWAY_URL"]},
]
if os.environ["HUB_DATABASE"]:
    del c.JupyterHub.services[1]["url"]  # nobody waits for it: the start ends soon
c.JupyterHub.load_roles = [
    {"name": "llm", "scopes": ["custom:llm:chat"], "groups": ["llm"]},
    {
        "name": "tests",
        "scopes": [
            "admin:users", "admin:servers", "admin:groups", "tokens", "read:hub", "read:metrics", "custom:llm:chat"
        ],
        "services": ["tests"],
    },
]
'''
)


class Hub:
    """`url` is the hub's own address, `api` its API, `public` the proxy's address. `database`: its address; empty: a
    file."""

    def __init__(
        self, home: Path, *, proxy: bool = False, gateway_url: str = "http://127.0.0.1:9", database: str = ""
    ) -> None:
        self.home = home
        self.database = database
        self.admin_token = secrets.token_hex(16)
        self.gateway_token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{unused_port()}"
        self.public = f"http://127.0.0.1:{unused_port()}"
        self.api = self.url + "/hub/api"
        self.gateway_url = gateway_url
        self._proxy = proxy_command() if proxy else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=self.api, headers={"authorization": f"token {self.admin_token}"})
        self._tokens: dict[tuple[str, ...], str] = {}

    def start(self) -> None:
        config = self.home / "jupyterhub_config.py"
        config.write_text(CONFIG)
        bin_dir = Path(sys.executable).parent
        env = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("JUPYTERHUB_", "CONFIGPROXY_"))
            },
            "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}",
            "HUB_HOME": str(self.home),
            "HUB_URL": self.url,
            "HUB_DATABASE": self.database,
            "PUBLIC_URL": self.public,
            "PROXY_COMMAND": self._proxy,
            "PROXY_API": f"http://127.0.0.1:{unused_port()}",
            "ADMIN_TOKEN": self.admin_token,
            "GATEWAY_TOKEN": self.gateway_token,
            "GATEWAY_URL": self.gateway_url,
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
        }
        with (self.home / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(config)],
                cwd=self.home,
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_up()

    def stop(self) -> int:
        """Its exit status."""
        status = 0
        if self._process is not None:
            self._process.terminate()
            status = self._process.wait(20)
            self._process = None
        return status

    def ended(self) -> int:
        """The exit status of one that ends by itself."""
        assert self._process is not None
        status, self._process = self._process.wait(20), None
        return status

    def close(self) -> None:
        self.stop()
        self._http.close()

    @property
    def log(self) -> str:
        return (self.home / "hub.log").read_text(errors="replace")

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        addresses = [self.api + "/"] + ([self.public + "/hub/api/"] if self._proxy else [])
        while addresses:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"JupyterHub did not start:\n{self.log[-3000:]}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(addresses[0], timeout=2).is_success:
                    addresses.pop(0)
                    continue
            time.sleep(0.05)

    # -- through the API -----------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, json: Any = None) -> Any:
        answer = self._http.request(method, path, json=json, timeout=PATIENCE)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def user(self, name: str, *groups: str) -> str:
        """Make a user, if there is none, and a token of theirs; in the group that may use the models, and in others."""
        known = self._tokens.get((name, *groups))
        if known is None:
            self._make(name, GROUP, *groups)
            known = self._tokens[name, *groups] = self.token(name)
        return known

    def outsider(self, name: str) -> str:
        """A token of a user who may not use the models."""
        self._make(name)
        return self.token(name)

    def token(self, name: str, **more: Any) -> str:
        """`expires_in` in seconds; `scopes`: fewer than the user has."""
        return str(self.ask("POST", f"/users/{quote(name, safe='')}/tokens", more or None)["token"])

    def delete_token(self, name: str, token: str) -> None:
        found = httpx.get(self.api + "/user", headers={"authorization": f"token {token}"}).json()
        self.ask("DELETE", f"/users/{name}/tokens/{found['token_id']}")

    def start_server(self, name: str) -> str:
        """Start a user's server; the token it got."""
        self._make(name, GROUP)
        self.ask("POST", f"/users/{name}/server")
        deadline = time.monotonic() + PATIENCE
        while not self.ask("GET", f"/users/{name}")["servers"].get("", {}).get("ready"):
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.05)
        return (self.home / f"{name}.token").read_text()

    def stop_server(self, name: str) -> None:
        """`remove` is what ends its token's life (Docker's `remove=True` does the same)."""
        self.ask("DELETE", f"/users/{name}/server")

    def _make(self, name: str, *groups: str) -> None:
        answer = self._http.post(f"/users/{quote(name, safe='')}", timeout=PATIENCE)
        assert answer.status_code in (201, 409), answer.text
        for group in groups:
            self.ask("POST", f"/groups/{group}/users", {"users": [name]})


def proxy_command() -> str:
    """configurable-http-proxy: the one on the PATH, or one that npm puts into the cache; empty where npm is missing."""
    found = shutil.which("configurable-http-proxy")
    if found:
        return found
    package = f"configurable-http-proxy@{PROXY_VERSION}"
    folder = CACHE / package
    npm = shutil.which("npm")
    if npm and not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as part:  # several processes may want it at once
            command = [npm, "install", "--prefix", f"{part}/new", "--no-audit", "--no-fund", package]
            if subprocess.run(command, check=False, capture_output=True, timeout=300).returncode == 0:
                with contextlib.suppress(OSError):  # somebody else was first
                    Path(part, "new").rename(folder)
    binary = folder / "node_modules" / ".bin" / "configurable-http-proxy"
    return str(binary) if binary.exists() else ""


@contextlib.contextmanager
def running(home: Path, **more: Any) -> Iterator[Hub]:
    hub = Hub(home, **more)
    try:
        hub.start()
        yield hub
    finally:
        hub.close()
