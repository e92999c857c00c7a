"""The site outlives its releases: settings, secrets and one folder for compose, whatever release is started."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cellar_offline import loading, site
from cellar_offline.engine import Engine
from cellar_offline.media import Media
from cellar_offline.release import Release, Root, Unusable
from cellar_offline.site import Site
from cellar_offline.target import Target

from tests.offline.bundles import FILES, Maker
from tests.offline.conftest import OFFLINE

COMPOSE = "hub_config/compose"


@pytest.fixture
def docker_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(os.path.relpath(tmp_path / "d.sock"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'd.sock'}")
        yield path


@pytest.fixture
def here(root: Path, docker_socket: Path) -> Site:
    return Site(Root(root), Engine("/none"))


def loaded(maker: Maker, root: Path, files: dict[str, bytes], version: str) -> Release:
    medium = root.parent / f"medium-{version}"
    medium.mkdir()
    maker.make(medium, {**FILES, **files}, version=version)
    media = Media([medium])
    with Root(root).locked():
        return loading.load(
            Root(root), media, media.manifest(), loading.Signed("", ""), Engine("/none"), lambda words: None
        )


def switched(here: Site, release: Release, overlays: list[str] | None = None) -> Release:
    """All that `up` does before it asks Docker anything."""
    chosen = here.choose_overlays(release, overlays)
    here.prepare(release)
    here.switch(release, chosen)
    return release


def test_the_first_start_makes_settings_with_secrets_of_their_own(maker: Maker, root: Path, here: Site) -> None:
    switched(here, loaded(maker, root, {}, "1"))
    found = here.settings()
    assert len(found["TOKEN"]) == 64
    assert found["DOCKER_GID"] == str(os.stat(root).st_gid)
    for name in (".env", "gateway.env"):
        assert stat.S_IMODE((here.compose / name).stat().st_mode) == 0o600
    assert (here.compose / "docker-compose.yml").read_bytes() == FILES[f"{COMPOSE}/docker-compose.yml"]


def test_an_upgrade_keeps_settings_and_adds_what_they_lack(maker: Maker, root: Path, here: Site) -> None:
    old = loaded(maker, root, {f"{COMPOSE}/docker-compose.old.yml": b"old"}, "1")
    switched(here, old, ["old"])
    secret = here.settings()["TOKEN"]
    with here.env.open("a") as env:
        env.write("CELLAR_PORT=8123\n")
    example = FILES[f"{COMPOSE}/.env.example"] + b"CELLAR_NEW_TOKEN=\n"
    new = loaded(maker, root, {f"{COMPOSE}/.env.example": example, f"{COMPOSE}/docker-compose.new.yml": b"new"}, "2")
    assert (here.compose / "docker-compose.old.yml").read_bytes() == b"old"  # a load changes nothing that runs
    assert here.started() == old.id
    with pytest.raises(Unusable, match="no overlay 'old'"):
        switched(here, new)
    assert (here.started(), here.overlays()) == (old.id, ["old"])
    switched(here, new, ["new"])
    found = here.settings()
    assert (found["TOKEN"], found["CELLAR_PORT"], len(found["CELLAR_NEW_TOKEN"])) == (secret, "8123", 64)
    assert sorted(each.name for each in here.compose.glob("docker-compose.*")) == [
        "docker-compose.new.yml",
        "docker-compose.yml",
    ]
    assert (here.started(), here.overlays()) == (new.id, ["new"])
    switched(here, old, [])
    assert here.started() == old.id
    assert here.settings()["TOKEN"] == secret


def test_a_link_has_the_time_at_which_it_began_to_lead_to_something_else(maker: Maker, root: Path, here: Site) -> None:
    """Containers that are older than that are made anew (tests/docker/test_bundle_up.py)."""
    fixed, changed = f"{COMPOSE}/fixed", f"{COMPOSE}/changed"
    first = switched(here, loaded(maker, root, {fixed: b"a", changed: b"b"}, "1"))

    def times() -> list[int]:
        return [
            (root / "site" / each).lstat().st_mtime_ns for each in ("compose/fixed", "compose/changed", "cellar_vllm")
        ]

    for path in ("compose/fixed", "compose/changed", "cellar_vllm"):
        os.utime(root / "site" / path, ns=(1, 1), follow_symlinks=False)
    more = {fixed: b"a", changed: b"c", "hub_config/cellar_vllm/more.py": b""}
    second = switched(here, loaded(maker, root, more, "2"))
    assert [each == 1 for each in times()] == [True, False, False]
    before = times()
    switched(here, second)
    assert times() == before
    switched(here, first)
    assert [now > then for now, then in zip(times(), before, strict=True)] == [False, True, True]


COMPOSING = """
import sys
from pathlib import Path
from cellar_offline import site
from cellar_offline.engine import Engine
from cellar_offline.release import Root
root = Root(Path(sys.argv[1]))
compose = f"pipe = {sys.argv[2]!r}; open(pipe, 'w').close(); open(pipe).read()"
site.compose_program = lambda: (sys.executable, "-c", compose)
with root.locked():
    site.Site(root, Engine("/none")).run("up")
"""


def test_what_a_killed_program_has_begun_keeps_others_out_until_it_ends(root: Path, tmp_path: Path) -> None:
    (root / "site" / "compose").mkdir(parents=True)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    env = os.environ | {"PYTHONPATH": str(OFFLINE)}
    killed = subprocess.Popen([sys.executable, "-c", COMPOSING, root, pipe], env=env)
    pipe.open().close()  # compose has begun
    killed.kill()
    killed.wait()
    with pytest.raises(Unusable, match="Another cellar-offline is at work"), Root(root).locked():
        pass
    pipe.open("w").close()  # and ends
    while True:
        with contextlib.suppress(Unusable), Root(root).locked():
            break
        time.sleep(0.01)


def test_a_restore_that_was_killed_comes_to_its_end_first(maker: Maker, root: Path, here: Site) -> None:
    release = switched(here, loaded(maker, root, {}, "1"))
    (here.compose / ".restore").mkdir()
    with pytest.raises(Unusable, match="cellar-hub restore --undo"):
        here.prepare(release)


def test_weights_of_the_release_are_where_compose_looks_unless_the_site_has_its_own(
    maker: Maker, root: Path, here: Site
) -> None:
    wanted = Target(preset="24gb", weights=("weights/tiny",)).dump()
    release = loaded(maker, root, {"target.json": wanted}, "1")
    switched(here, release)
    assert (here.compose / "weights" / "tiny" / "model.safetensors").is_file()
    found = here.settings()
    assert (found["VLLM_MODEL"], found["VLLM_SERVE"], len(found["VLLM_API_KEY"])) == ("tiny", "--preset=24gb", 64)
    (here.compose / "weights").unlink()
    (here.compose / "weights").mkdir()
    switched(here, release)
    assert not (here.compose / "weights").is_symlink()


@pytest.mark.parametrize("name", ["nothing", "../x", ""])
def test_an_overlay_that_the_release_lacks_is_refused(maker: Maker, root: Path, here: Site, name: str) -> None:
    with pytest.raises(Unusable, match="no overlay"):
        switched(here, loaded(maker, root, {}, "1"), [name])


def test_a_file_of_somebodys_own_is_never_replaced(maker: Maker, root: Path, here: Site) -> None:
    here.compose.mkdir(parents=True)
    (here.compose / "docker-compose.yml").write_text("mine")
    with pytest.raises(Unusable, match="Give yours another name"):
        switched(here, loaded(maker, root, {}, "1"))
    assert (here.compose / "docker-compose.yml").read_text() == "mine"
    assert not here.started()


def test_an_image_that_no_bundle_brought_is_refused_and_not_fetched(
    maker: Maker, root: Path, here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = loaded(maker, root, {}, "1")
    here.prepare(release)
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\ncase \"$*\" in *config) printf 'services:\\n  a:\\n    image: stranger:1\\n';; esac\n"
    )
    docker.chmod(0o755)
    monkeypatch.setattr(site, "compose_program", lambda: (str(docker),))
    here.engine = Engine(str(docker))
    with pytest.raises(Unusable, match="no bundle has brought: stranger:1"):
        here.require_images(release, [])
