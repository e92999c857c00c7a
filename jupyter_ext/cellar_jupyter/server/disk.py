"""Files nobody else may read: private directories and files, atomic replacement, locks that a dead process lets go.

Some file systems have no locks (Lustre mounted without `flock`, NFS whose lock service is not reached); POSIX locks and
lock files would not help: the first fail there, too, and no lock file tells whether its owner lives, on another host or
in a container that is gone. Renames replace files whole there as well, so writing goes on without a lock: what two
servers save in the same milliseconds may be lost. A file counts as nobody's when nothing was written to it for a while
before this server started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

QUIET = 600.0
"""Seconds nothing was written to a file that nobody holds, where the file system has no locks."""

if sys.platform == "win32":
    import msvcrt

    def try_lock(fd: int) -> bool:
        """Take the file's lock if it is free. The system lets it go when the process ends, however it ends."""
        os.lseek(fd, 1 << 40, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def wait_lock(fd: int) -> None:
        """Take the file's lock; wait for it."""
        os.lseek(fd, 1 << 40, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    _NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
    _STARTED = time.time()

    def try_lock(fd: int) -> bool:
        """Take the file's lock if it is free. The system lets it go when the process ends, however it ends."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS or os.fstat(fd).st_mtime > _STARTED - QUIET:
                return False
            os.utime(fd)  # it is held now
        return True

    def wait_lock(fd: int) -> None:
        """Take the file's lock; wait for it. Nothing where the file system has none."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise


def private_directory(path: Path) -> Path:
    """Make `path` with mode 0700, whatever the umask says, also when it was there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner may read and write."""
    fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0), 0o600)
    if hasattr(os, "fchmod"):
        os.fchmod(fd, 0o600)
    return fd


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_private(path: Path, pieces: Iterator[bytes] | list[bytes], *, durable: bool = True) -> None:
    """Write a file so that it is there whole or not at all: temporary file, fsync, rename, fsync of the directory.
    Not `durable`: a machine that breaks down may lose it; for what is written anew at each start."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    fd = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        try:
            for piece in pieces:
                write_all(fd, piece)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:  # goes on: only the half-written file must not stay, whatever ended the writing
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in `path` durable where the system can (not on Windows)."""
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: what another server on the same directory does waits."""
    fd = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        wait_lock(fd)
        yield
    finally:
        os.close(fd)
