"""What is announced on the log-in page, by a real hub with all of our configuration but Docker and the proxy."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

import httpx
import pytest
from cellar_hub.policybook import PolicyBook
from cellar_hub.policyedit import PutAnnouncement, change

from tests.fakes.fixtures import unused_port
from tests.hub.jupyter import NO_PROXY

CONFIG = """
import os
from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings

c = get_config()
configure(c, HubSettings.from_env(os.environ))
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.services = []
c.JupyterHub.load_roles = []
"""
HTML = '<script>alert("1")</script> & more'


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """Its address; the policy is policy.toml in the test's folder."""
    (tmp_path / "policy.toml").write_text("[default]\n")
    (tmp_path / "config.py").write_text(NO_PROXY + CONFIG)
    url = f"http://127.0.0.1:{unused_port()}"
    env = os.environ | {
        "HUB_URL": url,
        "CELLAR_DATA": str(tmp_path),
        "CELLAR_POLICY": str(tmp_path / "policy.toml"),
        "CELLAR_GATEWAY_TOKEN": "g" * 32,
        "CONFIGPROXY_AUTH_TOKEN": "p" * 32,
        "CELLAR_WORKSPACE_IMAGES": "none",
        "CELLAR_LOG_LEVEL": "warning",
    }
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url + "/hub/api/", timeout=5).is_success:
                    break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_the_log_in_page_tells_what_is_for_all_escaped_as_soon_as_it_is_saved(hub: str, tmp_path: Path) -> None:
    book = PolicyBook(tmp_path / "policy.toml")
    seen = book.read()
    mine = PutAnnouncement(id="a", level="error", text="For people who are in")
    everybodys = PutAnnouncement(id="b", level="warning", text=HTML, audience="all")
    book.save(change(seen.text, mine, everybodys), based_on=seen.id, by="admin")
    deadline = time.monotonic() + 10
    while 'role="note"' not in (page := httpx.get(f"{hub}/hub/login", timeout=30).text):
        assert time.monotonic() < deadline
    assert escape(HTML, quote=False) in page.replace("&#34;", '"')
    assert "alert-warning cellar-announcement" in page
    assert HTML not in page and "For people who are in" not in page
