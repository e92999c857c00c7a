"""`up` starts what was loaded, by real compose in a real engine: a stack of one service that answers as a hub does."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from cellar_offline import loading
from cellar_offline.checks import WELL
from cellar_offline.doctor import doctor
from cellar_offline.engine import Engine
from cellar_offline.media import Media
from cellar_offline.release import Root
from cellar_offline.site import Site
from cellar_offline.starting import answers, up

from tests.offline.bundles import FILES, Maker

HUB = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/hub/login" else 404)
        self.end_headers()
        self.wfile.write(os.environ["RELEASE"].encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""
CELLAR_HUB = """#!/bin/sh
case "$2" in
list) cat /names 2>/dev/null || true ;;
add) read -r password && [ -n "$password" ] && echo "$3" >> /names ;;
esac
"""
COMPOSE = """
version: "3.7"
services:
  hub:
    image: {image}
    network_mode: host
    stop_grace_period: 0s
    environment: {{ PORT: "${{CELLAR_PORT}}", RELEASE: "{release}" }}
    command: [python3, -c, {hub}]
"""


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "maker")


@pytest.fixture
def image(client: docker.APIClient, base: str, tmp_path: Path) -> Iterator[str]:
    tag = f"cellar-test-{os.getpid()}-up:dev"
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY cellar-hub /usr/local/bin/\n")
    (folder / "cellar-hub").write_text(CELLAR_HUB)
    (folder / "cellar-hub").chmod(0o755)
    lines = list(client.build(path=str(folder), tag=tag, rm=True, decode=True, network_mode="none"))
    assert not any("error" in line for line in lines), lines
    yield tag
    client.remove_image(tag, force=True)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    site = Site(Root(tmp_path / "cellar"), Engine())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    site.compose.mkdir(parents=True)
    settings = f"CELLAR_SITE=cellar-test-{os.getpid()}-up\nCELLAR_PORT={port}\nTOKEN=\nDOCKER_GID=\n"
    site.env.write_text(settings)
    yield site
    if site.started():
        done = site.run("down", "--timeout", "0")
        assert done.returncode == 0, done.stderr


def load(site: Site, maker: Maker, image: str, release: str) -> None:
    medium = site.root.path.parent / release
    medium.mkdir()
    compose = COMPOSE.format(image=image, release=release, hub=json.dumps(HUB))
    files = {**FILES, "hub_config/compose/docker-compose.yml": compose.encode()}
    maker.make(medium, files, version=release)
    media = Media([medium])
    with site.root.locked():
        loading.load(site.root, media, media.manifest(), loading.Signed("", ""), site.engine, lambda words: None)


def page(base: str) -> str:
    return subprocess.run(["curl", "-sf", "--noproxy", "*", f"{base}hub/login"], capture_output=True, text=True).stdout


def test_up_starts_the_release_and_after_a_load_the_next_one(here: Site, maker: Maker, image: str) -> None:
    load(here, maker, image, "1")
    said: list[str] = []
    base = up(here, here.root.require(), None, said.append)
    assert page(base) == "1"
    password = here.compose / "admin-password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert password.read_text().strip()
    assert any("Log in as admin" in words for words in said)
    assert {each.what: each.state for each in doctor(here.root, here.engine)}["stack"] == WELL

    load(here, maker, image, "2")
    assert page(base) == "1"  # a load changes nothing that runs
    up(here, here.root.require(), None, said.append)
    assert page(base) == "2"

    assert len(here.running()) == 1
    assert answers(f"{base}hub/login") and not answers(f"{base}other")
    assert here.settings()["TOKEN"] != ""
