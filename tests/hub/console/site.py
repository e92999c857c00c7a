"""The console beside a real JupyterHub with our configuration, its proxy, the gateway and its books, on loopback.

Workspaces are small processes; everything else is what a site has.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.fixtures import unused_port
from tests.hub.commands.site import CHEAPER, PASSWORD, Site
from tests.hub.jupyter import proxy_command

CONFIG = '''
import asyncio, os, subprocess, sys

from jupyterhub.spawner import Spawner

from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings


class SmallServer(Spawner):
    """A process that answers HTTP."""

    process = None

    async def start(self):
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=os.environ["CELLAR_DATA"], **streams)
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
configure(c, HubSettings.from_env(os.environ))
c.JupyterHub.spawner_class = SmallServer
c.Authenticator.auth_refresh_age = 1
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.hub_connect_url = os.environ["HUB_URL"]
c.Spawner.hub_connect_url = os.environ["HUB_URL"]
c.JupyterHub.bind_url = os.environ["PUBLIC_URL"] + os.environ.get("CELLAR_BASE_PATH", "/")
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.command = os.environ["PROXY_COMMAND"]
c.ConfigurableHTTPProxy.pid_file = os.path.join(os.environ["CELLAR_DATA"], "proxy.pid")
c.JupyterHub.cleanup_proxy = True
c.JupyterHub.cleanup_servers = True
c.JupyterHub.log_level = 30
for service in c.JupyterHub.services:
    if service["name"] == "cellar":
        del service["url"], service["oauth_no_confirm"]  # nobody asks a model here
c.JupyterHub.load_roles = [role for role in c.JupyterHub.load_roles if role.get("services", ["console"]) == ["console"]]
c.JupyterHub.services = [each for each in c.JupyterHub.services if each["name"] in ("commands", "console", "cellar")]
'''

POLICY = """\
# What everybody may.
[default]
tokens_per_month = 1_000_000   # enough for most
"""


class ConsoleSite(Site):
    """`public` is where a browser finds it; `console` the pages' address. `admin` and `ann` have accounts."""

    def __init__(self, folder: Path, database: str = "", gateway: Mapping[str, str] | None = None, **env: str) -> None:
        """`database`: of gateway and console; empty: SQLite. `gateway`: more settings of it; `env`: of the others."""
        self.public = f"http://127.0.0.1:{unused_port()}"
        self.console = f"{self.public}/services/console"
        self._port = unused_port()
        self.own = f"http://127.0.0.1:{self._port}"
        self._more = env
        self._console: subprocess.Popen[bytes] | None = None
        (folder / "policy").mkdir()
        (folder / "policy" / "policy.toml").write_text(POLICY)
        policy = {"CELLAR_POLICY": str(folder / "policy" / "policy.toml")}
        super().__init__(folder, books=policy | {"CELLAR_DATABASE_URL": database} | dict(gateway or {}), **policy)
        try:
            self.start_console()
            self.add("admin", "--admin")
            self.add("ann")
        except BaseException:
            self.end()
            raise

    @property
    def policy(self) -> Path:
        return self.folder / "policy" / "policy.toml"

    def start_hub(self) -> None:
        self.env |= {
            "PUBLIC_URL": self.public,
            "PROXY_COMMAND": proxy_command(),
            "CELLAR_PROXY_API_URL": f"http://127.0.0.1:{unused_port()}",
            "CELLAR_CONSOLE_TOKEN": "k" * 32,
            "CELLAR_CONSOLE_URL": f"http://127.0.0.1:{self._port}",
            "CELLAR_ADMINS": "admin",
            **self._more,
        }
        (self.folder / "config.py").write_text(CHEAPER + CONFIG)
        super().start_hub()

    def start_console(self) -> None:
        """Raises AssertionError with its log when it does not come up."""
        env = self.env | self.books | {"CELLAR_CONSOLE_LISTEN": f"127.0.0.1:{self._port}"} | self._more
        self.console_log = self.folder / "console-log"
        with self.console_log.open("ab") as log:
            command = [sys.executable, "-m", "cellar_hub.console"]
            self._console = subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            assert self._console.poll() is None and time.monotonic() < deadline, self.console_log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.console}/static/console.css", timeout=5).is_success:
                    return
            time.sleep(0.05)  # a process says nothing when it listens

    def stop_console(self) -> None:
        if self._console is not None:
            self._console.terminate()
            self._console.wait(20)
            self._console = None

    def end(self) -> None:
        self.stop_console()
        super().end()

    def form(self, browser: httpx.Client, path: str, page: str = "", **fields: str) -> httpx.Response:
        """What a form of that page (or of another `page`) sends there, and the page that comes of it."""
        token = xsrf_of(browser.get(f"/services/console/{page or path}").text)
        return browser.post(f"/services/console/{path}", data={"_xsrf": token, **fields})

    def browser(self, name: str, **headers: str) -> httpx.Client:
        """Somebody who has logged in to hub and console."""
        found = httpx.Client(base_url=self.public, timeout=30, follow_redirects=True, headers=headers)
        found.get("/hub/login")
        token = next(cookie.value for cookie in found.cookies.jar if cookie.name == "_xsrf")
        done = found.post(
            "/hub/login?next=/services/console/", data={"username": name, "password": PASSWORD, "_xsrf": str(token)}
        )
        assert done.status_code == 200, done.text[-2000:]
        return found


def xsrf_of(page: str) -> str:
    """As a form of the page would send it."""
    found = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert found is not None, page[:2000]
    return found[1]


def apart(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run it in a loop of its own: in a browser's test another one runs."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()
