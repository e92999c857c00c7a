"""A real JupyterHub with our log-in, the gateway that keeps its audit, and the command line beside them."""

from __future__ import annotations

import asyncio
import contextlib
import html
import io
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
from cellar_hub.audit import Event, Search, find_entries
from cellar_hub.commands.program import run
from cellar_hub.store import Store

from tests.fakes.fixtures import unused_port
from tests.hub.gateway.process import GatewayProcess
from tests.hub.jupyter import NO_PROXY

CHEAPER = """
import os
import bcrypt
salt = bcrypt.gensalt
bcrypt.gensalt = lambda: salt(rounds=int(os.environ.get("PASSWORD_ROUNDS", "4")))
"""
"""First lines of a jupyterhub_config.py, before what computes a password is imported: it costs less than the 12 rounds
of a site, which were most of what a hub had to do in these tests. A test of what they cost asks for those."""
CONFIG = """
import os
import time
from cellar_hub.configure import configure
from cellar_hub.login import entrance
from cellar_hub.settings import HubSettings
from traitlets.config import Config

class Clock:
    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def time():
        with open("clock") as file:
            return float(file.read())

entrance.time = Clock  # of who has to wait, and how long: a test says how it goes on, whatever the machine has to do

def told(work):
    def run(password, salt):
        with open("work", "a") as file:
            file.write(f"{work.__name__} {salt[:7].decode()}\\n")
        return work(password, salt)
    return run

bcrypt.checkpw, bcrypt.hashpw = told(bcrypt.checkpw), told(bcrypt.hashpw)
configured = Config()
configure(configured, HubSettings.from_env(os.environ))
c = get_config()
c.JupyterHub.authenticator_class = configured.JupyterHub.authenticator_class
c.JupyterHub.template_paths = configured.JupyterHub.template_paths
c.JupyterHub.template_vars = configured.JupyterHub.template_vars
c.JupyterHub.tornado_settings = configured.JupyterHub.tornado_settings
c.Login.hub_settings = configured.Login.hub_settings
c.Login.most_waiting = 5
for name in ("NativeAuthenticator", "PAMAuthenticator", "LDAPAuthenticator", "GenericOAuthenticator"):
    c[name] = configured[name]
c.Authenticator.allow_existing_users = configured.Authenticator.allow_existing_users
c.LdapLogin.look_again = 0
c.Authenticator.manage_groups = configured.Authenticator.manage_groups
c.Authenticator.admin_users = {"admin"}
c.Authenticator.auth_refresh_age = 1
c.Authenticator.auth_refresh_strict = configured.Authenticator.get("auth_refresh_strict", False)
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.db_url = os.environ["CELLAR_HUB_DATABASE_URL"]
c.JupyterHub.cookie_secret_file = "cookie-secret"
c.JupyterHub.cookie_max_age_days = configured.JupyterHub.cookie_max_age_days
c.JupyterHub.token_expires_in_max_seconds = configured.JupyterHub.token_expires_in_max_seconds
c.JupyterHub.redirect_to_server = False
c.JupyterHub.log_level = 30
c.JupyterHub.services = [
    service for service in configured.JupyterHub.services if service["name"] == "commands"
] + [{"name": "helper", "api_token": "h" * 32}]
c.JupyterHub.custom_scopes = configured.JupyterHub.custom_scopes
c.JupyterHub.load_roles = [
    *(role for role in configured.JupyterHub.load_roles if role["name"] == "user"),
    {"name": "helper", "scopes": ["admin:users"], "services": ["helper"]},
]
"""
PASSWORD = "correct horse battery"
GUESS = "a wrong password"


def said(page: str) -> str:
    """Why somebody did not get in; the catalogue in the page has all that could be said."""
    found = re.search(r'class="login_error[^"]*"[^>]*>([^<]*)<', page)
    return html.unescape(found[1]) if found else ""


class Site:
    """A hub, a gateway that keeps the audit, and the command line beside them."""

    def __init__(self, folder: Path, port: int = 0, books: Mapping[str, str] | None = None, **more: str) -> None:
        """`books`: more settings of the gateway; `more`: of the hub."""
        self.url = f"http://127.0.0.1:{port or unused_port()}"
        self.env = (
            os.environ
            | {
                "HUB_URL": self.url,
                "CELLAR_HUB_API_URL": self.url + "/hub/api",
                "CELLAR_HUB_DATABASE_URL": f"sqlite:///{folder}/hub.sqlite",
                "CELLAR_COMMANDS_TOKEN": "c" * 32,
                "CELLAR_GATEWAY_TOKEN": "g" * 32,
                "CELLAR_OPERATOR": "kim",
                "CONFIGPROXY_AUTH_TOKEN": "p" * 32,
                "CELLAR_WORKSPACE_IMAGES": "none",
                "DOCKER_HOST": "tcp://127.0.0.1:9",  # nobody's: a test that asks it brings one (`engine`)
                "CELLAR_DATA": str(folder),
            }
            | more
        )
        self.books = {
            "VLLM_BASE_URL": "http://127.0.0.1:9/v1",
            "CELLAR_DATA": str(folder / "books"),
            "CELLAR_AUDIT_HEADS": str(folder / "heads"),
            "CELLAR_HUB_API_URL": self.url + "/hub/api",
            "CELLAR_GATEWAY_TOKEN": "g" * 32,
            "CELLAR_GATEWAY_OPERATIONS": f"127.0.0.1:{unused_port()}",
        } | dict(books or {})
        self.gateway = GatewayProcess(self.books, folder / "gateway-log")
        self.gateway.start()
        self.env["CELLAR_GATEWAY_OPERATIONS_URL"] = self.gateway.operations
        (folder / "config.py").write_text(CHEAPER + NO_PROXY + CONFIG)
        self.log = folder / "log"
        self._places = itertools.count(1)
        self.folder = folder
        self._now = time.time()
        self.pass_time(0)
        self.start_hub()

    def start_hub(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.url + "/hub/api/", timeout=5).is_success:
                    break
            time.sleep(0.05)

    def pass_time(self, seconds: float) -> None:
        """Where wrong passwords make wait: nothing passes there but this."""
        self._now += seconds
        beside = self.folder / "clock.new"
        beside.write_text(str(self._now))
        beside.replace(self.folder / "clock")

    def command(self, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """In this process: starting Python anew for each would be most of the time that these tests take."""
        out, errors, before = io.StringIO(), io.StringIO(), sys.stdin
        sys.stdin = io.StringIO(stdin)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                status = run(arguments, self.env | env)
        finally:
            sys.stdin = before
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.gateway.terminate()

    def events(self, subject: str | None = None) -> list[Event]:
        """What the audit says that was done to somebody, or to everybody: the last 500, oldest first."""
        store = Store.open(f"sqlite:///{self.books['CELLAR_DATA']}/cellar.db")
        with store.reading() as conn:
            found = find_entries(conn, Search(subject=subject, events_only=True))[::-1]
        asyncio.run(store.close())
        return [each.row for each in found if isinstance(each.row, Event)]

    def work(self) -> list[str]:
        """What the hub has computed of passwords, with what each has cost: `checkpw $2b$04$`."""
        return (self.folder / "work").read_text().splitlines()

    def add(self, name: str, *options: str) -> None:
        done = self.command("users", "add", name, "--password-stdin", *options, stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr

    def log_in(self, name: str, password: str, **headers: str) -> tuple[httpx.Client, int]:
        """A browser after the log-in form was sent, and the answer's status: 302 is in."""
        browser, answer = self.answer_to(name, password, **headers)
        return browser, answer.status_code

    def answer_to(self, name: str, password: str, **headers: str) -> tuple[httpx.Client, httpx.Response]:
        """Each is somewhere else, where `headers` do not say where it is: what one does must not make another wait."""
        headers.setdefault("X-Forwarded-For", "198.18.{}.{}".format(*divmod(next(self._places), 250)))
        browser = httpx.Client(base_url=self.url, timeout=30, headers=headers)
        browser.get("/hub/login")
        token = next(cookie.value for cookie in browser.cookies.jar if cookie.name == "_xsrf")
        form = {"username": name, "password": password, "_xsrf": str(token)}
        return browser, browser.post("/hub/login", data=form)

    def until_refused(self, name: str, seconds: int = 4, **headers: str) -> tuple[int, httpx.Response]:
        """Wrong passwords, each when it may be tried, until the next one must wait so long: how many were compared, and
        the refusal."""
        tries = 0
        while True:  # the test's time limit ends it
            browser, answer = self.answer_to(name, GUESS, **headers)
            browser.close()
            if answer.status_code == 403:
                tries += 1
                continue
            assert answer.status_code == 429
            wait = int(answer.headers["Retry-After"])
            if wait >= seconds:
                return tries, answer
            self.pass_time(wait)

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """JupyterHub's API, as somebody who may do everything."""
        headers = {"Authorization": "token " + self.env["CELLAR_COMMANDS_TOKEN"]}
        return httpx.request(method, f"{self.url}/hub/api{path}", headers=headers, json=body, timeout=30)

    def until_events(self, client: str, count: int) -> list[tuple[str, str, str]]:
        """Action, subject and reason of what the audit says of an address, when there are so many."""
        deadline = time.monotonic() + 30
        while len(found := [each for each in self.events() if each.detail.get("client") == client]) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return [(each.action, each.subject, str(each.detail.get("reason", ""))) for each in found]
