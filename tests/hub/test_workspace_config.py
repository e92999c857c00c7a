"""The configuration of the workspace's image, on a real Jupyter server that the hub forbids the user's own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docker.engine import ROOT
from tests.fakes.fixtures import unused_port

CONFIG = ROOT / "hub_config/images/workspace/jupyter_server_config.py"
SHOW = """
import json, sys
from jupyterhub.singleuser._disable_user_config import _disable_user_config
from jupyter_server.serverapp import ServerApp
app = ServerApp.instance()
_disable_user_config(app)
app.initialize(["--config", sys.argv[1], "--ServerApp.port=0", "--allow-root"])
print(json.dumps({
    "kernels": sorted(app.kernel_spec_manager.find_kernel_specs()),
    "disabled": app.config.LabApp.extension_manager, "news": app.config.LabApp.news_url,
    "user": "written_by_the_user" in app.config,
}))
"""


def test_a_users_own_kernels_are_there_and_their_configuration_is_not(tmp_path: Path) -> None:
    kernel = tmp_path / ".local/share/jupyter/kernels/my-own"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["python3"], "display_name": "Mine", "language": "python"}))
    (tmp_path / ".jupyter").mkdir()
    (tmp_path / ".jupyter/jupyter_server_config.py").write_text("c.written_by_the_user.x = 1\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", SHOW, str(CONFIG)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"my-own", "python3"} <= set(found["kernels"])
    assert (found["disabled"], found["news"], found["user"]) == ("readonly", None, False)


SERVE = """
import sys
from jupyterhub.singleuser._disable_user_config import _disable_user_config
from jupyter_server.serverapp import ServerApp
app = ServerApp.instance()
_disable_user_config(app)
app.initialize(sys.argv[1:])
app.start()
"""
SANITIZER = "@jupyterlab/apputils-extension:sanitizer"
NOTIFICATION = "@jupyterlab/apputils-extension:notification"
OTHER = "@jupyterlab/apputils-extension:themes"
LOOSE = {"allowedSchemes": ["http", "https", "javascript"], "allowCommandLinker": True, "allowNamedProperties": True}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with the image's configuration, overrides and locks, for a user who would rather have none."""
    home = tmp_path_factory.mktemp("home")
    for plugin, values in (
        (SANITIZER, LOOSE),
        (NOTIFICATION, {"fetchNews": "true"}),
        (OTHER, {"theme-scrollbars": True}),
    ):
        file = home / ".jupyter/lab/user-settings" / (plugin.replace(":", "/") + ".jupyterlab-settings")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    page_config = home / ".jupyter/labconfig/page_config.json"
    page_config.parent.mkdir(parents=True)
    disabled = {SANITIZER: True, "@jupyterlab/apputils-extension": True, "@cellar/lab": True}
    page_config.write_text(json.dumps({"disabledExtensions": disabled}))
    port, token = unused_port(), "token-of-a-test"
    command = [
        *(sys.executable, "-c", SERVE, "--config", str(CONFIG), f"--ServerApp.port={port}", "--allow-root"),
        *(
            f"--IdentityProvider.token={token}",
            f"--LabApp.app_settings_dir={CONFIG.parent}",
            "--ServerApp.ip=127.0.0.1",
        ),
    ]
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, cwd=home, stdout=out, stderr=out)
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        deadline = time.monotonic() + 90
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            with contextlib.suppress(httpx.TransportError):
                if client.get("/api/status").is_success:
                    break
            time.sleep(0.05)
        yield client
    process.terminate()
    process.wait(30)


@pytest.mark.parametrize("plugin", [SANITIZER, NOTIFICATION])
def test_a_locked_setting_is_the_administrators_whatever_lies_in_the_users_home(
    workspace: httpx.Client, plugin: str
) -> None:
    one = workspace.get(f"/lab/api/settings/{plugin}").json()
    listed = {each["id"]: each for each in workspace.get("/lab/api/settings").json()["settings"]}
    for found in (one, listed[plugin]):
        assert (found["raw"], found["settings"]) == ("{}", {})
    said = listed[SANITIZER]["schema"]["properties"]
    assert said["allowCommandLinker"]["default"] is False
    assert "javascript" not in said["allowedSchemes"]["default"]
    assert listed[OTHER]["settings"] == {"theme-scrollbars": True}  # what is not locked is the user's


@pytest.mark.parametrize("spelt", [SANITIZER, SANITIZER.replace("@", "%40"), SANITIZER.replace("/", "//", 1)])
def test_a_locked_setting_is_not_taken_from_a_user(workspace: httpx.Client, spelt: str) -> None:
    answer = workspace.put(f"/lab/api/settings/{spelt}", json={"raw": json.dumps(LOOSE)})
    assert not answer.is_success or "//" in spelt
    if "//" not in spelt:
        assert (answer.status_code, answer.reason_phrase) == (403, "Locked by the administrator")
        assert answer.json()["message"] == f"{SANITIZER} is locked by the administrator"
    assert workspace.get(f"/lab/api/settings/{SANITIZER}").json()["settings"] == {}
    assert workspace.put(f"/lab/api/settings/{OTHER}", json={"raw": '{"theme-scrollbars": true}'}).status_code == 204


def test_a_user_cannot_switch_the_sanitizer_off(workspace: httpx.Client) -> None:
    page = workspace.get("/lab").text
    config = json.loads(page.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0])
    assert not {SANITIZER, "@jupyterlab/apputils-extension", "@cellar/lab"} & set(config.get("disabledExtensions", []))
    assert SANITIZER in config.get("lockedExtensions", [])
