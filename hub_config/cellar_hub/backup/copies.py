"""Copies of SQLite databases while they are written to, by SQLite's own online backup.

A copy lies beside its database until it is in the backup: where its owner may write, and nobody else may read. It is
made by a process of the owner's, because whoever opens a database may have to mend it, and leaves files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from .manifest import Refused

SPOOL = ".cellar-backup"
MAGIC = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")
"""Endings of files that belong to a database and are of no use without the moment they were read at."""
RESERVE = 64 * 1024 * 1024
"""Bytes that stay free for the site."""
PATIENCE = 60.0  # seconds for a database that is locked


def is_database(path: Path) -> bool:
    """False for what is gone meanwhile."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        return False


def is_beside(path: Path) -> bool:
    """Whether a file is SQLite's own beside a database that is there."""
    for ending in BESIDE:
        if path.name.endswith(ending):
            main = path.with_name(path.name.removesuffix(ending))
            return main.is_file() and is_database(main)
    return False


@contextmanager
def copied(database: Path) -> Iterator[Path]:
    """A copy that is gone afterwards. Raises Refused."""
    owner = database.stat()
    wal = database.with_name(f"{database.name}-wal")
    size = owner.st_size + (wal.stat().st_size if wal.exists() else 0)
    if shutil.disk_usage(database.parent).free < size + RESERVE:
        raise Refused(f"there is no room beside {database.name} for a copy of it ({size // 1024**2 + 1} MB)")
    spool = database.parent / f"{SPOOL}.{secrets.token_hex(4)}"
    spool.mkdir(mode=0o700)
    try:
        if os.geteuid() == 0:
            os.chown(spool, owner.st_uid, owner.st_gid)
        _copy(database, spool / database.name, owner)
        yield spool / database.name
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _copy(database: Path, copy: Path, owner: os.stat_result) -> None:
    command = [sys.executable, "-m", __name__, str(database), str(copy)]
    if os.geteuid() == 0:
        done = subprocess.run(
            command, capture_output=True, text=True, user=owner.st_uid, group=owner.st_gid, extra_groups=[]
        )
    else:
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"{database.name} could not be copied: {done.stderr.strip()[-300:]}")


def copy_database(database: Path, copy: Path) -> None:
    """All of it at one moment. Raises sqlite3.Error."""
    address = f"file:{quote(str(database))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as live, closing(sqlite3.connect(copy)) as out:
        live.backup(out)
        out.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the database itself has
        found = out.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):
            raise sqlite3.DatabaseError(f"it is damaged: {found[0]}")


if __name__ == "__main__":
    os.umask(0o077)
    try:
        copy_database(Path(sys.argv[1]), Path(sys.argv[2]))
    except (sqlite3.Error, OSError) as error:
        sys.exit(str(error))
