"""The configuration of the workspace's image, on a real Jupyter server that the hub forbids the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.docker.engine import ROOT

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
