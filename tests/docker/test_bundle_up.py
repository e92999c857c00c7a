"""`up` starts what was loaded, by real compose in a real engine: a stack of one service that answers as a hub does."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker
import pytest
from cellar_offline import loading
from cellar_offline.checks import WELL, WRONG
from cellar_offline.doctor import doctor
from cellar_offline.ending import down
from cellar_offline.engine import Engine
from cellar_offline.manifest import Image
from cellar_offline.media import Media
from cellar_offline.release import Root, Unusable
from cellar_offline.site import Site
from cellar_offline.starting import answers, up

from tests.docker.engine import wait_for
from tests.offline.bundles import FILES, Maker

HERE = "hub_config/compose"
HUB = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/hub/login" else 404)
        self.end_headers()
        self.wfile.write(os.environ["RELEASE"].encode())
    def log_message(self, *words): pass
os.environ["RELEASE"] == "broken" and exit("This is no good.")
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
    restart: unless-stopped
    stop_grace_period: 0s
    environment: {{ PORT: "${{CELLAR_PORT}}", RELEASE: "{release}" }}
    command: [python3, -c, {hub}]
  reader:
    image: {image}
    network_mode: none
    stop_grace_period: 0s
    volumes: ["./read.txt:/read.txt:ro"]
    command: [sleep, infinity]
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


def load(site: Site, maker: Maker, image: str, release: str, read: str = "", brought: Sequence[Image] = ()) -> None:
    """`read`: what is in a file that one of the services reads."""
    medium = site.root.path.parent / release
    medium.mkdir()
    compose = COMPOSE.format(image=image, release=release, hub=json.dumps(HUB))
    files = {**FILES, f"{HERE}/docker-compose.yml": compose.encode(), f"{HERE}/read.txt": read.encode()}
    maker.make(medium, files, version=release, there=brought, chunk_size=1 << 20)
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

    assert here.running().keys() == {"hub", "reader"}
    assert answers(f"{base}hub/login") and not answers(f"{base}other")
    assert here.settings()["TOKEN"] != ""


def test_down_ends_the_stack_and_workspaces_and_up_goes_on_with_what_they_kept(
    here: Site, maker: Maker, image: str
) -> None:
    load(here, maker, image, "1")
    up(here, here.root.require(), None, lambda words: None)
    ours = ("--label", f"org.cellar.site={here.name}", "--label", "org.cellar.kind=workspace")
    network, volume = f"{here.name}-ada", f"{here.name}-ada"
    try:
        here.engine.ask("network", "create", "--internal", *ours, network)
        here.engine.ask("volume", "create", *ours, volume)
        run = ("run", "--detach", *ours, "--network", network, "--volume", f"{volume}:/home")
        workspace = here.engine.ask(*run, image, "sleep", "infinity").strip()
        down(here)
        assert not here.running()
        assert workspace not in here.engine.ask("ps", "--all", "--quiet", "--no-trunc")
        assert network not in here.engine.ask("network", "ls")
        assert volume in here.engine.ask("volume", "ls")
    finally:
        here.engine.ask("volume", "rm", volume)
    base = up(here, here.root.require(), None, lambda words: None)
    assert page(base) == "1"


def test_doctor_names_services_that_a_killed_up_has_left_on_the_release_before(
    client: docker.APIClient, here: Site, maker: Maker, image: str
) -> None:
    def as_it_is() -> Image:
        id = here.engine.id_of(image)
        name, _, tag = image.partition(":")
        return Image(name, tag, id, None, id.partition(":")[2], here.engine.images()[id])

    def found() -> dict[str, str]:
        return {each.what: each.state for each in doctor(here.root, here.engine)}

    old = as_it_is()
    load(here, maker, image, "1", brought=[old])
    up(here, here.root.require(), None, lambda words: None)
    assert WRONG not in found().values()
    client.build(fileobj=io.BytesIO(f"FROM {image}\nLABEL next=1\n".encode()), tag=image, rm=True, quiet=True)
    wait_for(lambda: here.engine.id_of(image) != old.id, 60)
    new = as_it_is()
    here.engine.tag(old.id, image)
    load(here, maker, image, "2", brought=[new])
    release = here.root.require()
    here.switch(release, [])
    here.tag_images(release)
    assert found()["services"] == WRONG
    up(here, release, None, lambda words: None)
    assert WRONG not in found().values()


def test_who_reads_a_file_of_the_release_is_made_anew_when_that_is_another_and_only_then(
    here: Site, maker: Maker, image: str
) -> None:
    """A container sees what its link led to when it was started; compose compares paths."""
    seen = []
    for release, read in (("1", "old"), ("2", "old"), ("3", "new")):
        load(here, maker, image, release, read)
        up(here, here.root.require(), None, lambda words: None)
        seen.append((here.running()["reader"].id, here.run("exec", "-T", "reader", "cat", "/read.txt").stdout))
    assert [words for _, words in seen] == ["old", "old", "new"]
    assert seen[0] == seen[1]
    assert seen[1] != seen[2]


def test_a_release_that_does_not_start_is_named_with_its_last_words_and_the_way_back(
    here: Site, maker: Maker, image: str
) -> None:
    load(here, maker, image, "1")
    base = up(here, here.root.require(), None, lambda words: None)
    load(here, maker, image, "broken")
    with pytest.raises(Unusable, match=r"(?s)cellar broken .* did not start: hub ends.*no good.*cellar 1 .*rollback"):
        up(here, here.root.require(), None, lambda words: None)
    with here.root.locked():
        release = here.root.back()
    up(here, release, None, lambda words: None)
    assert page(base) == "1"


def test_a_release_whose_images_are_not_here_is_refused_before_anything_changes(
    here: Site, maker: Maker, image: str
) -> None:
    load(here, maker, image, "1")
    base = up(here, here.root.require(), None, lambda words: None)
    running, started = here.running(), here.started()
    load(here, maker, "cellar-test-nobody-has-it:1", "2")
    with pytest.raises(Unusable, match="images that no bundle has brought"):
        up(here, here.root.require(), None, lambda words: None)
    assert (here.running(), here.started(), page(base)) == (running, started, "1")
