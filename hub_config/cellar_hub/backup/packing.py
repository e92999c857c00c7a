"""Making a backup: what is on the volumes, in an order in which it fits together.

The audit's heads are those of the moment at which the backup began (`begin`), before any dump; then come the databases,
then everything else: a head is then never newer than the rows that it speaks of, and no key is missing that a row was
signed with.
"""

from __future__ import annotations

import os
import shutil
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
from .manifest import MACHINE, POSTGRES, VOLUMES, WORKSPACES, Manifest, Refused, Workspace, check_names, check_path

HEADS = "audit-heads"
BEGAN = "heads.json"
SMALL = 64 * 1024 * 1024
WHOLE = b"\nwhole\n"
"""What stands behind a dump whose program ended well."""


class About(msgspec.Struct):
    """What the machine tells of the stack."""

    site: str
    compose: list[str]
    databases: list[str]
    elsewhere: bool = False
    external: list[str] = []
    workspaces: list[Workspace] = []


class Began(msgspec.Struct):
    """In the spool: the volume that the second place is in, and how long each of its files was; they only grow."""

    volume: str
    sizes: dict[str, int]


def begin(volumes: Path, spool: Path, heads: str = HEADS) -> None:
    """Before any database is read. Raises OSError."""
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(mode=0o700)
    sizes = {path.name: path.stat().st_size for path in walk(volumes / heads) if path.is_file()}
    (spool / BEGAN).write_bytes(msgspec.json.encode(Began(heads, sizes)))


def pack(
    out: BinaryIO, machine: BinaryIO, volumes: Path, workspaces: Path, spool: Path, *, conversations: bool, sealed: bool
) -> Manifest:
    """Write a backup to `out`. `machine`: tar, with the machine's files and about.json. Raises Refused, OSError."""
    writer = Writer(out)
    try:
        manifest = _fill(writer, machine, volumes, workspaces, spool, conversations)
        check_names(manifest)
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
    began = msgspec.json.decode((spool / BEGAN).read_bytes(), type=Began)
    names = sorted(each.name for each in volumes.iterdir())
    for name in names:
        for path in sorted(walk(volumes / name), key=_databases_first):
            most = began.sizes.get(path.name, 0) if name == began.volume else None
            member = f"{VOLUMES}{name}/{path.relative_to(volumes / name).as_posix()}".removesuffix("/.")
            _add(writer, path, member, most)
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
        elsewhere=about.elsewhere,
        volumes=names,
        external=about.external,
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
            if info.isdir():
                continue
            file = files.extractfile(info) if info.isreg() else None
            name = check_path(info.name).removeprefix("./")
            if file is None:
                raise Refused(f"{name}, which stands beside .env, is no file")
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

    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a folder that is gone meanwhile
            raise error

    yield root
    for folder, folders, files in os.walk(root, onerror=unread):
        folders[:] = sorted(each for each in folders if not each.startswith((copies.SPOOL, trees.ASIDE)))
        for name in (*folders, *files):
            path = Path(folder) / name
            mode = path.lstat().st_mode if os.path.lexists(path) else 0
            if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not copies.is_beside(path)):
                yield path


def _databases_first(path: Path) -> tuple[bool, str]:
    """Folders stand before what is in them in any case: a database lies in the volume's own folder."""
    return (not path.is_dir() and not copies.is_database(path), path.as_posix())


def _add(writer: Writer, path: Path, name: str, most: int | None = None) -> None:
    """`most`: bytes of a file."""
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
            return
        size = status.st_size if most is None else min(most, status.st_size)
        if size <= SMALL:
            writer.content(name, file.read(size), status)  # what grows has its length of now
        else:
            writer.file(name, file, size, status)


def keep(source: BinaryIO, target: Path) -> None:
    """Keep a dump that ends with WHOLE. Raises Refused when it was cut off, or the site would have no room left;
    OSError."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    last = b""
    with open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        while data := source.read(1024 * 1024):
            if shutil.disk_usage(target.parent).free < copies.RESERVE:
                raise Refused(f"there is no room for {target.name} beside what the gateway keeps")
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
    if manifest.elsewhere:
        lines.append("NOT in it: the databases on a server of your own. Dump them there, right after this backup.")
    if manifest.encrypted:
        lines.append("It is encrypted: only the private key of --recipient opens it.")
    else:
        lines.append("It is NOT encrypted: whoever reads this file has the site's keys. --recipient KEY encrypts one.")
    sys.stderr.writelines(f"{line}\n" for line in lines)
