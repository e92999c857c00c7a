"""Room on disks, said before anything is written, and when it ran out all the same."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cellar_offline.engine import EngineError
from cellar_offline.progress import size
from cellar_offline.release import Unusable

SPARE = 256 << 20  # bytes that stay free beside what is needed
CHOSEN = "--root, Docker's own by data-root in /etc/docker/daemon.json"
Want = tuple[str, Path, int]
"""What for, a folder on the file system, bytes."""


def require(wants: Sequence[Want], chosen: str = CHOSEN) -> None:
    """Unusable, with what is needed and what is free, for each file system that has too little; `chosen`: by what."""
    disks: dict[int, list[Want]] = {}
    for want in wants:
        if want[1].exists():  # Docker's folder may be on another machine's disk, or hidden
            disks.setdefault(want[1].stat().st_dev, []).append(want)
    if problems := [words for words in map(short, disks.values()) if words]:
        raise Unusable(
            f"{' '.join(problems)} Nothing was changed. Make room (`remove ID` drops an old release, `docker image "
            f"prune` what nobody uses), or choose another disk by {chosen}."
        )


def short(wants: Sequence[Want]) -> str:
    """What one file system lacks; "" when there is room."""
    needed = sum(count for _, _, count in wants)
    free = shutil.disk_usage(wants[0][1]).free
    if not needed or needed + SPARE <= free:
        return ""
    words = "; ".join(f"{size(count)} in {place} for {what}" for what, place, count in wants if count)
    return (
        f"The disk is too small: {words}; needed with {size(SPARE)} to spare {size(needed + SPARE)}, free {size(free)}."
    )


@contextmanager
def named(what: str) -> Iterator[None]:
    """Unusable when the disk is full half-way, with what was written then."""
    try:
        yield
    except (OSError, EngineError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and not (isinstance(error, EngineError) and "no space left" in str(error)):
            raise
        raise Unusable(
            f"The disk is full, at {what}: {error}. What is there stays, and nothing was switched. Make room, and load "
            "again: it goes on from here."
        ) from None
