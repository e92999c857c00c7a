"""A real provider of OpenID Connect on loopback, over TLS with an authority of its own: npm's oidc-provider, installed
once into the cache."""

from __future__ import annotations

import contextlib
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
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
    """`callback`: where it sends browsers back. `ca`: the file of its authority."""

    def __init__(self, folder: Path, modules: Path, callback: str) -> None:
        self.url = f"https://127.0.0.1:{unused_port()}"
        self.ca = make_authority(folder)
        self.certificate = make_certificate(folder, self.ca)
        self.trust = ssl.create_default_context(cafile=str(self.ca))
        script = modules / "provider.mjs"  # modules are looked for beside it
        script.write_text(SCRIPT.read_text())
        self._log = folder / "provider-log"
        self._command = ["node", str(script), self.url.rpartition(":")[2], CLIENT, SECRET, callback]
        self._command += map(str, reversed(self.certificate))
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/.well-known/openid-configuration", verify=self.trust).is_success:
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
            "CELLAR_OIDC_ISSUER": self.url,
            "CELLAR_OIDC_CA": str(self.ca),
            "CELLAR_OIDC_SCOPES": "openid profile email groups",
        }

    def addresses(self) -> dict[str, str]:
        """The settings of somebody who writes down by hand where it is."""
        return {
            "CELLAR_OIDC_ISSUER": "",
            "CELLAR_OIDC_AUTHORIZE_URL": f"{self.url}/auth",
            "CELLAR_OIDC_TOKEN_URL": f"{self.url}/token",
            "CELLAR_OIDC_USERINFO_URL": f"{self.url}/me",
        }

    def go_through(self, browser: httpx.Client, start: str, name: str) -> httpx.Response:
        """From the button at the log-in page through the provider's own pages and back; the hub's answer."""
        answer = browser.get(start)
        if not answer.is_redirect:
            return answer
        here = answer.headers["location"]
        with httpx.Client(verify=self.trust, timeout=30) as there:
            answer = there.get(here)
            while True:
                if answer.is_redirect:
                    here = urljoin(here, answer.headers["location"])
                    if "/oauth_callback" in here:
                        return browser.get(here)
                    answer = there.get(here)
                    continue
                form = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert answer.status_code == 200 and form and prompt, answer.text[:2000]
                typed = {"login": name, "password": "any"} if prompt[1] == "login" else {}
                here = urljoin(here, form[1])
                answer = there.post(here, data={"prompt": prompt[1]} | typed)


def make_authority(folder: Path) -> Path:
    """An authority that is known in this folder alone."""
    ca = folder / "ca.pem"
    _openssl(ca, ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectKeyIdentifier=hash"))
    return ca


def make_certificate(folder: Path, ca: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 by that authority, and its key."""
    cert = folder / "provider.pem"
    extensions = ("basicConstraints=CA:FALSE", "subjectAltName=IP:127.0.0.1", "authorityKeyIdentifier=keyid")
    _openssl(cert, extensions, "-CA", ca, "-CAkey", ca.with_suffix(".key"))
    return cert, cert.with_suffix(".key")


def _openssl(cert: Path, extensions: Iterable[str], *more: str | Path) -> None:
    config = cert.with_suffix(".cnf")  # the machine's own would make an authority of everybody
    config.write_text("\n".join(["[req]", "distinguished_name=name", "x509_extensions=these", "[name]", "[these]"]))
    with config.open("a") as file:
        file.writelines(f"\n{each}" for each in extensions)
    request: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    request += ["-config", config, "-subj", f"/CN={cert.stem}", "-days", "2"]
    request += ["-keyout", cert.with_suffix(".key"), "-out", cert]
    subprocess.run([*request, *more], check=True, capture_output=True)


@contextlib.contextmanager
def running(folder: Path, modules: Path, callback: str) -> Iterator[Provider]:
    found = Provider(folder, modules, callback)
    try:
        yield found
    finally:
        found.stop()
