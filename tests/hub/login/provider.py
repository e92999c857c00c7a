"""A real provider of OpenID Connect on loopback: npm's oidc-provider, installed once into the cache."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx

from tests.fakes.fixtures import unused_port
from tests.hub.jupyter import CACHE

PACKAGE = "oidc-provider@9"
MISSING = f"npm's {PACKAGE} is missing (npm must reach a registry once): no test of OpenID Connect ran"
CLIENT, SECRET = "cellar", "a-secret-of-the-tests-0123456789"
SCRIPT = Path(__file__).with_name("provider.mjs")


def modules() -> Path | None:
    """The folder with the package; None where it cannot be had."""
    folder = CACHE / PACKAGE
    npm = shutil.which("npm")
    if npm and not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as part:  # several processes may want it at once
            command = [npm, "install", "--prefix", f"{part}/new", "--no-audit", "--no-fund", PACKAGE]
            if subprocess.run(command, check=False, capture_output=True, timeout=300).returncode == 0:
                with contextlib.suppress(OSError):  # somebody else was first
                    Path(part, "new").rename(folder)
    return folder if (folder / "node_modules" / "oidc-provider").is_dir() else None


class Provider:
    """`callback`: where it sends browsers back."""

    def __init__(self, folder: Path, modules: Path, callback: str) -> None:
        self.url = f"http://127.0.0.1:{unused_port()}"
        script = modules / "provider.mjs"  # modules are looked for beside it
        script.write_text(SCRIPT.read_text())
        self._log = folder / "provider-log"
        self._command = ["node", str(script), self.url.rpartition(":")[2], CLIENT, SECRET, callback]
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/.well-known/openid-configuration", timeout=5).is_success:
                    return

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def settings(self) -> dict[str, str]:
        return {
            "CELLAR_LOGIN": "oidc",
            "CELLAR_OIDC_NAME": "Test House",
            "CELLAR_OIDC_CLIENT_ID": CLIENT,
            "CELLAR_OIDC_CLIENT_SECRET": SECRET,
            "CELLAR_OIDC_AUTHORIZE_URL": f"{self.url}/auth",
            "CELLAR_OIDC_TOKEN_URL": f"{self.url}/token",
            "CELLAR_OIDC_USERINFO_URL": f"{self.url}/me",
            "CELLAR_OIDC_SCOPES": "openid profile email groups",
        }


def go_through(browser: httpx.Client, start: str, name: str) -> httpx.Response:
    """From the button at the log-in page through the provider's own pages and back; the hub's answer."""
    answer, here = browser.get(start), start
    while True:
        if answer.is_redirect:
            here = urljoin(here, answer.headers["location"])
            if "/oauth_callback" in here:
                return browser.get(here)
            answer = browser.get(here)
            continue
        form = re.search(r'action="([^"]+)"', answer.text)
        assert answer.status_code == 200 and form, answer.text[:2000]
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        assert prompt
        typed = {"prompt": prompt[1]} | ({"login": name, "password": "any"} if prompt[1] == "login" else {})
        here = urljoin(here, form[1])
        answer = browser.post(here, data=typed)


@contextlib.contextmanager
def running(folder: Path, modules: Path, callback: str) -> Iterator[Provider]:
    found = Provider(folder, modules, callback)
    try:
        yield found
    finally:
        found.stop()
