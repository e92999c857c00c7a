"""Accounts by the command line, against a real JupyterHub with our log-in: made, used, blocked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cellar_hub.commands.accounts import Unusable, check_password, parse_name

from tests.fakes.fixtures import unused_port

CONFIG = """
import os
from cellar_hub.login import Login
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {}

c = get_config()
c.JupyterHub.authenticator_class = Login
c.Authenticator.allow_existing_users = True
c.Authenticator.admin_users = {"admin"}
c.Authenticator.auth_refresh_age = 1
c.NativeAuthenticator.allowed_failed_logins = 3
c.NativeAuthenticator.seconds_before_next_try = 3600
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.db_url = os.environ["CELLAR_HUB_DATABASE_URL"]
c.JupyterHub.cookie_secret_file = "cookie-secret"
c.JupyterHub.log_level = 30
c.JupyterHub.services = [{"name": "commands", "api_token": os.environ["CELLAR_COMMANDS_TOKEN"]}]
scopes = ["admin:users", "admin:servers", "tokens"]
c.JupyterHub.load_roles = [{"name": "commands", "scopes": scopes, "services": ["commands"]}]
"""
PASSWORD = "correct horse battery"


class Site:
    """A hub and the command line beside it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{unused_port()}"
        self.env = os.environ | {
            "HUB_URL": self.url,
            "CELLAR_HUB_API_URL": self.url + "/hub/api",
            "CELLAR_HUB_DATABASE_URL": f"sqlite:///{folder}/hub.sqlite",
            "CELLAR_COMMANDS_TOKEN": "c" * 32,
            "CELLAR_GATEWAY_TOKEN": "g" * 32,
            "CELLAR_GATEWAY_OPERATIONS_URL": "http://127.0.0.1:9",
            "CONFIGPROXY_AUTH_TOKEN": "p" * 32,
            "CELLAR_WORKSPACE_IMAGES": "none",
        }
        (folder / "config.py").write_text(CONFIG)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
            self.process = subprocess.Popen(command, cwd=folder, env=self.env, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.url + "/hub/api/", timeout=5).is_success:
                    break

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", "from cellar_hub.commands.program import main; main()", *arguments]
        return subprocess.run(words, env=self.env, input=stdin, capture_output=True, text=True, timeout=60)

    def add(self, name: str, *options: str) -> None:
        done = self.command("users", "add", name, "--password-stdin", *options, stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr

    def log_in(self, name: str, password: str) -> tuple[httpx.Client, int]:
        """A browser after the log-in form was sent, and the answer's status: 302 is in."""
        browser = httpx.Client(base_url=self.url, timeout=30)
        browser.get("/hub/login")
        token = next(cookie.value for cookie in browser.cookies.jar if cookie.name == "_xsrf")
        form = {"username": name, "password": password, "_xsrf": str(token)}
        return browser, browser.post("/hub/login", data=form).status_code


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"))
    yield found
    found.process.terminate()
    found.process.wait()


def test_an_account_that_was_made_can_log_in_and_no_other(site: Site) -> None:
    site.add("Ann")
    browser, status = site.log_in("ann", PASSWORD)
    assert status == 302
    assert browser.get("/hub/home").status_code == 200
    browser.close()
    for name, password in (("ann", "wrong password"), ("nobody", PASSWORD), ("ann", "x" * 100), ("../ann", PASSWORD)):
        browser, status = site.log_in(name, password)
        browser.close()
        assert status == 403, (name, status)


def test_a_generated_password_is_told_once_and_works(site: Site) -> None:
    done = site.command("users", "add", "gen", "--generate")
    password = done.stdout.split("Password: ")[1].strip()
    browser, status = site.log_in("gen", password)
    browser.close()
    assert (status, len(password)) == (302, 16)


def test_adding_somebody_again_gives_a_new_password(site: Site) -> None:
    site.add("twice")
    site.command("users", "add", "twice", "--password-stdin", stdin="another password\n")
    for password, expected in ((PASSWORD, 403), ("another password", 302)):
        browser, status = site.log_in("twice", password)
        browser.close()
        assert status == expected


def test_a_blocked_user_is_out_at_once_with_cookie_and_tokens_until_unblocked(site: Site) -> None:
    site.add("eve")
    browser, _ = site.log_in("eve", PASSWORD)
    headers = {"Authorization": "token " + "c" * 32}
    made = httpx.post(site.url + "/hub/api/users/eve/tokens", headers=headers, json={}, timeout=30).json()["token"]
    with_token = {"Authorization": f"token {made}"}
    assert httpx.get(site.url + "/hub/api/user", headers=with_token, timeout=30).status_code == 200
    done = site.command("users", "block", "eve")
    assert done.returncode == 0, done.stderr
    assert "the gateway was not told" in done.stdout
    assert httpx.get(site.url + "/hub/api/user", headers=with_token, timeout=30).status_code == 403
    deadline = time.monotonic() + 20
    while browser.get("/hub/home").status_code == 200:
        assert time.monotonic() < deadline, "the cookie goes on working"
    browser.close()
    for action, expected in (("block", 403), ("unblock", 302)):
        assert site.command("users", action, "eve").returncode == 0
        browser, status = site.log_in("eve", PASSWORD)
        browser.close()
        assert status == expected


def test_wrong_passwords_in_a_row_make_the_account_wait(site: Site) -> None:
    site.add("target")
    for _ in range(4):
        site.log_in("target", "wrong password")[0].close()
    browser, status = site.log_in("target", PASSWORD)
    browser.close()
    assert status == 403


def test_the_list_says_who_may_log_in(site: Site) -> None:
    site.add("listed")
    names = site.command("users", "list", "--names").stdout.split()
    assert "listed" in names
    assert "admin" not in names  # a user of the hub without an account
    lines = site.command("users", "list").stdout
    assert any(line.split() == ["listed", "may", "log", "in"] for line in lines.splitlines())


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "é", "\u202eann", "-a", "a..b", "x" * 255, "a\nb", "a,b"])
def test_a_hostile_name_is_refused_in_one_line(name: str, site: Site) -> None:
    done = site.command("users", "add", "--generate", "--", name)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("password", ["short", "x" * 73, "é" * 40])
def test_a_password_that_is_too_short_or_would_be_cut_off_is_refused(password: str) -> None:
    with pytest.raises(Unusable):
        check_password(password)


def test_a_name_is_kept_in_lowercase() -> None:
    assert parse_name(" Ann.Lee@Example ") == "ann.lee@example"


def test_a_wrong_token_and_a_hub_that_is_down_are_said_in_one_line(site: Site) -> None:
    for change, said in (
        ({"CELLAR_COMMANDS_TOKEN": "x" * 32}, "403"),
        ({"CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api"}, "does not answer"),
        ({"CELLAR_COMMANDS_TOKEN": ""}, "CELLAR_COMMANDS_TOKEN must be set"),
    ):
        words = [sys.executable, "-c", "from cellar_hub.commands.program import main; main()", "users", "list"]
        done = subprocess.run(words, env=site.env | change, capture_output=True, text=True, timeout=60)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert said in done.stderr or "Missing or invalid credentials" in done.stderr
