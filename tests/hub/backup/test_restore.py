"""Restoring: beside what is there, in its place, and back again, wherever it is killed."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cellar.settings import SettingsError
from cellar_hub.audit import Keys, Report, verify
from cellar_hub.backup import staging
from cellar_hub.backup.archive import check
from cellar_hub.backup.manifest import Refused
from cellar_hub.backup.packing import begin
from cellar_hub.backup.renewal import renew_gateway, renew_hub
from cellar_hub.commands.program import run
from cellar_hub.console.server import main as console
from cellar_hub.gateway.server import main as gateway
from cellar_hub.settings import HubSettings
from cellar_hub.startup import check_settings
from cellar_hub.store import Store
from jupyterhub import orm
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.hub.backup.a_site import ASite, step


def change(site: ASite) -> None:
    """What happens after a backup."""
    (site.volumes / "hub-data" / "made-since").write_text("x")
    with closing(sqlite3.connect(site.volumes / "hub-data" / "jupyterhub.sqlite")) as db, db:
        db.execute("UPDATE users SET name = 'eve'")
    for home in site.homes.iterdir():
        (home / "since").write_text("x")


@pytest.fixture
def changed(site: ASite, backup: Path) -> ASite:
    """A site that went on after its backup was made."""
    (site.add_home() / "before").write_text("x")
    site.backup(backup)
    change(site)
    return site


def users(site: ASite) -> list[str]:
    with closing(sqlite3.connect(site.volumes / "hub-data" / "jupyterhub.sqlite")) as db:
        return [name for (name,) in db.execute("SELECT name FROM users")]


def test_a_site_becomes_what_it_was(changed: ASite, backup: Path) -> None:
    changed.restore(backup)
    changed.each(staging.finish)
    assert users(changed) == ["ada"]
    assert sorted(each.name for each in (changed.homes / "cellar-ws-ada").iterdir()) == ["before"]
    assert not (changed.volumes / "hub-data" / "made-since").exists()
    assert not list(changed.folder.rglob(".cellar-restore"))


def test_into_empty_volumes_too(changed: ASite, backup: Path) -> None:
    mode = (changed.volumes / "gateway-data" / "audit-keys").stat().st_mode
    changed.lose()
    changed.restore(backup)
    changed.each(staging.finish)
    assert users(changed) == ["ada"]
    assert (changed.volumes / "gateway-data" / "audit-keys").stat().st_mode == mode


def test_cookies_of_before_are_worthless(changed: ASite, backup: Path) -> None:
    changed.restore(backup)
    assert not (changed.volumes / "hub-data" / "jupyterhub_cookie_secret").exists(), "the hub makes another"


def test_how_long_users_have_been_gone_is_counted_anew(site: ASite, backup: Path) -> None:
    """By the clock of the backup the keeper would remove files at its first look, before anybody else has looked."""
    since = site.volumes / "hub-data" / "volumes-without-user.json"
    since.write_text('{"cellar-ws-bob": 1.0}')
    site.backup(backup)
    site.restore(backup)
    assert not since.exists()
    site.each(staging.undo)
    assert since.read_text() == '{"cellar-ws-bob": 1.0}'


class Killed(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, work: Callable[[], Any]) -> bool:
    """Do the work, and die at the so many-eth change to the disk. Whether it came so far."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                raise Killed
            return real(*arguments, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "mkdir", "chmod", "unlink", "rmdir", "utime"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(Path, "touch", counted(Path.touch))
        try:
            work()
        except Killed:
            return True
    return False


def test_killed_at_any_moment_everything_is_as_it_was(
    changed: ASite, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = changed.tree()
    number = 0
    while killed_at(monkeypatch, number := number + 1, lambda: changed.restore(backup)):
        changed.each(staging.undo)
        assert changed.tree() == before, f"killed at change {number}"
    assert number > 40
    changed.each(staging.undo)
    assert changed.tree() == before


def test_going_back_may_be_killed_as_well(changed: ASite, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = changed.tree()
    number = 0
    while True:
        changed.restore(backup)
        went = killed_at(monkeypatch, number := number + 1, lambda: changed.each(staging.undo))
        changed.each(staging.undo)
        assert changed.tree() == before, f"killed at change {number}"
        if not went:
            break
    assert number > 10


def test_the_end_may_be_killed_as_well(changed: ASite, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = 0
    while True:
        changed.restore(backup)
        went = killed_at(monkeypatch, number := number + 1, lambda: changed.each(staging.finish))
        changed.each(staging.finish)
        assert users(changed) == ["ada"]
        assert not list(changed.folder.rglob(".cellar-restore"))
        if not went:
            break


def test_a_full_disk_touches_nothing(changed: ASite, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = changed.tree()
    real = shutil.copyfileobj

    def full(source: Any, target: Any, length: int = 0) -> None:
        real(source, target, length)
        if "jupyterhub.sqlite" in str(getattr(source, "name", "")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        changed.stage(backup)
    changed.each(staging.undo)
    assert changed.tree() == before


def test_a_second_restore_does_not_begin_before_the_first_has_ended(changed: ASite, backup: Path) -> None:
    changed.stage(backup)
    changed.each(staging.switch)
    with pytest.raises(Refused, match="--undo"):
        changed.stage(backup)


def test_no_service_starts_in_the_midst_of_a_restore(
    changed: ASite, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"CELLAR_DATA": str(changed.volumes / "hub-data"), "CELLAR_WORKSPACE_IMAGES": "x"}
    secrets = dict.fromkeys(("CONFIGPROXY_AUTH_TOKEN", "CELLAR_GATEWAY_TOKEN"), "0123456789abcdef")
    settings = HubSettings.from_env(env | secrets)
    check_settings(settings)
    changed.stage(backup)
    for each in (lambda _: None, staging.switch):
        changed.each(each)
        with pytest.raises(SettingsError, match="midst of a restore"):
            check_settings(settings)
        assert gateway(changed.env | {"VLLM_BASE_URL": "http://127.0.0.1:1/v1"}) == 2
        assert "midst of a restore" in capsys.readouterr().err
        assert console(changed.env | {"CELLAR_CONSOLE_TOKEN": "0123456789abcdef"} | secrets) == 2
        assert "midst of a restore" in capsys.readouterr().err
    changed.each(staging.ready)
    check_settings(settings)


# --- tokens


def test_no_token_of_before_is_worth_anything(site: ASite) -> None:
    url = f"sqlite:///{site.volumes / 'hub-data' / 'jupyterhub.sqlite'}"
    engine = create_engine(url)
    with Session(engine) as session:
        user = session.query(orm.User).one()
        session.add(orm.OAuthClient(identifier="jupyterhub", description="JupyterHub"))
        user.new_api_token(note="a script's", scopes=[])
        session.commit()
        assert session.query(orm.APIToken).count() == 1
    env = {"CELLAR_HUB_DATABASE_URL": url, "CELLAR_WORKSPACE_IMAGES": "x"}
    secrets = dict.fromkeys(("CONFIGPROXY_AUTH_TOKEN", "CELLAR_GATEWAY_TOKEN"), "0123456789abcdef")
    assert "1 tokens" in renew_hub(env | secrets)[0]
    with Session(engine) as session:
        assert session.query(orm.APIToken).count() == 0
        assert [user.name for user in session.query(orm.User)] == ["ada"]
    engine.dispose()


# --- the audit


def report(site: ASite) -> Report:
    store = Store.open(site.books)
    with store.reading() as conn:
        found = verify(conn, Keys.open(site.volumes / "gateway-data" / "audit-keys"), heads(site))
    import asyncio

    asyncio.run(store.close())
    return found


def heads(site: ASite) -> Path:
    return Path(site.env["CELLAR_AUDIT_HEADS"])


def test_a_site_that_was_lost_whole_verifies_as_if_nothing_had_been(site: ASite, backup: Path) -> None:
    site.backup(backup)
    site.ask(4, 9)
    site.lose()
    site.restore(backup)
    assert renew_gateway(site.env) == ["nothing that the audit's second place knows was lost"]
    site.each(staging.finish)
    found = report(site)
    assert (found.ok, [chain.lost for chain in found.chains]) == (True, [[], []])


def test_what_the_second_place_still_knows_is_told_as_lost_for_ever_and_the_chain_goes_on(
    site: ASite, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.backup(backup)
    site.ask(4, 9)  # rows 7 to 18
    site.restore(backup)
    assert renew_gateway(site.env) == ["gateway-1: rows 7 to 18 of the audit were lost"]
    site.each(staging.finish)
    for _ in range(2):
        found = report(site)
        assert found.problems == []
        chain = next(each for each in found.chains if each.chain == "gateway-1")
        assert [(each.first_seq, each.last_seq, each.by) for each in chain.lost] == [
            (7, 18, "kim (command line)"),
        ]
        site.ask(10, 11)
    assert run(["audit", "verify"], site.env) == 0
    said = capsys.readouterr().out
    assert "LOST in gateway-1: rows 7 to 18 at least" in said
    assert "kim (command line)" in said and "2026-11-29T10:00:00" in said
    assert "whole but for what was lost" in said


def test_a_dump_that_is_older_than_the_files_is_whole_when_it_comes_back(site: ASite, backup: Path) -> None:
    """As with PostgreSQL: between the dump and the rest of the backup the site goes on."""
    database = site.volumes / "gateway-data" / "cellar.db"
    begin(site.volumes, site.spool)
    dump = database.read_bytes()
    site.ask(4, 9)
    database.write_bytes(dump)
    site.pack(backup)
    site.lose()
    site.restore(backup)
    assert renew_gateway(site.env) == ["nothing that the audit's second place knows was lost"]
    site.each(staging.finish)
    assert report(site).ok


def test_a_second_place_that_no_backup_reaches_is_told_what_was_lost(site: ASite, backup: Path, tmp_path: Path) -> None:
    """Somebody else's folder, which is where the audit's manual wants it: it is in no volume."""
    theirs = tmp_path / "theirs"
    (site.volumes / "audit-heads").rename(theirs)
    site.second_place = theirs
    site.backup(backup)
    site.ask(4, 9)
    site.restore(backup)
    assert renew_gateway(site.env) == ["gateway-1: rows 7 to 18 of the audit were lost"]
    assert renew_gateway(site.env) == ["nothing that the audit's second place knows was lost"]
    site.each(staging.finish)
    assert report(site).ok


def test_a_chain_that_began_after_the_backup_is_told_as_lost(site: ASite, backup: Path) -> None:
    site.backup(backup)
    site.ask(20, 21, chain="gateway-2")
    site.restore(backup)
    assert renew_gateway(site.env) == ["gateway-2: rows 1 to 4 of the audit were lost"]
    site.each(staging.finish)
    assert report(site).ok
    site.ask(22, 22, chain="gateway-2")
    assert report(site).ok


def test_without_that_word_it_is_a_cut(site: ASite, backup: Path) -> None:
    """Whoever puts an old database in the place of a newer one by hand is not believed."""
    site.backup(backup)
    database = site.volumes / "gateway-data" / "cellar.db"
    old = database.read_bytes()
    site.ask(4, 9)
    database.write_bytes(old)
    assert [problem.code for problem in report(site).problems] == ["cut"]


def test_a_cut_of_before_the_backup_stays_one(site: ASite, backup: Path) -> None:
    database = site.volumes / "gateway-data" / "cellar.db"
    old = database.read_bytes()
    site.ask(4, 9)
    database.write_bytes(old)
    site.backup(backup)
    site.restore(backup)
    assert renew_gateway(site.env) == ["nothing that the audit's second place knows was lost"]
    site.each(staging.finish)
    assert [problem.code for problem in report(site).problems] == ["cut"]


def test_a_loss_that_the_key_has_not_signed_hides_nothing(site: ASite, backup: Path) -> None:
    site.backup(backup)
    site.ask(4, 9)
    site.restore(backup)
    renew_gateway(site.env)
    site.each(staging.finish)
    lines = heads(site).read_bytes().splitlines(keepends=True)
    spoiled = [line.replace(b'\\"last_seq\\":18', b'\\"last_seq\\":19') for line in lines]
    assert spoiled != lines
    heads(site).write_bytes(b"".join(spoiled))
    assert {problem.code for problem in report(site).problems} >= {"forged_head", "missing"}


def test_a_key_that_was_added_after_the_backup_still_verifies_what_it_signed(site: ASite, backup: Path) -> None:
    site.backup(backup)
    ring = site.volumes / "gateway-data" / "audit-keys"
    Keys.rotate(ring)
    site.ask(4, 5)
    current = Keys.open(ring).current
    site.restore(backup)
    assert renew_gateway(site.env) == ["gateway-1: rows 7 to 10 of the audit were lost"]
    site.each(staging.finish)
    assert (Keys.open(ring).current, len(Keys.open(ring).ids)) == (current, 2)
    assert report(site).ok


def test_another_sites_audit_that_is_replaced_does_not_mix_with_the_restored_one(
    site: ASite, backup: Path, tmp_path: Path
) -> None:
    site.backup(backup)
    other = ASite(tmp_path / "other").make()
    other.ask(4, 9)
    other.restore(backup)
    assert renew_gateway(other.env) == ["nothing that the audit's second place knows was lost"]
    other.each(staging.finish)
    assert report(other).ok
    assert len(list((other.volumes / "audit-heads").glob("heads.replaced-*"))) == 1


def test_the_restore_is_in_the_audit_under_the_name_of_who_did_it(
    site: ASite, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.backup(backup)
    site.restore(backup)
    renew_gateway(site.env)
    site.each(staging.finish)
    run(["audit", "export", "--format", "jsonl"], site.env)
    said = capsys.readouterr().out
    assert '"site.restore"' in said and "kim (command line)" in said and "2026-11-29T10:00:00" in said


def test_who_made_a_backup_is_in_the_audit(site: ASite, capsys: pytest.CaptureFixture[str]) -> None:
    done = step("note", "--volumes", "--recipient=x", **site.env)
    assert done.returncode == 0, done.stderr
    run(["audit", "export", "--format", "jsonl"], site.env)
    said = capsys.readouterr().out
    assert '"site.backup"' in said and "kim (command line)" in said and "without conversations" in said
    assert report(site).ok


def test_books_of_an_older_release_are_brought_up_to_date(site: ASite, backup: Path) -> None:
    """Only the first revision exists so far: a database without any stands for the older one."""
    (site.volumes / "gateway-data" / "cellar.db").unlink()
    heads(site).unlink()
    with closing(sqlite3.connect(site.volumes / "gateway-data" / "cellar.db")) as db, db:
        db.execute("CREATE TABLE cellar_version (version_num VARCHAR(32) NOT NULL)")
    site.backup(backup)
    with backup.open("rb") as source:
        assert check(source).site == "cellar"
    site.restore(backup)
    renew_gateway(site.env)
    site.each(staging.finish)
    assert report(site).ok
