"""Log-in with a real account of this machine, by PAM."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cellar_hub.spawner.names import OWNER, Names

from tests.hub.commands.engine import Volumes
from tests.hub.commands.site import Site, said
from tests.hub.login.test_names import files, made

pytestmark = pytest.mark.timeout(240)
PASSWORD = "a real password of PAM"
SERVICE = Path("/etc/pam.d/cellar-tests")
USABLE = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("useradd") and SERVICE.parent.is_dir()


def run(*command: str, stdin: str = "") -> None:
    subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)


@pytest.fixture(scope="module")
def names() -> Iterator[tuple[str, str, str]]:
    """Somebody in the group, somebody who is not, and the group."""
    if not USABLE:
        pytest.skip("root's rights over accounts (useradd, /etc/pam.d) are missing here: no test of PAM")
    mark = secrets.token_hex(3)
    inside, outside, group = f"cellar-in-{mark}", f"cellar-out-{mark}", f"cellar-{mark}"
    run("groupadd", group)
    for name, more in ((inside, ("-G", group)), (outside, ())):
        run("useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", *more, name)
        run("chpasswd", stdin=f"{name}:{PASSWORD}\n")
    SERVICE.write_text("auth required pam_unix.so nodelay\naccount required pam_unix.so\n")
    yield inside, outside, group
    SERVICE.unlink()
    for name in (inside, outside):
        run("userdel", name)
    with contextlib.suppress(subprocess.CalledProcessError):
        run("groupdel", group)


@pytest.fixture(scope="module")
def volumes() -> Iterator[Volumes]:
    with Volumes() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, names: tuple[str, str, str], volumes: Volumes) -> Iterator[Site]:
    group = names[2]
    settings = {"CELLAR_LOGIN": "pam", "CELLAR_PAM_SERVICE": SERVICE.name, "CELLAR_LOGIN_GROUPS": group}
    found = Site(tmp_path_factory.mktemp("hub"), **settings, CELLAR_HUB_GROUPS=group, DOCKER_HOST=volumes.address)
    yield found
    found.end()


def log_in(site: Site, name: str, password: str, **headers: str) -> tuple[int, str]:
    browser, answer = site.answer_to(name, password, **headers)
    browser.close()
    return answer.status_code, said(answer.text)


def test_whoever_was_removed_and_comes_back_gets_in_and_their_files_by_an_administrators_word(
    site: Site, names: tuple[str, str, str], volumes: Volumes
) -> None:
    inside = names[0]
    assert log_in(site, inside, PASSWORD)[0] == 302
    volumes.labels[Names("cellar", inside).own] = {OWNER: made(site, inside)}
    assert files(site, inside) == "theirs"
    assert site.command("users", "remove", inside).returncode == 0
    assert log_in(site, inside, PASSWORD)[0] == 302 and files(site, inside) == "earlier"
    done = site.command("users", "files", inside, "--same-person")
    assert done.returncode == 0 and files(site, inside) == "theirs", done.stderr


def test_members_of_the_group_get_in_with_their_own_password_and_nobody_else(
    site: Site, names: tuple[str, str, str]
) -> None:
    inside, outside, _ = names
    assert log_in(site, inside, PASSWORD)[0] == 302
    for name, password in ((inside, "wrong password"), (inside, ""), ("nobody-here", PASSWORD), ("root", "")):
        status, text = log_in(site, name, password)
        assert status == 403 and "Invalid username or password" in text
    status, text = log_in(site, outside, PASSWORD)
    assert status == 403 and "You may not use this hub" in text
    assert "You may not" not in log_in(site, outside, "wrong password")[1], "said to the right password alone"


def test_whom_an_administrator_names_gets_in_without_the_group_and_whom_they_block_not_with_it(
    site: Site, names: tuple[str, str, str]
) -> None:
    inside, outside, _ = names
    done = site.command("users", "add", outside)
    assert done.stdout == f"{outside} may log in, with the directory's password.\n", done.stderr
    assert log_in(site, outside, PASSWORD)[0] == 302
    assert site.command("users", "block", inside).returncode == 0
    assert log_in(site, inside, PASSWORD)[0] == 403
    assert site.command("users", "unblock", inside).returncode == 0
    assert log_in(site, inside, PASSWORD)[0] == 302


def test_the_machines_groups_are_the_hubs_where_the_site_wants_that(site: Site, names: tuple[str, str, str]) -> None:
    inside, _, group = names
    log_in(site, inside, PASSWORD)
    assert site.ask("GET", f"/users/{inside}").json()["groups"] == [group]


def test_who_leaves_the_group_is_out_before_the_next_log_in(site: Site, names: tuple[str, str, str]) -> None:
    inside, _, group = names
    browser, status = site.log_in(inside, PASSWORD)
    assert status == 302 and browser.get("/hub/home").status_code == 200
    run("gpasswd", "-d", inside, group)
    deadline = time.monotonic() + 20
    while browser.get("/hub/home").status_code == 200:
        assert time.monotonic() < deadline, "the cookie goes on working"
    browser.close()
    assert log_in(site, inside, PASSWORD)[0] == 403
    run("gpasswd", "-a", inside, group)
    assert log_in(site, inside, PASSWORD)[0] == 302


def test_wrong_passwords_make_wait_here_too_and_each_is_in_the_audit(site: Site, names: tuple[str, str, str]) -> None:
    inside, _, _ = names
    here = {"X-Forwarded-For": "192.0.2.77"}
    tries, refused = site.until_refused(inside, seconds=1, **here)
    assert tries >= 5 and said(refused.text).startswith("Too many wrong passwords.")
    assert site.until_events("192.0.2.77", 2) == [
        ("user.login.failed", inside, "wrong password"),
        ("user.login.refused", inside, "too many wrong passwords"),
    ]
