"""A real JupyterLab server in a process of its own, and its REST API for the tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.fixtures import unused_port
from tools.demo import JUPYTER_CONFIG, write_sample

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "test-token"

# Beside the demo's: tests call commands by name (window.jupyterapp).
CONFIG = (
    JUPYTER_CONFIG
    + """
c.LabApp.expose_app_in_browser = True
c.JupyterNotebookApp.expose_app_in_browser = True
c.FileContentsManager.delete_to_trash = False
"""
)


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 30.0, every: float = 0.05) -> Any:
    """The first true value of `condition()`, asked `every` so many seconds, or less often where asking costs more:
    whoever waits leaves the processors to what is waited for. AssertionError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s for {what}")
        time.sleep(max(every, time.monotonic() - asked))  # a process, a port or a page cannot set an event here


class Lab:
    """JupyterLab (and Notebook 7, which the same process serves) over a folder of its own.

    `root` is the workspace; `home` holds data, configuration, settings and runtime files. `restart()` and `kill()` keep
    both, so a test can look at what survives. The log is in `home/server.log`.
    """

    def __init__(
        self, home: Path, env: dict[str, str] | None = None, config: str = "", python: str | Path = sys.executable
    ) -> None:
        """`config`: Python for jupyter_server_config.py; `python`: of the environment whose JupyterLab is to run."""
        self.home = home
        self.root = home / "workspace"
        self.env = dict(env or {})
        self.config = config
        self.python = python
        self.port = unused_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home / "server.log"

    # --- process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def page_url(self, path: str = "lab") -> str:
        """`path` is what follows the base URL: "lab", "lab/tree/sample.ipynb", "notebooks/sample.ipynb", "tree"."""
        mark = "&" if "?" in path else "?"
        return f"{self.url}{path}{mark}token={TOKEN}"

    def start(self) -> Lab:
        for folder in ("workspace", "data", "config", "runtime", "settings", "workspaces", "ipython"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / "config" / "jupyter_server_config.py").write_text(CONFIG + self.config)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_", "VLLM_", "CELLAR_"))}
        env |= {
            "HOME": str(self.home),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "PATH": os.pathsep.join([str(Path(self.python).parent), env.get("PATH", "")]),
            **self.env,
        }
        command = [
            *(str(self.python), "-m", "jupyterlab", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
            *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.root}"),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=env, cwd=self.root, stdout=log, stderr=log)
        wait_until(self._answers, f"JupyterLab on port {self.port} (log: {self.log})", timeout=60)
        return self

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"JupyterLab ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
        try:
            self.api("GET", "api/status")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """As Ctrl-C, answered with yes: kernels are shut down, running turns may fold."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As the machine's out-of-memory killer: nothing is tidied up."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self) -> Lab:
        """Stop and start on the same port, with the same files."""
        self.stop()
        return self.start()

    # --- REST API

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """JSON of `method base_url/path`; urllib.error.HTTPError (an OSError) for 4xx and 5xx."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def cellar(self, method: str, path: str, body: Any = None) -> Any:
        """The same under `cellar/api/`: `lab.cellar("GET", "conversations")`."""
        return self.api(method, f"cellar/api/{path}", body)

    # --- state

    def setting(self, plugin: str, **values: Any) -> None:
        """A user setting, before the page opens: `lab.setting("@jupyterlab/apputils-extension:themes", theme=…)`."""
        package, _, name = plugin.partition(":")
        path = self.home / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(before | values))

    def korean(self) -> None:
        self.setting("@jupyterlab/translation-extension:plugin", locale="ko_KR")

    def dark(self) -> None:
        self.setting("@jupyterlab/apputils-extension:themes", theme="JupyterLab Dark")

    def write(self, name: str, content: str | bytes) -> Path:
        """A file of the workspace."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def reset(self) -> None:
        """As new: no kernels, no conversations, no settings, the workspace holds `sample.ipynb` alone."""
        for session in self.api("GET", "api/sessions"):
            self._quietly("DELETE", f"api/sessions/{session['id']}")
        for kernel in self.api("GET", "api/kernels"):
            self._quietly("DELETE", f"api/kernels/{kernel['id']}")
        self._forget_conversations()
        for folder in (self.home / "settings", self.home / "workspaces", self.root):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.setting("@jupyterlab/apputils-extension:notification", fetchNews="false", checkForUpdates=False)
        write_sample(self.root / "sample.ipynb")

    def _forget_conversations(self) -> None:
        try:
            listed = self.cellar("GET", "conversations")
        except urllib.error.HTTPError:
            return
        for conversation in listed["conversations"] if isinstance(listed, dict) else listed:
            self._quietly("DELETE", f"cellar/api/conversations/{urllib.parse.quote(conversation['id'])}")

    def _quietly(self, method: str, path: str) -> None:
        try:
            self.api(method, path)
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409):
                raise
