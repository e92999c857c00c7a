"""From the log-in form to a usable JupyterLab: our hub against a plain DockerSpawner, in the same run.

Both are real, on the same engine, with the same images: ours is the stack that `make hub` starts; plain is JupyterHub
with DockerSpawner as its manual sets it up (one network for all, no limits, the hub holds Docker's socket). Every
log-in is a new user's first one, by turns. Usable: the form was posted, the server's progress was followed to its end
as the page does, and JupyterLab's page, the scripts it names, its settings, kernelspecs and `api/status` have answered.
No browser draws: what it would add is the same for both, and would only bring the two nearer to each other.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urljoin

import docker
import httpx

from bench.report import Row, Section, median, spread
from tests.docker import engine
from tests.docker.site import installation
from tests.fakes.fixtures import unused_port
from tests.ui.lab import wait_until
from tools import hub, images

ROUNDS = 5
PASSWORD = "a-password-for-all"
PACKAGES = ("jupyterhub", "dockerspawner", "docker")
CONFIG = """
c = get_config()
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_bind_url = "http://0.0.0.0:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.db_url = "sqlite:////tmp/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "/tmp/cookie-secret"
c.ConfigurableHTTPProxy.pid_file = "/tmp/proxy.pid"
c.JupyterHub.spawner_class = "docker"
c.DockerSpawner.image = {image!r}
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.network_name = {network!r}
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.prefix = {site!r}
c.DockerSpawner.volumes = {{"{site}-home-{{username}}": "/home/user"}}
c.DockerSpawner.extra_create_kwargs = {{"labels": {{{label!r}: {site!r}}}}}
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
"""
_SCRIPT = re.compile(r'<script[^>]* src="([^"]+)"')


class Visitor:
    """One user with the cookies of one browser."""

    def __init__(self, base: str, name: str, password: str) -> None:
        self.name, self.password = name, password
        self.steps: list[str] = []  # of the last log-in: seconds since the form, and what was told
        self._http = httpx.Client(base_url=base, follow_redirects=True, timeout=150, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str) -> httpx.Response:
        answer = self._http.get(path)
        answer.raise_for_status()
        return answer

    def _xsrf(self, path: str) -> str:
        """The cookie's value that is for this path; servers set their own beside the hub's."""
        found = [each for each in self._http.cookies.jar if each.name == "_xsrf" and path.startswith(each.path)]
        return str(max(found, key=lambda each: len(each.path)).value)

    def log_in(self) -> float:
        """Seconds from the posted form until JupyterLab is usable."""
        self._get("/hub/login")
        form = {"username": self.name, "password": self.password, "_xsrf": self._xsrf("/hub/")}
        began = time.perf_counter()
        answer = self._http.post("/hub/login", data=form)
        answer.raise_for_status()
        self.steps = [f"{time.perf_counter() - began:.2f} logged in"]
        if f"/user/{self.name}/" not in answer.url.path:
            self._follow_progress(began)
        self._use()
        return time.perf_counter() - began

    def _follow_progress(self, began: float) -> None:
        path = f"/hub/api/users/{self.name}/server/progress"
        with self._http.stream("GET", path, params={"_xsrf": self._xsrf("/hub/")}) as events:
            for line in events.iter_lines():
                if not line.startswith("data: "):
                    continue
                told = json.loads(line[6:])
                self.steps.append(f"{time.perf_counter() - began:.2f} {told.get('message', '')}")
                if told.get("failed"):
                    raise AssertionError(f"{self.name}: {told}")
                if told.get("ready"):
                    return

    def _use(self) -> None:
        root = f"/user/{self.name}/"
        page = self._get(root + "lab")
        assert "jupyter-config-data" in page.text, page.text[:500]
        for script in _SCRIPT.findall(page.text):
            self._get(urljoin(str(page.url), script))
        for path in ("lab/api/settings", "api/kernelspecs", "api/status"):
            self._get(root + path)

    def leave(self) -> None:
        """Stop the server, and wait until it has gone."""
        headers = {"X-XSRFToken": self._xsrf("/hub/"), "Referer": str(self._http.base_url) + "hub/home"}
        self._http.delete(f"/hub/api/users/{self.name}/server", headers=headers).raise_for_status()
        home = f"/hub/api/users/{self.name}"
        wait_until(lambda: not self._http.get(home, headers=headers).json()["servers"], "the server to stop", 60)


@contextmanager
def plain(client: docker.APIClient, hub_image: str, image: str, folder: Path) -> Iterator[str]:
    """The address of JupyterHub with DockerSpawner as it comes."""
    site = engine.Site(client, hub_image)
    port = unused_port()
    config = folder / "plain.py"
    config.write_text(
        CONFIG.format(password=PASSWORD, image=image, network=site.net, site=site.name, label=engine.TEST)
    )
    socket = hub.docker_socket({})
    try:
        site.run(
            f"{site.name}-hub",
            ["jupyterhub", "-f", "/etc/plain.py"],
            {},
            site.net,
            "hub",
            binds=[f"{config}:/etc/plain.py:ro", f"{socket}:/var/run/docker.sock"],
            port_bindings={8000: ("127.0.0.1", port)},
            group_add=[str(socket.stat().st_gid)],
        )
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(base), "the plain hub", 300)
        yield base
    finally:
        site.close()
        for volume in client.volumes(filters={"name": f"{site.name}-home-"})["Volumes"] or []:
            client.remove_volume(volume["Name"], force=True)


def answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/hub/login", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


def _images() -> list[str]:
    """Those of this tree, built where they are missing; BUILD=0 takes them as they are."""
    if os.environ.get("BUILD") == "0":
        return [f"cellar-{name}:dev" for name in images.NAMES]
    return [images.build(name) for name in images.NAMES]


def section(rounds: int = ROUNDS) -> Section:
    client, reason = engine.connect()
    if client is None:
        raise SystemExit(reason)
    found = _images()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cellar-bench-")))
        folder.chmod(0o755)
        say("starting the stack")
        ours = stack.enter_context(installation.running(client, folder, found))
        base = stack.enter_context(plain(client, found[0], ours.image, folder))
        people = [f"user{number}" for number in range(rounds + 1)]
        for name in people:
            ours.add_user(name)
        taken: dict[str, list[float]] = {"plain": [], "ours": []}
        for number, name in enumerate(people):
            for which, visitor in (
                ("plain", Visitor(base, name, PASSWORD)),
                ("ours", Visitor(ours.url, name, ours.passwords[name])),
            ):
                seconds = visitor.log_in()
                say(f"{name}, {which}: {seconds:.2f} s" + ("" if number else " (to warm up)"))
                say("  " + "; ".join(visitor.steps))
                if number:
                    taken[which].append(seconds)
                visitor.leave()
                visitor.close()
        version = client.version()["Version"]
    ratio = median(taken["ours"]) / median(taken["plain"])
    detail = spread(taken["ours"], "s", 2)
    how = (
        f"Docker {version}; new users' first log-in, one at a time, by turns: form posted, progress followed, "
        "JupyterLab's page, scripts, settings, kernelspecs and api/status answered. Plain: JupyterHub with "
        "DockerSpawner as it comes, the same images; ours: what `make hub` starts."
    )
    return Section(
        "Log-in",
        how,
        [
            Row("log in -> JupyterLab usable, times plain DockerSpawner", ratio, "x", 1.15, detail, ""),
            Row(
                "log in -> JupyterLab usable",
                median(taken["ours"]),
                "s",
                None,
                detail,
                "plain: " + spread(taken["plain"], "s", 2),
            ),
        ],
        PACKAGES,
    )
