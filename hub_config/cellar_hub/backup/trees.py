"""Users' volumes, by GNU tar: owners, modes, times, links as links, holes as holes, any name; no file in memory.

What was said to the assistant lies there, too, and stays out unless it is asked for: conversations and journals under
the Jupyter data directory, and IPython's history, in which `%%ai` cells are.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .manifest import Refused, check_path

SAID = (".local/share/jupyter/cellar", ".ipython/profile_*/history.sqlite*")
ASIDE = ".cellar-restore"
ALL_OF_IT = ["--sparse", "--numeric-owner"]
CHANGED = 1
"""tar's exit status when something changed while it was read; users go on working."""
TOO_LONG = ": File name too long"
"""What tar says of a path of more than 4,096 bytes, which users can make and nobody can name."""
KEPT_LINES = 20


@contextmanager
def packed(folder: Path, conversations: bool) -> Iterator[BinaryIO]:
    """A folder's tree as a stream. Raises Refused when it could not be read."""
    left_out = [f"--exclude=./{ASIDE}", *(() if conversations else (f"--exclude=./{each}" for each in SAID))]
    how = ["--format=posix", "--pax-option=delete=atime,delete=ctime", "--one-file-system", "--anchored"]
    how += ["--wildcards", "--no-wildcards-match-slash", "--warning=no-file-ignored", "--warning=no-file-changed"]
    command = ["tar", "--create", *ALL_OF_IT, *how, *left_out, "-C", str(folder), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout  # type: ignore[misc]  # a buffered reader
        if process.stdout.read(1):
            process.kill()
    if process.returncode not in (0, CHANGED):
        raise Refused(f"{folder.name} could not be read: tar ended with {process.returncode}")


def check_tree(stream: BinaryIO) -> None:
    """Read such a stream to its end. Raises Refused for what would be written, or linked to, outside of the folder."""
    links: set[PurePosixPath] = set()
    with tarfile.open(fileobj=stream, mode="r|", bufsize=1024 * 1024) as tree:
        while (info := tree.next()) is not None:
            forget(tree)
            if info.name in (".", "./") and info.isdir():
                continue
            path = PurePosixPath(check_path(info.name))
            if not links.isdisjoint(path.parents):
                raise Refused(f"it has a file behind a link: {info.name!r}")
            if info.issym():
                links.add(path)
            elif info.islnk() and not links.isdisjoint(PurePosixPath(check_path(info.linkname)).parents):
                raise Refused(f"it has a link through a link: {info.name!r}")
            elif not (info.islnk() or info.isreg() or info.isdir() or info.isfifo()):
                raise Refused(f"it has a file of a kind that users cannot make: {info.name!r}")
    while stream.read(1024 * 1024):
        pass


def forget(archive: tarfile.TarFile) -> None:
    """tarfile keeps every member it has seen."""
    vars(archive)["members"].clear()


def unpack(stream: BinaryIO, folder: Path) -> None:
    """Into an empty folder. tar itself follows no link that it has made. Raises Refused, also for a full disk. A path
    that is too long to be written keeps no user's files, nor anybody else's, from coming back: it is told."""
    command = ["tar", "--extract", *ALL_OF_IT, "--preserve-permissions", "--delay-directory-restore", "-C", str(folder)]
    command.append("--warning=no-timestamp")
    if os.geteuid() == 0:
        command.append("--same-owner")
    env = os.environ | {"LC_ALL": "C"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdin is not None and process.stderr is not None
        said = _Said(process.stderr)  # type: ignore[arg-type]  # a buffered reader
        said.start()
        try:
            while data := stream.read(1024 * 1024):
                process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why
        said.join()
    name = folder.parent.parent.name
    if process.returncode != 0 and (said.lines or not said.too_long):
        raise Refused(f"{name} could not be written: {' '.join(said.lines)[-300:]}")
    if said.too_long:
        sys.stderr.write(f"{name}: {said.too_long} paths are too long to be written, and are left out\n")
    sys.stderr.writelines(f"{line[-300:]}\n" for line in said.lines)


class _Said(threading.Thread):
    """What tar says, read while it works: it would wait for ever where nobody does."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(daemon=True)
        self._source = source
        self.too_long = 0
        self.lines: list[str] = []

    def run(self) -> None:
        for each in self._source:
            line = each.decode(errors="replace").rstrip()
            if line.endswith(TOO_LONG):
                self.too_long += 1
            elif "due to previous errors" not in line:
                self.lines = [*self.lines, line][-KEPT_LINES:]


def said_in(folder: Path) -> Iterator[Path]:
    """Where conversations lie in a user's tree, through no link. Paths are relative."""
    for pattern in SAID:
        found = [Path()]
        for part in PurePosixPath(pattern).parts:
            found = [
                where / entry.name
                for where in found
                for entry in _entries(folder / where)
                if fnmatchcase(entry.name, part) and not entry.is_symlink()
            ]
        yield from found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (NotADirectoryError, FileNotFoundError):
        return []


def keep_what_was_said(old: Path, new: Path) -> None:
    """What a backup left out is not taken from users by restoring it: the same files, under a second name, in the new
    tree. Nothing goes through a link of either tree."""
    for relative in said_in(old):
        if _make_parents(old, new, relative) and not os.path.lexists(new / relative):
            _link(old / relative, new / relative)


def _make_parents(old: Path, new: Path, relative: Path) -> bool:
    for parent in reversed(relative.parents[:-1]):
        if not os.path.lexists(new / parent):
            (new / parent).mkdir()
            _like(old / parent, new / parent)
        if (new / parent).is_symlink() or not (new / parent).is_dir():
            return False
    return True


def _link(source: Path, target: Path) -> None:
    left = [(source, target)]
    while left:
        old, new = left.pop()
        try:
            if stat.S_ISDIR(old.lstat().st_mode):
                new.mkdir()
                _like(old, new)
                left += [(old / entry.name, new / entry.name) for entry in _entries(old)]
            else:
                os.link(old, new, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # a folder in a folder, so deep that nobody can name it
                raise


def _like(source: Path, target: Path) -> None:
    status = source.lstat()
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
