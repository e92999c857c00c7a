"""What the keeper decides: which containers and volumes nobody owns any more. Pure.

Design note. Nothing is removed at first sight: the hub may be just about to say that it owns it. A container goes when
it is older than any start, and a while after the hub was first seen not to own it. A volume goes when its user has been
away for the whole grace period, counted from the first look that missed them; the list of those is a file, because
Docker cannot change a volume's labels. A user who comes back in time finds their files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

DAY = 24 * 3600.0
CONFIRM = 50.0
"""Seconds between the first look that misses a container's owner and the one that removes it."""


@dataclass(frozen=True)
class Owned:
    """A container or volume and whose it is. `age` in seconds."""

    name: str
    user: str
    server: str = ""
    age: float = 0.0


def ownerless(
    found: Iterable[Owned], servers: Collection[tuple[str, str]], since: Mapping[str, float], now: float, young: float
) -> dict[str, float]:
    """Containers that belong to no (user, server) of the hub and are not `young` -> when that was first seen."""
    return {
        each.name: min(since.get(each.name, now), now)
        for each in found
        if (each.user, each.server) not in servers and each.age > young
    }


def missed(found: Iterable[Owned], users: Collection[str], since: Mapping[str, float], now: float) -> dict[str, float]:
    """Volumes whose user is not there -> when that was first seen. Whoever is back is forgotten."""
    return {each.name: min(since.get(each.name, now), now) for each in found if each.user not in users}


def expired(since: Mapping[str, float], now: float, grace_days: float) -> list[str]:
    """Volumes to remove; none when the grace is 0: for ever."""
    if grace_days <= 0:
        return []
    return sorted(name for name, first in since.items() if now - first >= grace_days * DAY)


def read_missed(file: Path) -> dict[str, float]:
    """What `write_missed` kept. A file that cannot be read begins the grace anew, which removes nothing early."""
    try:
        data = json.loads(file.read_text())
        return {str(name): float(first) for name, first in data.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def write_missed(file: Path, since: Mapping[str, float]) -> None:
    """Whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(dict(since), ensure_ascii=True))
    part.replace(file)
