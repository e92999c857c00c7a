"""Making a backup: what is on the volumes, in an order in which it fits together.

The audit's heads are read first, then the databases, then everything else: a head is then never newer than the rows
that it speaks of, and no key is missing that a row was signed with.
"""

from __future__ import annotations

import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import msgspec

from . import copies, trees
from .archive import Writer
from .manifest import MACHINE, POSTGRES, VOLUMES, WORKSPACES, Manifest, Refused, Workspace, check_path

HEADS = "audit-heads"
SMALL = 64 * 1024 * 1024
WHOLE = b"\nwhole\n"
"""What stands behind a dump whose program ended well."""


class About(msgspec.Struct):
    """What the machine tells of the stack."""

    site: str
    compose: list[str]
    databases: list[str]
    workspaces: list[Workspace] = []


def pack(
    out: BinaryIO, machine: BinaryIO, volumes: Path, workspaces: Path, spool: Path, *, conversations: bool, sealed: bool
) -> Manifest:
    """Write a backup to `out`. `machine`: tar, with the machine's files and about.json. Raises Refused, OSError."""
    writer = Writer(out)
    try:
        manifest = _fill(writer, machine, volumes, workspaces, spool, conversations)
    except BaseException:
        writer.abandon()
        raise
    manifest.encrypted = sealed
    writer.close(manifest)
    return manifest


def _fill(
    writer: Writer, machine: BinaryIO, volumes: Path, workspaces: Path, spool: Path, conversations: bool
) -> Manifest:
    about = _machine(writer, machine)
    names = sorted((each.name for each in volumes.iterdir()), key=lambda name: (name != HEADS, name))
    for name in names:
        for path in sorted(walk(volumes / name), key=_databases_first):
            _add(writer, path, f"{VOLUMES}{name}/{path.relative_to(volumes / name).as_posix()}".removesuffix("/."))
    for database in about.databases:
        dump = spool / f"{database}.dump"
        if not dump.is_file():
            raise Refused(f"there is no dump of {database}")
        with dump.open("rb") as file:
            writer.file(f"{POSTGRES}{database}.dump", file, dump.stat().st_size)
    for workspace in about.workspaces:
        with trees.packed(workspaces / workspace.volume, conversations) as tree:
            writer.stream(f"{WORKSPACES}{workspace.volume}.tar", tree)
    return Manifest(
        cellar=version("jupyter-cellar"),
        jupyterhub=version("jupyterhub"),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        site=about.site,
        compose=about.compose,
        databases=about.databases,
        volumes=sorted(names),
        workspaces=about.workspaces,
        conversations=conversations,
        members={},
    )


def _machine(writer: Writer, source: BinaryIO) -> About:
    """Pass the machine's files on."""
    about = None
    with tarfile.open(fileobj=source, mode="r|") as files:
        while (info := files.next()) is not None:
            trees.forget(files)
            file = files.extractfile(info) if info.isreg() else None
            if file is None:
                continue
            name = check_path(info.name).removeprefix("./")
            if name == "about.json":
                about = msgspec.json.decode(file.read(), type=About)
            else:
                writer.file(MACHINE + name, file, info.size, _like(info))  # type: ignore[arg-type]  # it only reads
    if about is None:
        raise Refused("the machine told nothing of itself")
    return about


def _like(info: tarfile.TarInfo) -> os.stat_result:
    return os.stat_result((info.mode, 0, 0, 1, info.uid, info.gid, info.size, 0, int(info.mtime), 0))


def walk(root: Path) -> Iterator[Path]:
    """The volume's own folder, and what is in it, without what a backup or a restore has left."""
    yield root
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith((copies.SPOOL, trees.ASIDE)))
        for name in (*folders, *files):
            path = Path(folder) / name
            mode = path.lstat().st_mode if os.path.lexists(path) else 0
            if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not copies.is_beside(path)):
                yield path


def _databases_first(path: Path) -> tuple[bool, str]:
    """Folders stand before what is in them in any case: a database lies in the volume's own folder."""
    return (not path.is_dir() and not copies.is_database(path), path.as_posix())


def _add(writer: Writer, path: Path, name: str) -> None:
    if path.is_dir():
        writer.folder(name, path.lstat())
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return  # gone meanwhile: a lock, a file that was written beside another
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if copies.is_database(path):
            with copies.copied(path) as copy, copy.open("rb") as whole:
                writer.file(name, whole, copy.stat().st_size, status)
        elif status.st_size <= SMALL:
            writer.content(name, file.read(status.st_size), status)  # what grows has its length of now
        else:
            writer.file(name, file, status.st_size, status)


def keep(source: BinaryIO, target: Path) -> None:
    """Keep a dump that ends with WHOLE. Raises Refused when it was cut off, OSError."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    last = b""
    with open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        while data := source.read(1024 * 1024):
            data = last + data
            last = data[-len(WHOLE) :]
            out.write(data[: -len(WHOLE)])
    if last != WHOLE:
        target.unlink()
        raise Refused(f"{target.name}: pg_dump did not come to its end")


def tell(manifest: Manifest) -> None:
    """For a person, on standard error: what is in it, and what that means."""
    said = "with" if manifest.conversations else "without"
    workspaces = (
        f"{len(manifest.workspaces)} workspaces {said} conversations" if manifest.workspaces else "no workspace"
    )
    lines = [f"In it: accounts and log-ins, books, the audit and its keys, settings with their secrets; {workspaces}."]
    if manifest.encrypted:
        lines.append("It is encrypted: only the private key of --recipient opens it.")
    else:
        lines.append("It is NOT encrypted: whoever reads this file has the site's keys. --recipient KEY encrypts one.")
    sys.stderr.writelines(f"{line}\n" for line in lines)
