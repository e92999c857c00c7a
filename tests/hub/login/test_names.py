"""A name that an earlier user's files lie under, at a real JupyterHub: nobody gets them by taking the name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cellar_hub.spawner.names import OWNER

from tests.hub.commands.engine import Volumes
from tests.hub.commands.site import PASSWORD, Site
from tests.hub.login.test_accounts_api import ask, log_in
from tests.hub.login.test_signup import sign_up

pytestmark = pytest.mark.timeout(240)
HUBS_OWN = {"Authorization": "token " + "c" * 32}


@pytest.fixture(scope="module")
def volumes() -> Iterator[Volumes]:
    with Volumes() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, volumes: Volumes) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"), DOCKER_HOST=volumes.address)
    yield found
    found.end()


def made(site: Site, name: str) -> str:
    """When the hub made its user, as the label of a volume says it."""
    with sqlite3.connect(f"file:{site.folder}/hub.sqlite?mode=ro", uri=True) as database:
        ((at,),) = database.execute("SELECT created FROM users WHERE name = ?", (name,))
    return str(at).replace(" ", "T")


def leave(site: Site, volumes: Volumes, name: str) -> str:
    """Somebody works here, and is removed; their files stay: the volume."""
    site.add(name)
    volume = f"cellar-ws-{name}"
    volumes.labels[volume] = {OWNER: made(site, name)}
    assert files(site, name) == "theirs"
    assert ask(site, "DELETE", f"/{name}").status_code == 204
    return volume


def files(site: Site, name: str) -> Any:
    return ask(site, "GET", f"/{name}").json()["files"]


def deeds(site: Site, name: str) -> list[str]:
    return [each.action for each in site.events(name) if each.actor == "commands"]


def test_an_account_of_such_a_name_is_refused_until_it_is_said_whose_the_files_are(
    site: Site, volumes: Volumes
) -> None:
    leave(site, volumes, "ann")
    refused = ask(site, "POST", body={"name": "Ann", "password": PASSWORD})
    assert refused.status_code == 409 and '"files": "theirs"' in refused.json()["message"]
    assert ask(site, "GET", "/ann").status_code == 404 and log_in(site, "ann", PASSWORD) == 403
    for wrong in ("mine", "", 1):
        assert ask(site, "POST", body={"name": "ann", "files": wrong}).status_code == 400
    same = ask(site, "POST", body={"name": "ann", "password": PASSWORD, "files": "theirs"})
    assert same.status_code == 201 and files(site, "ann") == "theirs"
    assert "user.files.give" in until_told(site, "ann", "user.files.give")
    assert ask(site, "DELETE", "/ann").status_code == 204
    assert ask(site, "POST", body={"name": "ann", "password": PASSWORD}).status_code == 409, "again, for the next one"


def until_told(site: Site, name: str, action: str) -> list[str]:
    while action not in (told := deeds(site, name)):  # the test's time limit ends it
        pass
    return told


def test_the_files_of_somebody_else_are_deleted_before_there_is_an_account(site: Site, volumes: Volumes) -> None:
    volume = leave(site, volumes, "bob")
    volumes.in_use.add(volume)
    used = ask(site, "POST", body={"name": "bob", "files": "none"})
    assert used.status_code == 409 and "is still there" in used.json()["message"]
    assert ask(site, "GET", "/bob").status_code == 404 and volume in volumes.labels
    volumes.in_use.clear()
    assert ask(site, "POST", body={"name": "bob", "files": "none"}).status_code == 201
    assert volume not in volumes.labels and files(site, "bob") == "none"
    until_told(site, "bob", "user.files.remove")


def test_nobody_deletes_the_files_of_somebody_who_is_there(site: Site, volumes: Volumes) -> None:
    site.add("carol")
    volumes.labels["cellar-ws-carol"] = {OWNER: made(site, "carol")}
    for method, path, more in (("POST", "", {"name": "carol"}), ("PATCH", "/carol", {})):
        answer = ask(site, method, path, more | {"files": "none"})
        assert answer.status_code == 409 and "carol's own" in answer.json()["message"]
    assert "cellar-ws-carol" in volumes.labels and log_in(site, "carol", PASSWORD) == 302


def test_the_command_line_says_whose_they_are(site: Site, volumes: Volumes) -> None:
    volume = leave(site, volumes, "dora")
    done = site.command("users", "add", "dora", "--generate")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "--same-person" in done.stderr
    assert site.command("users", "add", "dora", "--generate", "--same-person").returncode == 0
    assert files(site, "dora") == "theirs" and volume in volumes.labels
    assert site.command("users", "remove", "dora").returncode == 0
    done = site.command("users", "add", "dora", "--generate", "--new-person")
    assert done.returncode == 0 and volume not in volumes.labels, done.stderr
    (told,) = [each for each in site.events("dora") if each.detail.get("files") == "none"]
    assert (told.actor, told.action) == ("kim (command line)", "user.add")


def test_whom_jupyterhubs_own_api_removes_and_makes_is_another_person_until_it_is_said(
    site: Site, volumes: Volumes
) -> None:
    leave(site, volumes, "eve")
    made_again = httpx.post(f"{site.url}/hub/api/users/eve", headers=HUBS_OWN, timeout=30)
    assert made_again.status_code == 201
    assert ask(site, "POST", body={"name": "eve", "password": PASSWORD}).status_code == 409
    gone = httpx.delete(f"{site.url}/hub/api/users/eve", headers=HUBS_OWN, timeout=30)
    assert gone.status_code == 204
    assert ask(site, "POST", body={"name": "eve", "password": PASSWORD}).status_code == 409


def test_somebody_who_is_there_already_gets_them_or_begins_without(site: Site, volumes: Volumes) -> None:
    for name, option, then in (("fay", "--same-person", "theirs"), ("gil", "--new-person", "none")):
        site.add(name)
        volumes.labels[f"cellar-ws-{name}"] = {OWNER: "2020-01-01T00:00:00"}  # as after a restore
        assert files(site, name) == "earlier"
        assert ask(site, "POST", body={"name": name, "password": PASSWORD}).status_code == 201, "a new password is none"
        done = site.command("users", "files", name, option)
        assert done.returncode == 0, done.stderr
        assert files(site, name) == then
    assert site.command("users", "files", "nobody-here", "--same-person").returncode == 2


def test_whoever_signs_up_with_such_a_name_hears_what_they_hear_of_a_taken_one(site: Site, volumes: Volumes) -> None:
    leave(site, volumes, "hal")
    assert "signup-done" in sign_up(site, "hal").text
    assert ask(site, "GET", "/hal").status_code == 404
    volumes.labels.clear()  # the grace is over
    assert "signup-done" in sign_up(site, "hal").text
    assert ask(site, "GET", "/hal").json()["state"] == "waiting"


def test_without_docker_nobody_says_whose_files_are(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    alone = Site(tmp_path_factory.mktemp("alone"), DOCKER_HOST="tcp://127.0.0.1:9")
    try:
        assert ask(alone, "POST", body={"name": "ann", "files": "none"}).status_code == 503
        assert ask(alone, "POST", body={"name": "ann", "password": PASSWORD}).status_code == 201
        assert files(alone, "ann") == "unknown"
        assert ask(alone, "PATCH", "/ann", {"files": "theirs"}).status_code == 503
    finally:
        alone.end()


def test_whoever_was_there_before_volumes_had_an_owner_keeps_theirs(site: Site, volumes: Volumes) -> None:
    site.add("ida")
    volumes.labels["cellar-ws-ida"] = volumes.labels["cellar-ws-jan"] = {}
    assert files(site, "ida") == "earlier"
    site.process.terminate()
    site.process.wait()
    with sqlite3.connect(site.folder / "hub.sqlite") as database:
        database.execute("DROP TABLE cellar_homes")  # as a release before it left the database
    site.start_hub()
    assert files(site, "ida") == "theirs"
    assert ask(site, "POST", body={"name": "jan", "password": PASSWORD}).status_code == 409, "jan was removed before"
    assert ask(site, "DELETE", "/ida").status_code == 204
    assert ask(site, "POST", body={"name": "ida", "password": PASSWORD}).status_code == 409
