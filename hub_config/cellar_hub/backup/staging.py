"""Putting a backup onto the volumes: beside what is there, then in its place, and back again when something fails.

In each volume, `.cellar-restore` holds `new` while a backup is unpacked, then `old` with what was there. Nothing else
is touched until all of it is unpacked and agrees with its manifest. Then `switch` moves what is there to `old` and what
is new into its place: renames within one file system, which a full disk does not stop. Killed at any moment, `undo`
finds from the marks how far it was. `finish` removes `old`. From the moment at which all is unpacked until `ready`,
hub, gateway and console refuse to start on the volume, whoever starts them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cellar.settings import SettingsError

from . import trees
from .archive import BLOCK, Member, Pieces, Reader
from .manifest import MACHINE, POSTGRES, VOLUMES, WORKSPACES, Manifest, Refused, check_path

ASIDE = trees.ASIDE
SWITCHING = "switching"
EMPTIED = "emptied"
SPOOL = "gateway-data"
"""The volume in which dumps wait for PostgreSQL."""
MADE_ANEW = ("hub-data/jupyterhub_cookie_secret", "hub-data/volumes-without-user.json")
"""What a restored site does not take over: with a new secret every browser logs in anew; and for how long users have
been gone is counted from now on, because by the clock of then files would be removed before anybody has looked."""


def check_whole(data: Path) -> None:
    """Before a service starts: raises SettingsError when its volume is between two states."""
    if (data / ASIDE / SWITCHING).exists():
        raise SettingsError("CELLAR_DATA", "is in the midst of a restore: cellar-hub restore --undo puts back what was")


def stage(source: BinaryIO, out: BinaryIO, volumes: Path, workspaces: Path) -> Manifest:
    """Unpack a backup beside what is there; the machine's files go to `out`, as tar. Raises Refused, OSError."""
    reader = Reader(source)
    prepared: set[Path] = set()

    def new(volume: Path) -> Path:
        if volume not in prepared:
            _prepare(volume)
            prepared.add(volume)
        return volume / ASIDE / "new"

    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as machine:
        for member in reader:
            kind, _, rest = member.name.partition("/")
            if kind + "/" == MACHINE:
                info = member.info
                info.name = rest
                machine.addfile(info, member)
            elif kind + "/" == POSTGRES:
                new(volumes / SPOOL)
                with open(_create(volumes / SPOOL / ASIDE, PurePosixPath(rest), 0o600), "wb") as dump:
                    shutil.copyfileobj(member, dump, BLOCK)
            elif kind + "/" == VOLUMES:
                name, _, path = rest.partition("/")
                if rest not in MADE_ANEW:
                    _unpack(member, new(_existing(volumes / name)), path)
            elif kind + "/" == WORKSPACES:
                name = rest.partition("/")[0].removesuffix(".tar")
                trees.unpack(Pieces(reader, member), new(_existing(workspaces / name)))  # type: ignore[arg-type]
    manifest = reader.manifest
    assert manifest is not None
    if not manifest.conversations:
        for workspace in manifest.workspaces:
            volume = workspaces / workspace.volume
            trees.keep_what_was_said(volume, volume / ASIDE / "new")
    os.sync()
    for volume in prepared:
        (volume / ASIDE / SWITCHING).touch()
    return manifest


def _existing(volume: Path) -> Path:
    if not volume.is_dir():
        raise Refused(f"there is no volume {volume.name}")
    return volume


def _is_ours(aside: Path) -> bool:
    """Whether this is a restore's own folder. In a user's volume there may be anything of that name, links too, and
    what users make is theirs."""
    try:
        status = aside.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _prepare(volume: Path) -> None:
    aside = volume / ASIDE
    if os.path.lexists(aside) and not _is_ours(aside):
        aside.rename(volume / f"{ASIDE}.{secrets.token_hex(4)}")
    if (aside / SWITCHING).exists() or (aside / "old").exists():
        raise Refused("another restore did not come to its end: cellar-hub restore --undo")
    _remove(aside)
    aside.mkdir()
    aside.chmod(0o711)  # the gateway looks for the heads of before in it
    (aside / "new").mkdir(mode=0o700)


def _unpack(member: Member, folder: Path, path: str) -> None:
    info = member.info
    if not path:
        target = folder  # the volume's own
    elif info.isdir():
        target = folder / check_path(path)
        target.mkdir(mode=0o700, exist_ok=True)
    else:
        target = folder / check_path(path)
        with open(_create(folder, PurePosixPath(path), 0o600), "wb") as file:
            shutil.copyfileobj(member, file, BLOCK)
    if os.geteuid() == 0:
        os.chown(target, info.uid, info.gid)
    os.chmod(target, info.mode)
    os.utime(target, (info.mtime, info.mtime))


def _create(folder: Path, path: PurePosixPath, mode: int) -> int:
    """In a folder that was empty a moment ago, and in which only regular files and folders were made."""
    return os.open(folder / path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, mode)


def staged(volumes: Path, database: str) -> Path:
    """The dump of a database that waits for PostgreSQL."""
    return volumes / SPOOL / ASIDE / f"{database}.dump"


# --- in its place, and back


def all_volumes(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(each for each in folder.iterdir() if each.is_dir())


def switch(volume: Path) -> None:
    """Put `new` in the place of what is there. Nothing to do where nothing was unpacked."""
    aside = volume / ASIDE
    if not _is_ours(aside) or not (aside / "new").is_dir():
        return
    (aside / "old.part").mkdir(mode=0o700)
    _take_over(volume, aside / "old.part")
    (aside / "old.part").rename(aside / "old")
    _move(volume, aside / "old")
    (aside / EMPTIED).touch()
    _take_over(aside / "new", volume)
    _move(aside / "new", volume)
    os.sync()


def ready(volume: Path) -> None:
    """Services may start; what was there stays until `finish`."""
    if _is_ours(volume / ASIDE):
        (volume / ASIDE / SWITCHING).unlink(missing_ok=True)


def undo(volume: Path) -> None:
    """As it was before, however far it had come. May be called again."""
    aside = volume / ASIDE
    if not _is_ours(aside):
        return
    if (aside / "old").is_dir():
        (aside / SWITCHING).touch()
        if (aside / EMPTIED).exists():
            trash = aside / "trash"
            trash.mkdir(mode=0o700, exist_ok=True)
            _move(volume, trash)
            os.sync()
            (aside / EMPTIED).unlink()
        _move(aside / "old", volume)
        _take_over(aside / "old", volume)
        os.sync()
    _remove(aside)


def finish(volume: Path) -> None:
    """Remove what was there before; then it cannot be put back any more, not even a part of it."""
    aside = volume / ASIDE
    if not _is_ours(aside):
        return
    if (aside / "old").is_dir():
        (aside / "old").rename(aside / "gone")
    _remove(aside)


def _remove(folder: Path) -> None:
    """By rm, because users may have folders in folders deeper than Python goes. Raises Refused."""
    done = subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"{folder} could not be removed: {done.stderr.strip()[-300:]}")


def _move(source: Path, target: Path) -> None:
    for entry in list(os.scandir(source)):
        if entry.name != ASIDE:
            os.rename(entry.path, target / entry.name)


def _take_over(source: Path, target: Path) -> None:
    """Owner and mode of a volume's own folder: whose service may write there."""
    status = source.stat()
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)


def is_restored(path: Path) -> bool:
    """Whether a file lies in a volume that a restore, not yet finished, has written."""
    return any((folder / ASIDE).is_dir() for folder in path.parents)


def kept_aside(path: Path) -> Path | None:
    """Where a file of a volume lies that a restore has put another in the place of; None when there is none."""
    for folder in path.parents:
        if (folder / ASIDE).is_dir():
            old = folder / ASIDE / "old" / path.relative_to(folder)
            return old if old.is_file() else None
    return None
