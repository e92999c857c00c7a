"""Backups of an installation that runs and is used, and what restoring one gives back. An installation of its own: it
is thrown away."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pyrage
import pytest
from playwright.sync_api import Browser, expect

from tests.docker.engine import TEST
from tests.docker.site.conftest import SHOTS
from tests.docker.site.installation import PROFILES, Installation, running
from tests.docker.site.keeping import Keeping
from tests.docker.site.person import Person
from tests.docker.site.stream import Stream
from tests.ui.lab import wait_until

pytestmark = pytest.mark.timeout(900)
again = pytest.mark.long
"""A whole site is ended and restored once more, which takes more than a minute. What differs from the restores that are
always tested is tested at each step by tests/hub/backup."""
WRITE = """
import os
os.makedirs("work", exist_ok=True)
open("work/한글.txt", "w").write("what ada wrote")
os.chmod("work/한글.txt", 0o640)
print(open("work/한글.txt").read())
"""
READ = 'import os; print(open("work/한글.txt").read(), oct(os.stat("work/한글.txt").st_mode), os.stat("work").st_uid)'
STILL_THERE = "what ada wrote 0o100640 1000"


@pytest.fixture(scope="module")
def kept(client: docker.APIClient, built: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeping]:
    folder = tmp_path_factory.mktemp("kept")
    with running(client, folder, built, CELLAR_GATEWAY_ENV=str(folder / "gateway.env")) as site:
        yield Keeping.of(site)


@pytest.fixture(scope="module")
def site(kept: Keeping) -> Installation:
    return kept.site


@pytest.fixture(scope="module")
def word() -> str:
    return f"Canary{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def ada(site: Installation, browser: Browser, word: str) -> Iterator[Person]:
    """She has a file, a conversation with the word in it, and a token."""
    site.add_user("ada")
    person = Person(site, browser, "ada", SHOTS, "en-US")
    person.log_in()
    person.submit()
    person.wait_for_workspace()
    assert "what ada wrote" in site.run_inside(site.workspace("ada"), WRITE)
    person.panel.show()
    person.panel.ask(f"Please repeat: {word}")
    expect(person.panel.last_turn).to_have_attribute("data-state", re.compile("complete|length"), timeout=150_000)
    yield person
    person.close()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    identity = pyrage.x25519.Identity.generate()
    private = tmp_path_factory.mktemp("key") / "key.txt"
    private.write_text(f"{identity}\n")
    return str(identity.to_public()), private


@pytest.fixture(scope="module")
def before(kept: Keeping, ada: Person) -> Path:
    """A backup of the site as it was, without its volumes."""
    target = kept.site.folder / "before.tar"
    kept.done("backup", "--to", str(target))
    return target


def rows(site: Installation) -> int:
    said = site.command("audit", "verify")
    found = re.search(r"gateway-1: (\d+) rows", said)
    assert found, said
    return int(found[1])


def content_of(site: Installation, volume: str) -> list[str]:
    command = ["docker", "run", "--rm", "--network=none", "-v", f"{volume}:/v:ro", site.image, "ls", "-A", "/v"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_what_was_asked_and_answered_is_in_no_backup_in_the_clear(
    kept: Keeping, ada: Person, key: tuple[str, Path], word: str
) -> None:
    plain, users, closed = (kept.site.folder / f"{name}.tar" for name in ("plain", "users", "closed"))
    (kept.site.files / "current.toml").symlink_to("profiles.toml")
    os.link(kept.site.files / "profiles.toml", kept.site.files / "same.toml")
    assert "NOT encrypted" in kept.done("backup", "--to", str(plain))
    assert word.encode() not in plain.read_bytes()
    kept.done("backup", "--to", str(users), "--volumes")
    assert word.encode() not in users.read_bytes()
    kept.done("backup", "--to", str(closed), "--volumes", "--conversations", "--recipient", key[0])
    assert word.encode() not in closed.read_bytes()
    identity = pyrage.x25519.Identity.from_str(key[1].read_text().strip())
    assert word.encode() in pyrage.decrypt(closed.read_bytes(), [identity]), "it is looked for where it can be found"
    for path in (plain, users, closed):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not path.with_name(f"{path.name}.part").exists()
    with tarfile.open(users) as opened:
        names = opened.getnames()
    assert {"machine/env", "machine/site/profiles.toml", "volumes/hub-data/jupyterhub.sqlite"} <= set(names)
    assert {"machine/site/current.toml", "machine/site/same.toml"} <= set(names), "files by each of their names"
    assert "volumes/policy/policy.toml" in names
    assert {"volumes/gateway-data/audit-keys", "volumes/audit-heads/heads"} <= set(names)
    assert any(name.startswith(f"workspaces/{kept.site.name}-ws-ada.tar/") for name in names)


def test_conversations_without_a_key_and_a_file_that_is_there_are_refused_by_name(kept: Keeping, ada: Person) -> None:
    target = kept.site.folder / "refused.tar"
    done = kept.run("backup", "--to", str(target), "--volumes", "--conversations")
    assert done.returncode == 2 and "--recipient" in done.stderr
    assert not list(kept.site.folder.glob("refused*"))
    target.write_text("mine")
    assert kept.run("backup", "--to", str(target)).returncode == 2
    assert target.read_text() == "mine"


def test_a_file_beside_env_that_cannot_be_read_is_not_left_out_in_silence(kept: Keeping, ada: Person) -> None:
    dangling = kept.site.files / "models.toml"
    dangling.symlink_to("nowhere.toml")
    done = kept.run("backup", "--to", str(kept.site.folder / "unread.tar"))
    dangling.unlink()
    assert done.returncode == 2 and "models.toml" in done.stderr
    assert not list(kept.site.folder.glob("unread*"))


def test_a_full_disk_leaves_no_backup(kept: Keeping, ada: Person, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "small", str(tmp_path)], capture_output=True)
    if mounting.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        assert kept.run("backup", "--to", str(tmp_path / "site.tar")).returncode == 2
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_backup_that_is_killed_leaves_no_file_of_its_name_and_the_next_one_works(kept: Keeping, ada: Person) -> None:
    target = kept.site.folder / "killed.tar"
    part = target.with_name("killed.tar.part")
    process = subprocess.Popen(
        kept.command("backup", "--to", str(target), "--volumes"),
        env=kept.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: part.exists() or process.poll() is not None, "the backup to be written", timeout=60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not target.exists()
    part.touch()
    part.chmod(0o644)  # whoever has it open reads nothing of the next one
    kept.done("backup", "--to", str(target), "--volumes")
    assert not part.exists()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with tarfile.open(target) as opened:
        assert not [name for name in opened.getnames() if ".cellar-" in name]


def test_a_site_that_is_lost_comes_back_whole_from_a_backup_that_was_made_under_load(
    kept: Keeping, ada: Person, key: tuple[str, Path], word: str
) -> None:
    site, target, env = kept.site, kept.site.folder / "site.tar", kept.folder / ".env"
    env.write_text(re.sub(r"POSTGRES_HUB_PASSWORD=\w+\n", "", env.read_text()))  # as an older release's would be
    token = ada.new_token()
    stop = threading.Event()
    answered: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            with Stream.inside(site, "ada", max_tokens=16) as stream:
                answered.append(stream.wait_for_end())

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    wait_until(lambda: len(answered) >= 2, "answers under way", timeout=120)
    try:
        kept.done("backup", "--to", str(target), "--volumes", "--conversations", "--recipient", key[0])
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert all(last.startswith("done") for last in answered), answered
    used = site.usage("ada")
    secrets_before = env.read_text()

    kept.throw_away()
    site.client.create_volume("policy", labels={TEST: site.name})  # another stack's, by one of our names
    refused = kept.run("restore", str(target), "--yes")
    assert refused.returncode == 2 and "--identity" in refused.stderr
    said = kept.done("restore", str(target), "--yes", "--identity", str(key[1]))
    kept.take_over()

    assert content_of(site, "policy") == []
    assert "The audit is whole." in said
    assert not (kept.folder / ".restore").exists()
    assert env.read_text() != secrets_before, "the services' tokens are new"
    assert re.search(r"^POSTGRES_HUB_PASSWORD=\w{32,}$", env.read_text(), re.MULTILINE)
    assert 0 < site.usage("ada") <= used
    asked = httpx.get(f"{site.url}/services/cellar/v1/models", headers={"Authorization": f"Bearer {token}"})
    assert asked.status_code in (401, 403), "a token of before opens nothing"
    ada.context.clear_cookies()
    ada.log_in()
    ada.submit()
    ada.wait_for_workspace()
    assert site.run_inside(site.workspace("ada"), READ).strip() == STILL_THERE
    assert word in json.dumps(ada.conversations(), ensure_ascii=False)
    assert "The audit is whole." in site.command("audit", "verify")


@again
def test_over_a_site_that_went_on_what_is_lost_is_told(kept: Keeping, ada: Person, before: Path) -> None:
    site = kept.site
    kept_rows = rows(site)
    for _ in range(3):
        with Stream.inside(site, "ada", max_tokens=4) as stream:
            assert stream.wait_for_end().startswith("done")
    after = rows(site)
    kept.site.stack.run("restart", "gateway")  # its end tells the second place
    wait_until(lambda: site.stack.health("gateway") == "healthy", "the gateway", timeout=90)
    assert kept.run("restore", str(before)).returncode == 2, "nobody said yes"
    (kept.folder / ".restore.part").mkdir()  # of one that was killed before it began
    mine = site.files.with_name("site.before")
    mine.mkdir()
    said = kept.done("restore", str(before), "--yes")
    kept.take_over()
    assert mine.is_dir(), "an administrator's own copy"
    lost = re.search(r"LOST in gateway-1: rows (\d+) to (\d+) at least", said)
    assert lost, said
    assert int(lost[1]) <= kept_rows + 20 and int(lost[2]) >= after
    assert "kim (command line)" in said and "whole but for what was lost" in said
    written = site.command("audit", "export", "--format", "jsonl")
    assert '"site.restore"' in written and '"site.backup"' in written
    ada.context.clear_cookies()
    ada.log_in()
    ada.submit()
    ada.wait_for_workspace()
    assert site.run_inside(site.workspace("ada"), READ).strip() == STILL_THERE
    assert "whole but for what was lost" in site.command("audit", "verify"), "and the chain goes on"


@again
@pytest.mark.parametrize("moment", ["machine.tar", "exchanged"])
def test_killed_in_the_midst_nothing_is_half_restored_and_what_was_there_comes_back(
    kept: Keeping, ada: Person, before: Path, moment: str
) -> None:
    site, state = kept.site, kept.folder / ".restore"
    env = (kept.folder / ".env").read_text()
    users = site.command("users", "list", "--names")
    process = subprocess.Popen(
        kept.command("restore", str(before), "--yes"),
        env=kept.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: (state / moment).exists() or process.poll() is not None, f"{moment}", timeout=120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = kept.run("restore", str(before), "--yes")
    assert again.returncode == 2 and "--undo" in again.stderr
    assert "What was there is back." in kept.done("restore", "--undo")
    kept.take_over()
    assert (kept.folder / ".env").read_text() == env
    assert not list(kept.folder.glob("*.before-restore")) and not state.exists()
    for service in ("hub", "gateway"):
        wait_until(lambda service=service: site.stack.health(service) == "healthy", service, timeout=120)
    assert site.command("users", "list", "--names") == users
    assert "NOT" not in site.command("audit", "verify")


@again
def test_a_backup_that_does_not_start_is_taken_back(kept: Keeping, ada: Person, tmp_path: Path) -> None:
    """What is restored is good by its sums and bad by its content: an administrator's policy that says nothing."""
    site = kept.site
    (site.files / "profiles.toml").write_text("this is no TOML")
    bad = tmp_path / "bad.tar"
    kept.done("backup", "--to", str(bad))
    (site.files / "profiles.toml").write_text(PROFILES)
    done = kept.run("restore", str(bad), "--yes")
    assert done.returncode == 2 and "Putting back" in done.stderr, done.stderr[-2000:]
    kept.take_over()
    assert "this is no TOML" not in (site.files / "profiles.toml").read_text()
    for service in ("hub", "gateway"):
        wait_until(lambda service=service: site.stack.health(service) == "healthy", service, timeout=120)
