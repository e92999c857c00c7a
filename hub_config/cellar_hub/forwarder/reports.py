"""What the audit is told of connections. Pure.

The first connection of a user to a destination is reported at once; those of the following minute are counted, and
reported together at its end; and so on, until a minute had none. What the gateway has not taken yet is kept. When too
much is kept, no new connection is made: none goes unseen because the gateway is away.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

EVERY = 60.0  # seconds that are reported together
MOST_UNSENT = 1000
AT_ONCE = 100  # events in one post

Outcome = Literal["opened", "refused", "failed"]
"""Connected; not allowed (too many, or a name that led into the site); or not there."""


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`count` connections of a user to a destination (NAME:PORT) since `at`, in seconds of the epoch. `id` is the same
    when it is sent again."""

    id: Annotated[str, msgspec.Meta(max_length=40)]
    at: float
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    destination: Annotated[str, msgspec.Meta(min_length=1, max_length=260)]
    outcome: Outcome
    count: Annotated[int, msgspec.Meta(ge=1)]


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a post: at most `AT_ONCE`."""

    reports: tuple[Report, ...]


Key = tuple[str, str, Outcome]


class Reports:
    """`mark` makes the ids of this process's reports its own."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._number = 0
        self._unsent: list[Report] = []
        self._open: dict[Key, tuple[float, int]] = {}  # when its minute began, and what was counted since

    @property
    def full(self) -> bool:
        return len(self._unsent) >= MOST_UNSENT

    def note(self, user: str, destination: str, outcome: Outcome, now: float) -> bool:
        """Whether it is news, and not one more of the same minute."""
        key = user, destination, outcome
        if key in self._open:
            since, count = self._open[key]
            self._open[key] = since, count + 1
            return False
        if self.full:
            return False
        self._open[key] = now, 0
        self._add(key, now, 1)
        return True

    def due(self, now: float, end: bool = False) -> list[Report]:
        """What may be sent now, oldest first; at the `end` also what is still being counted."""
        for key, (since, count) in list(self._open.items()):
            if not (end or now - since >= EVERY or now < since):
                continue
            if count:
                self._add(key, since, count)
                self._open[key] = now, 0
            else:
                del self._open[key]
        return self._unsent[:AT_ONCE]

    def sent(self, reports: list[Report]) -> None:
        """The gateway has them."""
        ids = {each.id for each in reports}
        self._unsent = [each for each in self._unsent if each.id not in ids]

    def _add(self, key: Key, at: float, count: int) -> None:
        user, destination, outcome = key
        self._number += 1
        report = Report(
            id=f"{self._mark}-{self._number}",
            at=at,
            user=user,
            destination=destination,
            outcome=outcome,
            count=count,
        )
        self._unsent.append(report)
