"""`make demo`: JupyterLab with Cellar and a real, tiny model on this machine.

Builds the lab extension if its sources changed, starts the embedded model and JupyterLab over `.demo/workspace`, prints
"Cellar is ready: URL" and stays in the foreground. Ctrl-C, SIGTERM or a closed terminal end all it started.

Environment: `VLLM_BASE_URL` (and `VLLM_API_KEY`) use a real model server instead of the embedded one; `PORT` is
JupyterLab's port (default 8888, or the next free one); `HEADLESS=1` opens no browser.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from cellar.settings import SettingsError, parse_base_url

from tools import frontend

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("CELLAR_DEMO_HOME") or ROOT / ".demo")
SAMPLE = ROOT / "examples" / "sample.ipynb"
FIRST_PORT = 8888

# JupyterLab as it must be where there is no internet: it asks nobody for news, updates or extensions.
JUPYTER_CONFIG = """\
c.LabApp.news_url = None
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
"""
# Killed without a word, the demo leaves no server behind. Kernels end with their server.
END_WITH_US = f"""
import os, signal, threading, time

def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=_end_with, args=({os.getpid()},), daemon=True).start()
"""
QUIET = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}


class Ended(Exception):
    """Someone wants the demo to end: Ctrl-C, SIGTERM, a closed terminal."""


class Child:
    """A program of ours in a process group of its own, so that ending it ends what it started, too."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], home: Path = HOME) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:].strip()

    def end(self) -> None:
        for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                return
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def step(message: str) -> None:
    print(f"  {message}", flush=True)


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def choose_port(wanted: str | None) -> int:
    """PORT if given (SystemExit when it is taken or no number), else 8888 or the next free one."""
    if wanted:
        if not wanted.isdigit() or not 0 < int(wanted) < 65536:
            raise SystemExit(f"PORT={wanted} is not a port number.")
        if not is_free(int(wanted)):
            raise SystemExit(f"Port {wanted} is in use. Choose another (PORT=...), or leave PORT out.")
        return int(wanted)
    for port in range(FIRST_PORT, FIRST_PORT + 50):
        if is_free(port):
            if port != FIRST_PORT:
                step(f"port {FIRST_PORT} is in use: taking {port}")
            return port
    raise SystemExit(f"No free port between {FIRST_PORT} and {FIRST_PORT + 49}. Choose one with PORT=...")


def answers(url: str, headers: dict[str, str] | None = None) -> bool:
    """Whether GET url answers 200, going through no proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def wait_for(child: Child, ready: Callable[[], bool], seconds: float) -> None:
    """Until `ready()`; SystemExit with the child's last words when it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not child.alive():
            raise SystemExit(f"{child.name} ended with status {child.process.returncode}:\n{child.tail()}")
        if time.monotonic() > deadline:
            raise SystemExit(f"{child.name} did not answer within {seconds:.0f} s:\n{child.tail()}")
        time.sleep(0.1)


def prepare_home(env: dict[str, str]) -> dict[str, str]:
    """The folders under .demo, the sample notebook, and the environment that keeps Jupyter inside them."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    for folder in (*folders.values(), "workspace"):
        (HOME / folder).mkdir(parents=True, exist_ok=True)
    (HOME / "config" / "jupyter_server_config.py").write_text(JUPYTER_CONFIG + END_WITH_US)
    settings = QUIET | {"@cellar/lab/panel": {"openAtStart": True}}
    if env.get("LC_ALL", env.get("LANG", "")).startswith("ko"):
        settings["@jupyterlab/translation-extension/plugin"] = {"locale": "ko_KR"}
    for name, values in settings.items():
        path = HOME / "settings" / f"{name}.jupyterlab-settings"
        if not path.exists():  # what the user chose since stays
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
    kept = {k: v for k, v in env.items() if not k.startswith(("JUPYTER", "JPY_"))}
    inside = kept | {name: str(HOME / folder) for name, folder in folders.items()}
    copy = HOME / "workspace" / "sample.ipynb"
    if not copy.exists():
        write_sample(copy)
        # Its tables and pictures were made by us: without trust JupyterLab would not show them.
        subprocess.run([sys.executable, "-m", "nbformat.sign", str(copy)], env=inside, capture_output=True)
    return inside


def write_sample(path: Path) -> None:
    """The sample notebook as this Python's kernel would have saved it: JupyterLab writes the kernel's version into a
    notebook that has another, and the notebook would open with unsaved changes."""
    document = json.loads(SAMPLE.read_text("utf-8"))
    document["metadata"]["language_info"]["version"] = platform.python_version()
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


def start_model(env: dict[str, str], children: list[Child]) -> str:
    """The base URL of the model: VLLM_BASE_URL, or the embedded model started here."""
    if env.get("VLLM_BASE_URL"):
        try:
            given = parse_base_url(env["VLLM_BASE_URL"], "VLLM_BASE_URL")
        except SettingsError as error:
            raise SystemExit(f"{error}.") from None
        key = env.get("VLLM_API_KEY", "")
        if answers(f"{given}/models", {"Authorization": f"Bearer {key}"} if key else {}):
            step(f"using the model server {given}")
        else:
            step(f"{given} does not answer now (GET {given}/models). Starting anyway: the panel will say so, too.")
        return given
    step("starting the embedded model (SmolLM2-135M)")
    port = free_port()
    command = [sys.executable, "-m", "tools.embedded_model", "--port", str(port), "--parent", str(os.getpid())]
    child = Child("model", command, env)
    children.append(child)
    wait_for(child, lambda: answers(f"http://127.0.0.1:{port}/health"), 120)
    return f"http://127.0.0.1:{port}/v1"


def start_lab(env: dict[str, str], port: int, base_url: str, children: list[Child]) -> str:
    """JupyterLab's address, token included, once it answers."""
    step("starting JupyterLab")
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={HOME / 'workspace'}"),
    ]
    # The token goes by the environment: a command line can be read by everybody on the machine.
    own = {"VLLM_BASE_URL": base_url, "JUPYTER_TOKEN": token}
    if not env.get("VLLM_BASE_URL"):
        own["CELLAR_TINY_MODEL"] = "1"  # the panel says that this model is only for trying out
        own["CELLAR_MAX_TOKENS"] = env.get("CELLAR_MAX_TOKENS", "768")  # it often says one thing again and again
    child = Child("jupyterlab", command, env | own)
    children.append(child)
    url = f"http://127.0.0.1:{port}"
    wait_for(child, lambda: answers(f"{url}/api/status", {"Authorization": f"token {token}"}), 120)
    if not answers(f"{url}/cellar/api/status", {"Authorization": f"token {token}"}):
        raise SystemExit(f"JupyterLab runs, but Cellar's server extension does not answer in it:\n{child.tail()}")
    return f"{url}/lab/tree/sample.ipynb?token={token}"


def end_on_signal(_number: int, _frame: FrameType | None) -> None:
    raise Ended


def watch(children: list[Child]) -> None:
    """Return never; SystemExit when one of the children ends by itself."""
    while True:
        for child in children:
            if not child.alive():
                raise SystemExit(f"\n{child.name} ended with status {child.process.returncode}:\n{child.tail()}")
        time.sleep(0.5)


def can_show_a_browser(env: dict[str, str]) -> bool:
    if env.get("HEADLESS", "") not in ("", "0"):
        return False
    return sys.platform == "darwin" or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def run(env: dict[str, str], children: list[Child]) -> None:
    frontend.build()
    frontend.link()
    port = choose_port(env.get("PORT"))
    env = prepare_home(env)
    base_url = start_model(env, children)
    url = start_lab(env, port, base_url, children)
    print(f"\nCellar is ready: {url}\n", flush=True)
    if not env.get("VLLM_BASE_URL"):
        step("The model here is tiny (135 million parameters): it shows how Cellar works, and it is often wrong.")
        step("For real answers, use your own server: VLLM_BASE_URL=http://server:8001/v1 make demo")
    step("Ctrl-C ends JupyterLab and everything else this command started.")
    print(flush=True)
    if can_show_a_browser(env):
        webbrowser.open(url)
    watch(children)


def main() -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, end_on_signal)
    children: list[Child] = []
    try:
        run(dict(os.environ), children)
    except Ended:
        pass
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        for child in reversed(children):
            child.end()
    say_goodbye()


def say_goodbye() -> None:
    try:
        print(f"\nCellar has ended. Your notebooks are in {HOME / 'workspace'}.", flush=True)
    except OSError:
        pass  # the terminal is gone


if __name__ == "__main__":
    main()
