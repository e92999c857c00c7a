"""From one loaded release to the next, and back, under somebody who works: a real stack, started and switched by the
target's program. An installation of its own: it takes names of images that are nobody else's."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from playwright.sync_api import Browser, expect

from tests.docker.site.bundled import COMPOSE, Bundled, bundled
from tests.docker.site.conftest import SHOTS
from tests.docker.site.leftovers import assert_nothing_is_left, assert_the_audit_is_whole, audit_of
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream
from tests.docker.site.test_5_network import answers
from tests.docker.site.test_6_kills import status
from tests.ui.lab import wait_until

# Three to five minutes: a site of its own, and each of its services started three times. test_bundle_up.py switches
# releases of one service, tests/offline what may go wrong in between, and the sealed proof starts a whole one.
pytestmark = pytest.mark.long
POLICY = "[default]\nmax_tokens = 200\n"
WRITE = 'open("한글.txt", "w").write("what ada wrote")'
READ = 'print(open("한글.txt").read())'
READ_POLICY = 'import os; print(open(os.environ["CELLAR_POLICY"]).read())'
EXAMPLE = b"""
# A secret that releases before this one did not have
CELLAR_NEXT_TOKEN=
# And something with a default
#CELLAR_NEXT=7
"""
SERVICE = b"      org.cellar.service: hub\n"
NEXT = b"""\
      org.cellar.test.next: ${CELLAR_NEXT:-7}
      org.cellar.test.token: ${CELLAR_NEXT_TOKEN:?up sets it}
"""
LAST_WORDS = "This release is no good."


@pytest.fixture(scope="module")
def site(client: docker.APIClient, built: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    with bundled(client, tmp_path_factory.mktemp("bundled"), built) as made:
        made.start_from(made.bundle("1", {}))
        yield made


@pytest.fixture(scope="module")
def new_images(site: Bundled) -> dict[str, str]:
    return {name: site.changed(name) for name in ("hub", "workspace")}


@pytest.fixture(scope="module")
def new(site: Bundled, new_images: dict[str, str]) -> Path:
    """A bundle with other images, a service that wants more of .env, and more in .env.example."""
    env, compose = f"{COMPOSE}/.env.example", f"{COMPOSE}/docker-compose.yml"
    assert site.source[compose].count(SERVICE) == 1
    files = {
        env: site.source[env] + EXAMPLE,
        compose: site.source[compose].replace(SERVICE, SERVICE + NEXT),
        "docs/new.md": b"# What is new\n",
    }
    return site.bundle("2", files, **new_images)


@dataclass(frozen=True)
class Before:
    """What must outlive everything; `person` stays logged in, `word` is in her conversation."""

    person: Person
    word: str
    workspace: str
    settings: dict[str, str]
    audit: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def before(site: Bundled, browser: Browser) -> Iterator[Before]:
    """Ada works: a workspace that runs, a file, a conversation, rows in the audit, under a policy that was changed."""
    site.add_user("ada")
    ada = Person(site, browser, "ada", SHOTS, "en-US")
    ada.log_in()
    ada.submit()
    ada.wait_for_workspace()
    site.policy(POLICY)
    workspace = site.workspace("ada")
    site.run_inside(workspace, WRITE)
    word = f"Canary{secrets.token_hex(8)}"
    ada.panel.show()
    ada.panel.ask(f"Please repeat: {word}")
    expect(ada.panel.last_turn).to_have_attribute("data-state", re.compile("complete|length"), timeout=150_000)
    assert_the_audit_is_whole(site)
    yield Before(ada, word, workspace, dict(site.stack.settings), audit_of(site))
    ada.close()


def assert_nothing_is_lost(site: Bundled, before: Before, started_at: str) -> None:
    """And she works on: the same container with the same processes, the same log-in."""
    ada = before.person
    assert (site.workspace("ada"), site.started_at(before.workspace)) == (before.workspace, started_at)
    for url in (f"{site.url}/hub/health", ada.url("api/contents")):
        wait_until(lambda url=url: status(ada, url) == 200, f"{url} through the proxy", timeout=60)
    assert ada.context.request.get(f"{site.url}/hub/home").url == f"{site.url}/hub/home", "she is logged in"
    assert before.word in json.dumps(ada.conversations(), ensure_ascii=False)
    assert site.run_inside(before.workspace, READ).strip() == "what ada wrote"
    wait_until(lambda: answers(site, "ada"), "answers by the token that her workspace had before", timeout=60)
    assert site.run_inside(site.service("gateway"), READ_POLICY).strip() == POLICY.strip()
    after = audit_of(site)
    assert before.audit and {request: after[request] for request in before.audit} == before.audit
    assert_the_audit_is_whole(site)
    assert before.settings.items() <= site.stack.settings.items(), "secrets and settings are those of before"
    assert_nothing_is_left(site, "ada")


def images_of_services(site: Bundled) -> set[str]:
    return {site.image_of(site.service(name)) for name in ("proxy", "hub", "gateway", "console", "socketfilter")}


@pytest.fixture(scope="module")
def started_at(site: Bundled, before: Before) -> str:
    return site.started_at(before.workspace)


def test_a_load_changes_nothing_that_runs_and_an_answer_goes_on(site: Bundled, before: Before, new: Path) -> None:
    running, name = site.everything(), f"cellar-{site.name}-hub:dev"
    with Stream.inside(site, "ada", **LONG) as stream:
        stream.wait_for_text()
        site.load(new)
        assert stream.wait_for_end() == "done"
    assert site.everything() == running
    assert site.client.inspect_image(name)["Id"] == site.images["hub"]
    assert "started last" in next(line for line in site.done("list").splitlines() if "  1  " in line)


def test_up_switches_to_the_new_release_and_nothing_is_lost(
    site: Bundled, before: Before, new: Path, new_images: dict[str, str], started_at: str
) -> None:
    site.up()
    assert images_of_services(site) == {new_images["hub"]}
    labels = site.client.inspect_container(site.service("hub"))["Config"]["Labels"]
    token = site.stack.settings["CELLAR_NEXT_TOKEN"]
    assert (labels["org.cellar.test.next"], labels["org.cellar.test.token"], len(token)) == ("7", token, 64)
    assert_nothing_is_lost(site, before, started_at)
    assert site.image_of(before.workspace) == site.images["workspace"], "hers until she starts it anew"
    found = site.client.inspect_image(f"cellar-{site.name}-workspace:dev")["Id"]
    assert found == new_images["workspace"], "everybody's from their next start on"


def test_a_backup_is_made_in_the_sites_folder(site: Bundled, before: Before) -> None:
    target = site.folder / "site.tar"
    command = [site.compose_folder / "cellar-hub", "backup", "--to", target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(target) as opened:
        names = set(opened.getnames())
        kept = opened.extractfile("machine/env")
        assert kept is not None and kept.read() == site.env.read_bytes()
    wanted = {"machine/compose/docker-compose.yml", "volumes/hub-data/jupyterhub.sqlite", "volumes/policy/policy.toml"}
    assert wanted <= names


def test_a_release_that_does_not_start_is_named_with_the_way_back_and_she_works_on(
    site: Bundled, before: Before, started_at: str
) -> None:
    broken = site.changed("hub", f'ENTRYPOINT ["sh", "-c", "echo {LAST_WORDS} >&2; exit 3"]')
    site.load(site.bundle("3", {}, hub=broken))
    done = site.offline("up")
    assert done.returncode == 2
    for words in ("cellar 3 ", "did not start", LAST_WORDS, "go back to cellar 2 ", "`rollback`, then `up`"):
        assert words in done.stderr
    assert (site.workspace("ada"), site.started_at(before.workspace)) == (before.workspace, started_at)


def test_rollback_and_up_lead_back_and_nothing_is_lost(site: Bundled, before: Before, started_at: str) -> None:
    """Twice at once: past the release that started, to the one before it."""
    for title in ("cellar 2 ", "cellar 1 "):
        assert title in site.done("rollback")
    site.up()
    assert images_of_services(site) == {site.images["hub"]}
    assert "org.cellar.test.next" not in site.client.inspect_container(site.service("hub"))["Config"]["Labels"]
    assert_nothing_is_lost(site, before, started_at)
