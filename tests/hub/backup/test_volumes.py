"""Users' volumes: what users may do to their files survives, what they said stays out, and nothing leads outside."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cellar_hub.backup import staging, trees
from cellar_hub.backup.manifest import Refused

from tests.hub.backup.a_site import ADA, ASite, tar

MB = 1024 * 1024


def everything(home: Path) -> None:
    """What users have in their homes, the odd things included."""
    (home / "work").mkdir(mode=0o700)
    (home / "work" / "note.ipynb").write_text("{}")
    (home / "work" / "run.sh").write_text("#!/bin/sh\n")
    (home / "work" / "run.sh").chmod(0o755)
    (home / "한글 이름\n와 줄바꿈").write_text("x")
    (home / "-rf *?[x]").write_text("x")
    with open(os.fsencode(home) + b"/not-utf8-\xff\xfe", "w") as file:
        file.write("x")
    (home / ("long" * 60)).write_text("x")
    (home / "empty").mkdir()
    (home / "to-work").symlink_to("work")
    (home / "to-etc").symlink_to("/etc/passwd")
    (home / "dangling").symlink_to("nowhere")
    os.link(home / "work" / "note.ipynb", home / "same")
    os.mkfifo(home / "fifo")
    with (home / "sparse.bin").open("wb") as file:
        file.write(b"begin")
        file.seek(64 * MB)
        file.write(b"end")
    os.utime(home / "work" / "note.ipynb", (1_700_000_000, 1_700_000_000))
    if os.geteuid() == 0:
        os.chown(home / "work" / "run.sh", 4321, 4322)


@pytest.fixture
def ada(site: ASite) -> Path:
    home = site.add_home()
    everything(home)
    return home


def said(home: Path) -> list[Path]:
    """Files with what was asked and answered."""
    files = [
        home / ".local/share/jupyter/cellar/conversations/c1.json",
        home / ".local/share/jupyter/cellar/journals/t1.jsonl",
        home / ".ipython/profile_default/history.sqlite",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("Canary1234")
        file.chmod(0o600)
    (home / ".local/share/jupyter/kernels").mkdir()
    return files


def test_what_users_have_survives_as_it_is(site: ASite, ada: Path, backup: Path) -> None:
    before = {name: seen for name, seen in site.tree().items() if name.startswith("workspaces/")}
    site.backup(backup)
    assert backup.stat().st_size < 16 * MB, "holes are not written out"
    for path in (ada / "work" / "run.sh", ada / "-rf *?[x]"):
        path.unlink()
    (ada / "new").write_text("made since")
    site.restore(backup)
    site.each(staging.finish)
    assert {name: seen for name, seen in site.tree().items() if name.startswith("workspaces/")} == before
    assert (ada / "sparse.bin").stat().st_blocks * 512 < MB, "a hole is a hole again"
    assert (ada / "same").samefile(ada / "work" / "note.ipynb")
    assert (ada / "work" / "note.ipynb").stat().st_mtime == 1_700_000_000
    assert stat.S_IMODE(ada.stat().st_mode) == 0o750


def test_what_was_said_is_in_no_backup_unless_it_is_asked_for(site: ASite, ada: Path, backup: Path) -> None:
    said(ada)
    site.backup(backup)
    assert b"Canary1234" not in backup.read_bytes()
    site.backup(backup, conversations=True)
    assert b"Canary1234" in backup.read_bytes()


def test_restoring_a_backup_without_conversations_takes_nobodys_away(site: ASite, ada: Path, backup: Path) -> None:
    site.backup(backup)
    files = said(ada)
    site.restore(backup)
    site.each(staging.finish)
    assert [file.read_text() for file in files] == ["Canary1234"] * 3
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_going_back_gives_everybody_what_they_had(site: ASite, ada: Path, backup: Path) -> None:
    site.backup(backup)
    said(ada)
    before = site.tree()
    site.restore(backup)
    site.each(staging.undo)
    assert site.tree() == before


@pytest.mark.parametrize("link", [".local", ".local/share", ".local/share/jupyter/cellar"])
def test_a_link_in_the_place_of_conversations_is_not_followed(
    site: ASite, backup: Path, tmp_path: Path, link: str
) -> None:
    """Neither in the tree that is there nor in the backup's: root would write where a user points."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "share/jupyter/cellar").mkdir(parents=True)
    (elsewhere / "jupyter/cellar").mkdir(parents=True)
    for file in elsewhere.rglob("cellar"):
        (file / "secret").write_text("root's own")
    home = site.add_home()
    (home / link).parent.mkdir(parents=True, exist_ok=True)
    (home / link).symlink_to(elsewhere)
    site.backup(backup)
    (home / link).unlink()
    files = said(home)
    before = sorted(elsewhere.rglob("*"))
    site.restore(backup)
    assert sorted(elsewhere.rglob("*")) == before, "what was said was not written through the backup's link"
    site.each(staging.undo)
    assert files[0].is_file()
    for each in (home / ".local").rglob("*"):
        assert not each.is_symlink()


def test_files_behind_links_out_of_the_volume_are_not_in_it(site: ASite, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Canary5678")
    home = site.add_home()
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "folder").symlink_to(tmp_path)
    site.backup(backup)
    assert b"Canary5678" not in backup.read_bytes()


# --- what a user may have put there so that a restore fails for everybody


USER = 1000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a user's files")


def a_folder(at: Path, _elsewhere: Path) -> None:
    """As if another restore had not come to its end."""
    (at / "old").mkdir(parents=True)
    (at / "old" / "x").write_text("a user's")
    (at / "switching").write_text("")


def a_link(at: Path, elsewhere: Path) -> None:
    at.symlink_to(elsewhere)


def a_folder_with_links(at: Path, elsewhere: Path) -> None:
    at.mkdir()
    for name in ("old", "new", "trash"):
        (at / name).symlink_to(elsewhere)
    (at / "emptied").write_text("")


def a_file(at: Path, _elsewhere: Path) -> None:
    at.write_text("x")


@as_root
@pytest.mark.parametrize("put", [a_folder, a_link, a_folder_with_links, a_file])
def test_a_users_own_folder_of_that_name_stops_no_restore_and_no_way_back(
    site: ASite, backup: Path, put: Callable[[Path, Path], None]
) -> None:
    home = site.add_home()
    (home / "before").write_text("x")
    site.backup(backup)
    hub = site.volumes / "hub-data"
    put(home / ".cellar-restore", hub)
    os.lchown(home / ".cellar-restore", USER, USER)
    others = {name: seen for name, seen in site.tree().items() if not name.startswith("workspaces/")}

    for step in (staging.undo, staging.ready, staging.switch, staging.finish):
        site.each(step)  # as after a restore that came as far as the volume before it
    assert os.path.lexists(home / ".cellar-restore")
    assert {name: seen for name, seen in site.tree().items() if not name.startswith("workspaces/")} == others

    site.restore(backup)
    site.each(staging.undo)
    assert {name: seen for name, seen in site.tree().items() if not name.startswith("workspaces/")} == others
    assert [name.startswith(".cellar-restore.") for name in sorted(os.listdir(home))] == [True, False]
    site.restore(backup)
    site.each(staging.finish)
    assert os.listdir(home) == ["before"]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Callable[[Path, str, int], None]]:
    """`deep(where, name, times)`: folders in folders, gone at the end: pytest cannot remove them."""

    def make(where: Path, name: str, times: int) -> None:
        where.mkdir(parents=True, exist_ok=True)
        inner = os.open(where, os.O_RDONLY)
        for _ in range(times):
            os.mkdir(name, dir_fd=inner)
            outer, inner = inner, os.open(name, os.O_RDONLY, dir_fd=inner)
            os.close(outer)
        os.close(inner)

    yield make
    subprocess.run(["rm", "-rf", str(tmp_path / "backup")], check=True)


def test_a_path_that_nobody_can_name_keeps_nothing_else_from_coming_back(
    site: ASite, backup: Path, deep: Callable[[Path, str, int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """What tar says of it is more than a pipe holds."""
    home = site.add_home()
    deep(home, "d" * 200, 60)
    (home / "z").write_text("a file behind it")
    ben = site.add_home("cellar-ws-ben")
    (ben / "note").write_text("ben's")
    site.backup(backup)
    for each in (home / "z", ben / "note"):
        each.unlink()
    site.restore(backup)
    site.each(staging.finish)
    assert ((home / "z").read_text(), (ben / "note").read_text()) == ("a file behind it", "ben's")
    assert "paths are too long to be written, and are left out" in capsys.readouterr().err


def test_folders_deeper_than_python_goes_can_be_replaced_and_put_back(
    site: ASite, backup: Path, deep: Callable[[Path, str, int], None]
) -> None:
    home = site.add_home()
    (home / "note").write_text("x")
    site.backup(backup)
    deep(home, "d", 1_050)
    deep(home / ".local/share/jupyter/cellar", "d", 2_050)
    site.restore(backup)
    site.each(staging.undo)
    assert sorted(os.listdir(home)) == [".local", "d", "note"]
    site.restore(backup)
    site.each(staging.finish)
    assert sorted(os.listdir(home)) == [".local", "note"]


def tree(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """Names, kinds and where links lead."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, leads in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, leads
            archive.addfile(info)
    out.seek(0)
    return out


@pytest.mark.parametrize(
    "members",
    [
        [("../x", tarfile.REGTYPE, "")],
        [("/etc/x", tarfile.REGTYPE, "")],
        [("a/../../x", tarfile.REGTYPE, "")],
        [("a", tarfile.SYMTYPE, "/etc"), ("a/x", tarfile.REGTYPE, "")],
        [("a", tarfile.SYMTYPE, "b"), ("a/x/y", tarfile.DIRTYPE, "")],
        [("a", tarfile.LNKTYPE, "../../etc/shadow")],
        [("a", tarfile.LNKTYPE, "/etc/shadow")],
        [("a", tarfile.SYMTYPE, "/etc"), ("b", tarfile.LNKTYPE, "a/shadow")],
        [("null", tarfile.CHRTYPE, "")],
        [("disk", tarfile.BLKTYPE, "")],
    ],
)
def test_a_tree_that_leads_outside_is_refused(members: Any) -> None:
    trees.check_tree(tree(("./", tarfile.DIRTYPE, ""), ("a", tarfile.SYMTYPE, "/etc"), ("b", tarfile.LNKTYPE, "c")))
    with pytest.raises(Refused):
        trees.check_tree(tree(*members))


def test_a_volume_that_cannot_be_written_is_told(site: ASite, ada: Path, backup: Path) -> None:
    site.backup(backup)
    (site.homes / ADA).rename(site.homes / "other")
    with pytest.raises(Refused, match="there is no volume cellar-ws-ada"):
        site.stage(backup)


def test_the_machines_files_come_out_as_they_went_in(site: ASite, backup: Path) -> None:
    site.backup(backup)
    files = site.stage(backup)
    assert sorted(files) == ["env", "site/policy.toml"]
    assert tar({}).getvalue() != b""
