"""Idle workspaces, as a chain: JupyterHub with our configuration and the culler that it starts, single-user servers
with Cellar, and a model that answers for as long as the test wants. No containers; seconds instead of minutes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from tests.fakes.fixtures import unused_port
from tests.fakes.vllm import FakeVLLM
from tests.hub.jupyter import NO_PROXY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
IDLE = 8
GRACE = 20
"""jupyterhub-singleuser waits up to 15 s before it tries again to report to a hub that was away."""
TOKEN = "token-of-a-test-0123456789"
PASSWORD = "a long password"
USERS = ("seldom", "resting", "computing", "asking")
QUIET = {"no_track_activity": "1"}

WORKSPACE = """
import sys
from datetime import timedelta
from cellar_jupyter.server import awake, driving

awake.EVERY = driving.AWAKE = 0.2
awake.PAUSE = timedelta(seconds=1)
from jupyterhub.singleuser import main

main()
"""

CONFIG = """
import json, os, sys
from cellar_hub import configure as ours
from cellar_hub.settings import HubSettings
from jupyterhub.spawner import SimpleLocalProcessSpawner

ours.REPORTS, ours.GRACE, ours.LOOKS = 2, int(os.environ["GRACE"]), 1
c = get_config()
ours.configure(c, HubSettings.from_env(os.environ))

PORTS = json.loads(os.environ["PORTS"])


class Workspace(SimpleLocalProcessSpawner):
    home_dir_template = os.path.join(os.getcwd(), "home-{username}")

    async def start(self):
        self.port = PORTS[self.user.name]  # one that JupyterHub finds could be another's before the workspace is there
        address, port = await super().start()
        with open(self.home_dir + "/address", "w") as file:
            file.write(f"http://{address}:{port}/user/{self.user.name}")
        return address, port

    def get_env(self):
        env = super().get_env() | {
            "VLLM_BASE_URL": os.environ["MODEL"], "JUPYTER_RUNTIME_DIR": self.home_dir + "/runtime",
            "JUPYTER_DATA_DIR": self.home_dir + "/data", "JUPYTER_CONFIG_DIR": self.home_dir + "/config",
        }
        return env | ({"JUPYTERHUB_ACTIVITY_INTERVAL": "3600"} if self.user.name == "seldom" else {})


c.JupyterHub.spawner_class = Workspace
c.LocalProcessSpawner.interrupt_timeout = 0  # a process of the background does not hear SIGINT
c.Spawner.cmd = [sys.executable, os.path.abspath("workspace.py"), "--allow-root"]
c.Spawner.hub_connect_url = c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = os.environ["HUB_URL"]
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["PASSWORD"]
c.Authenticator.allow_all = True
c.JupyterHub.services = [each for each in c.JupyterHub.services if each["name"] == "culler"]
c.JupyterHub.services.append({"name": "test", "api_token": os.environ["TOKEN"]})
scopes = ["admin:users", "admin:servers", "access:servers", "read:hub"]
c.JupyterHub.load_roles = [role for role in c.JupyterHub.load_roles if role["name"] in ("user", "culler")]
c.JupyterHub.load_roles.append({"name": "test", "scopes": scopes, "services": ["test"]})
c.JupyterHub.load_roles[0]["scopes"] = ["self", ours.LLM]
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", ours.LLM]
"""


class Site:
    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{unused_port()}"
        headers = {"Authorization": f"token {TOKEN}"}
        self.http = httpx.Client(base_url=self.url + "/hub/api", headers=headers, timeout=60, trust_env=False)
        self.log = folder / "log"
        self.env = os.environ | {
            "HUB_URL": self.url,
            "MODEL": model,
            "TOKEN": TOKEN,
            "GRACE": str(GRACE),
            "PASSWORD": PASSWORD,
            "PORTS": json.dumps({user: unused_port() for user in USERS}),
            "CELLAR_DATA": str(folder),
            "CELLAR_IDLE_TIMEOUT": str(IDLE),
            "CELLAR_GATEWAY_TOKEN": "g" * 32,
            "CONFIGPROXY_AUTH_TOKEN": "p" * 32,
            "CELLAR_WORKSPACE_IMAGES": "none",
            "CELLAR_LOG_LEVEL": "info",
        }
        (folder / "config.py").write_text(NO_PROXY + CONFIG)
        (folder / "workspace.py").write_text(WORKSPACE)

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self.until(self.answers)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return self.http.get("/").is_success
        return False

    def stop(self) -> None:
        """Once JupyterHub went on for half a minute after it ("Cleaning up 1 services"); the next signal ended it."""
        for _ in range(2):
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
                return
        raise AssertionError(self.log.read_text()[-3000:])

    def close(self) -> None:
        for user in self.http.get("/users").json():
            self.http.delete(f"/users/{user['name']}/server")
        self.until(lambda: not any(user["servers"] for user in self.http.get("/users").json()))
        self.stop()
        self.http.close()

    def until(self, met: Callable[[], bool], patience: float = 90) -> None:
        deadline = time.monotonic() + patience
        while not met():
            assert time.monotonic() < deadline, self.log.read_text()[-6000:]
            time.sleep(0.05)

    def server(self, user: str) -> Any:
        """What the hub knows of it; None when it does not run."""
        return self.http.get(f"/users/{user}").json()["servers"].get("")

    def start_server(self, user: str) -> httpx.Client:
        """A client of it, which it takes for the hub's; it leaves no trace of activity unless it does something."""
        self.http.post(f"/users/{user}")
        answer = self.http.post(f"/users/{user}/server")
        assert answer.is_success, answer.text
        self.until(lambda: bool((self.server(user) or {}).get("ready")))
        return self.client(user)

    def client(self, user: str) -> httpx.Client:
        address = (self.folder / f"home-{user}/address").read_text()
        headers = {"Authorization": f"token {TOKEN}"}
        return httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)

    def compute(self, user: str, gate: Path) -> None:
        """A kernel that says nothing until the file is there."""
        with self.client(user) as server:
            kernel = server.post("/api/kernels", json={}).json()["id"]
            client = BlockingKernelClient()
            client.load_connection_file(str(self.folder / f"home-{user}/runtime/kernel-{kernel}.json"))
            client.start_channels()
            client.wait_for_ready(60)
            client.execute(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)")

            def busy() -> bool:
                answer = server.get(f"/api/kernels/{kernel}", params=QUIET)
                return bool(answer.json()["execution_state"] == "busy")

            self.until(busy)
            client.stop_channels()

    def forget_activity(self) -> None:
        """As if the hub had been away for days."""
        with contextlib.closing(sqlite3.connect(self.folder / "jupyterhub.sqlite")) as database:
            database.execute("UPDATE spawners SET last_activity = '2020-02-02 02:02:02.000000'")
            database.commit()

    def reported(self, user: str) -> datetime:
        return datetime.fromisoformat(self.server(user)["last_activity"])

    def log_in(self, user: str) -> httpx.Client:
        browser = httpx.Client(base_url=self.url, timeout=30, trust_env=False, follow_redirects=True)
        browser.get("/hub/login")
        token = next(str(cookie.value) for cookie in browser.cookies.jar if cookie.name == "_xsrf")
        browser.post("/hub/login", data={"username": user, "password": PASSWORD, "_xsrf": token})
        return browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _one_fake: FakeVLLM) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"), _one_fake.url)
    found.start()
    yield found
    found.close()


def test_who_comes_back_after_a_pause_is_reported_at_once(site: Site) -> None:
    """Not with the next report, five minutes later: the idle time may be over before."""
    with site.start_server("seldom") as server:

        def rests() -> bool:
            status = server.get("/api/status", params=QUIET).json()
            return datetime.now(UTC) - datetime.fromisoformat(status["last_activity"]) > timedelta(seconds=1.5)

        site.until(rests)
        before = site.reported("seldom")
        server.get("/api/contents")
        site.until(lambda: site.reported("seldom") > before, patience=20)


def test_who_does_nothing_is_stopped_and_who_computes_or_is_answered_some_time_after_its_end(
    site: Site, gated_model: FakeVLLM, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(3) as pool:
        for client in pool.map(site.start_server, USERS[1:]):
            client.close()
    site.compute("computing", gate)
    with site.client("asking") as asking:
        asked = asking.post("/cellar/api/turns", json={"request_key": secrets.token_hex(8), "text": "work"})
        assert asked.status_code == 201, asked.text
    gated_model.wait_for(lambda fake: fake.running == 1)

    site.stop()  # an hour of maintenance: nobody hears of activity meanwhile
    site.forget_activity()
    site.start()
    site.until(lambda: site.server("resting") is None)
    for user in ("computing", "asking"):
        assert site.server(user)["ready"], site.log.read_text()[-6000:]
    assert gated_model.running == 1

    with contextlib.closing(site.log_in("resting")) as browser:
        offered = browser.get("/hub/user/resting/lab")
        assert "/hub/spawn/resting" in offered.text, (offered.status_code, offered.text)
        browser.get("/hub/spawn/resting")
    site.until(lambda: bool((site.server("resting") or {}).get("ready")))

    gated_model.release_all()
    gate.touch()
    ended = datetime.now(UTC)
    last = dict.fromkeys(("computing", "asking"), ended)
    while running := [user for user in last if site.server(user) is not None]:
        for user in running:
            last[user] = datetime.now(UTC)
        assert datetime.now(UTC) - ended < timedelta(seconds=60)
    for user in last:
        assert last[user] - ended > timedelta(seconds=IDLE - 1), user
