"""The user's journey: the bundle's own browser in a container of the stack's, driven by its own script."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

from cellar_offline.proving.engine import Engine
from cellar_offline.proving.namespaces import Unsealed
from cellar_offline.proving.report import BROWSER, Step
from cellar_offline.proving.seal import KIND

USER = "prover"
NAME = "cellar-prove"
PICTURE = "stuck.png"
END = "end"
HARDENED = ("--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--read-only", "--init", "--shm-size=512m")


def travel(
    engine: Engine,
    image: str,
    site: str,
    path: str,
    idle: int,
    folder: Path,
    say: Callable[[str], None],
    at_the_end: Callable[[], None],
) -> list[Step]:
    """The steps as they went; a picture of the page where one got stuck lies in `folder`.

    `site` is the compose project, `path` where the hub begins: "/" or "/cellar/". `at_the_end` is called while the
    browser still has its page open. Unsealed when there is no hub.
    """
    password = secrets.token_urlsafe(12)
    hub = _hub_of(engine, site)
    add = ("exec", "-i", hub, "cellar-hub", "users", "add", USER, "--admin", "--password-stdin")
    engine.docker(*add, given=password + "\n")
    command = ["docker", "run", "-i", "--rm", "--name", NAME, "--label", f"{KIND}={BROWSER}"]
    command += ["--network", f"{site}_front", *HARDENED]
    command += ["--tmpfs", "/tmp:exec,size=1g,mode=1777", "--pids-limit=1024", image]
    asked = {"url": f"http://proxy:8000{path}", "name": USER, "password": password, "idle": idle}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=engine.environment
    )
    assert process.stdin is not None and process.stdout is not None
    steps: list[Step] = []
    with process:
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            told = json.loads(line)
            picture = told.pop("picture", "")
            if picture:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / PICTURE).write_bytes(base64.b64decode(picture))
            steps.append(Step(**told))
            say(f"{told['step']}: {'done' if told['ok'] else told['problem']} ({told['seconds']} s)")
            if told["step"] == END:
                at_the_end()
                process.stdin.close()  # for which it waits
    if process.returncode != 0 and all(each.ok for each in steps):
        steps.append(Step("browser", False, 0.0, f"its container ended with {process.returncode}"))
    return steps


def _hub_of(engine: Engine, site: str) -> str:
    labels = (f"com.docker.compose.project={site}", "com.docker.compose.service=hub")
    found = engine.docker("ps", "-q", *(word for label in labels for word in ("--filter", f"label={label}"))).split()
    if not found:
        raise Unsealed(f"No hub of the stack {site} runs.")
    return found[0]
