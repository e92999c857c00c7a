"""Backups of a site whose databases are PostgreSQL's."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.conftest import FOREIGN, PROXIES
from tests.docker.conftest import _missing
from tests.docker.engine import TEST
from tests.docker.site.installation import Installation, running
from tests.docker.site.keeping import Keeping
from tests.ui.lab import wait_until
from tools import hub, images

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def kept(client: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeping]:
    """What `OVERLAYS=postgres make hub` starts. BUILD=0 takes the images as they are."""
    build = os.environ.get("BUILD") != "0"
    with pytest.MonkeyPatch.context() as clean:  # nothing of the person's own settings
        for name in list(os.environ):
            if name.startswith((*FOREIGN, "POSTGRES_")) or name.upper() in (*PROXIES, "PORT", "BUILD"):
                clean.delenv(name)
        clean.setenv("OVERLAYS", "postgres")
        try:
            hub.compose_command()
            names = [images.build(name) if build else f"cellar-{name}:dev" for name in hub.images_of(["postgres"])]
        except SystemExit as problem:
            _missing(f"something is missing: {problem}")
        with running(client, tmp_path_factory.mktemp("hub"), names, CELLAR_OVERLAYS_IMAGE=names.pop()) as made:
            yield Keeping.of(made)


def users(site: Installation) -> set[str]:
    return set(site.command("users", "list", "--names").split())


def databases(site: Installation) -> list[str]:
    listed = "SELECT datname FROM pg_database WHERE datname NOT LIKE 'template%' ORDER BY 1"
    done = subprocess.run(
        ["docker", "exec", site.service("postgres"), "psql", "-qAtd", "postgres", "-c", listed],
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def backup(kept: Keeping) -> Path:
    """Made when there was kim; eve came after it."""
    target = kept.site.folder / "site.tar"
    kept.site.add_user("kim")
    kept.done("backup", "--to", str(target))
    kept.site.add_user("eve")
    return target


def test_both_databases_are_in_it_and_no_password_of_theirs_but_in_env(kept: Keeping, backup: Path) -> None:
    with tarfile.open(backup) as opened:
        contents = {each.name: opened.extractfile(each) for each in opened if each.isfile()}
        holders = {name: file.read() for name, file in contents.items() if file is not None}
    assert {"postgres/cellar.dump", "postgres/jupyterhub.dump"} <= set(holders)
    password = hub.read_env(kept.site.stack.env)["POSTGRES_HUB_PASSWORD"].encode()
    assert [name for name, content in holders.items() if password in content] == ["machine/env"]
    assert not [name for name, content in holders.items() if b"SCRAM-SHA-256$" in content]


def test_over_a_site_that_went_on_the_databases_are_those_of_the_backup(kept: Keeping, backup: Path) -> None:
    assert users(kept.site) == {"admin", "kim", "eve"}
    said = kept.done("restore", str(backup), "--yes")
    kept.take_over()
    assert users(kept.site) == {"admin", "kim"}
    assert databases(kept.site) == ["cellar", "jupyterhub", "postgres"]
    assert "LOST in gateway-1" in said and "NOT" not in said.split("The audit:")[1]
    kept.site.add_user("eve")
    assert users(kept.site) == {"admin", "kim", "eve"}


@pytest.mark.parametrize("moment", ["cellar_restoring", "cellar_before"])
def test_killed_in_the_midst_everybody_who_was_there_is_there(kept: Keeping, backup: Path, moment: str) -> None:
    process = subprocess.Popen(
        kept.command("restore", str(backup), "--yes"),
        env=kept.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def come_so_far() -> bool:
        running = kept.site.stack.container("postgres")
        return process.poll() is not None or bool(running and moment in databases(kept.site))

    wait_until(come_so_far, moment, timeout=180)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept.done("restore", "--undo")
    kept.take_over()
    for service in ("hub", "gateway"):
        wait_until(lambda service=service: kept.site.stack.health(service) == "healthy", service, timeout=120)
    assert users(kept.site) == {"admin", "kim", "eve"}
    assert databases(kept.site) == ["cellar", "jupyterhub", "postgres"]


def test_a_site_that_is_lost_comes_back_with_its_overlay(kept: Keeping, backup: Path) -> None:
    kept.throw_away()
    assert "The audit is whole." in kept.done("restore", str(backup), "--yes")
    kept.take_over()
    assert users(kept.site) == {"admin", "kim"}
    kept.site.add_user("lee")
    assert "lee" in users(kept.site)


@contextmanager
def elsewhere(site: Installation) -> Iterator[tuple[str, str]]:
    """A PostgreSQL that is none of the stack's: its container, and the address of the books in it as `db`."""
    password, image = secrets.token_hex(16), site.stack.settings["CELLAR_OVERLAYS_IMAGE"]
    command = ["docker", "run", "-d", "--rm", "--label", f"{TEST}={site.name}", "--shm-size=256m"]
    command += ["-e", f"POSTGRES_PASSWORD={password}", "-e", f"POSTGRES_HUB_PASSWORD={password}"]
    command += [image, "sh", "/opt/cellar/postgres.sh"]
    server = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        ready = ["docker", "exec", server, "pg_isready", "-q", "-h", "127.0.0.1"]
        wait_until(lambda: subprocess.run(ready).returncode == 0, "PostgreSQL", timeout=90)
        yield server, f"postgresql+psycopg://cellar_books:{password}@db/cellar?require_auth=scram-sha-256"
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", server], capture_output=True)


def test_a_database_on_a_server_of_ones_own_is_left_to_it_and_everything_else_comes_back(kept: Keeping) -> None:
    site, target = kept.site, kept.site.folder / "elsewhere.tar"
    with elsewhere(site) as (server, url):
        with (kept.folder / ".env").open("a") as env:
            env.write(f"CELLAR_DATABASE_URL={url}\n")

        def compose(*words: str) -> None:
            command = [*hub.compose_command(), "-p", site.name, "--env-file", ".env", "-f", "docker-compose.yml"]
            subprocess.run([*command, *words], cwd=kept.folder, check=True, capture_output=True)

        compose("down", "-v", "--remove-orphans")
        compose("up", "-d")
        joining = ["docker", "network", "connect", "--alias", "db", f"{site.name}_data", server]
        subprocess.run(joining, check=True)
        for service in ("hub", "gateway", "console"):
            wait_until(lambda service=service: site.stack.health(service) == "healthy", service, timeout=120)
        before = users(site)

        refused = kept.run("backup", "--to", str(target))
        assert refused.returncode == 2 and "--without-databases" in refused.stderr and "pg_dump" in refused.stderr
        said = kept.done("backup", "--to", str(target), "--without-databases")
        assert "NOT in it: the databases on a server of your own" in said
        within = ["docker", "exec", "-i", server]
        dump = subprocess.run([*within, "pg_dump", "-Fc", "cellar"], capture_output=True, check=True).stdout
        site.add_user("ann")

        refused = kept.run("restore", str(target), "--yes")
        assert refused.returncode == 2 and "--without-databases" in refused.stderr
        compose("stop", "hub", "gateway", "console")
        back = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--role=cellar_books", "-d", "cellar"]
        subprocess.run([*within, *back], input=dump, capture_output=True, check=True)
        said = kept.done("restore", str(target), "--yes", "--without-databases")
        kept.take_over()
        assert users(site) == before
        assert "LOST in gateway-1" in said and "NOT" not in said.split("The audit:")[1]
