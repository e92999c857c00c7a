"""What the audit is told of log-ins, and of calls of the hub's API. Pure.

The first attempt of its kind (by whom, from where, how it ended) is told at once; those of the following minute are
counted, and told together at its end; and so on, until a minute had none. What the gateway has not taken yet is kept,
and within bounds: when there is too much of it, attempts are still counted, only less and less apart.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from typing import Literal, NamedTuple

import msgspec

EVERY = 60.0  # seconds that are told together
MOST_UNSENT = 1000
MOST_KINDS = 2000  # that are counted apart
NAMES = 20  # that are nobody's, fail from one address, and are counted apart

UNKNOWN = "unknown:"  # how a name begins that is nobody's
SUCCEEDED: Literal["succeeded"] = "succeeded"
Outcome = Literal["succeeded", "failed", "refused", "signup", "password"]
"""Let in; a wrong name or password; or not let in whatever the password was. And who asked for an account, or for
another password of their own."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """`count` attempts, the first of them `at`, in seconds of the epoch. `id` is the same when it is sent again.
    Or what `actor` did, or tried to do: `deed`, with what else is to be `said` of it."""

    id: str
    at: float
    outcome: Outcome = "succeeded"
    subject: str
    client: str
    reason: str = ""
    count: int = 1
    deed: str = ""
    actor: str = ""
    said: tuple[tuple[str, str | int], ...] = ()

    @property
    def action(self) -> str:
        return self.deed or f"user.{'' if self.outcome in ('signup', 'password') else 'login.'}{self.outcome}"

    @property
    def by(self) -> str:
        """Who has shown that they are somebody, or did it to an account; else the hub says so."""
        has_shown = self.outcome == SUCCEEDED or (self.outcome == "password" and not self.reason)
        return self.actor or (self.subject if has_shown else "") or "hub"


class Kept(msgspec.Struct, frozen=True):
    """What the gateway does not have, for the next process."""

    told: tuple[Told, ...] = ()


class Kind(NamedTuple):
    """What is counted together."""

    outcome: Outcome
    subject: str
    client: str
    reason: str = ""
    deed: str = ""
    actor: str = ""
    said: tuple[tuple[str, str | int], ...] = ()

    @property
    def source(self) -> str:
        """Who may fill the audit with failures: somebody who is known, else an address."""
        return self.actor or self.client


class Minute(msgspec.Struct, frozen=True):
    """What is counted and not told yet: how many, and when the first of them was."""

    since: float
    count: int = 0
    first: float = 0.0

    def and_one(self, now: float) -> Minute:
        return Minute(self.since, self.count + 1, self.first if self.count else now)


class Attempts:
    """`mark` makes the ids of this process's events its own."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._number = 0
        self._unsent: list[Told] = []
        self._open: dict[Kind, Minute] = {}
        self._failing: Counter[str] = Counter()  # of a source: kinds that are open

    def note(self, outcome: Outcome, subject: str, client: str, reason: str, now: float) -> bool:
        """Whether it is news, and not one more of the same minute."""
        return self.count(Kind(outcome, subject, client, reason), now)

    def count(self, kind: Kind, now: float) -> bool:
        """The same of anything."""
        kind = self._kind(kind)
        is_new = kind not in self._open
        minute = self._open.get(kind, Minute(now))
        if is_new and kind.outcome != SUCCEEDED:
            self._failing[kind.source] += 1
        if is_new and len(self._unsent) < MOST_UNSENT:
            self._add(kind, now, 1)
            self._open[kind] = minute
        else:
            self._open[kind] = minute.and_one(now)
        return is_new

    def did(self, deed: str, actor: str, subject: str, client: str, now: float, reason: str = "") -> None:
        """Told at once and one by one: administrators do it, and not many a minute."""
        self._number += 1
        name = f"{self._mark}-{self._number}"
        told = Told(id=name, at=now, deed=deed, actor=actor, subject=subject, client=client, reason=reason)
        self._unsent.append(told)

    def called(self, kind: Kind, now: float, one_by_one: bool) -> None:
        """A call of the hub's API: told at once, or counted with those of its kind; when there is too much to tell,
        all are."""
        if one_by_one and kind.outcome == SUCCEEDED and len(self._unsent) < MOST_UNSENT:
            self._add(kind, now, 1)
        else:
            self.count(kind, now)

    def due(self, now: float, end: bool = False) -> list[Told]:
        """What may be sent now, oldest first; at the `end` also what is still being counted."""
        for kind, minute in list(self._open.items()):
            if not (end or now - minute.since >= EVERY or now < minute.since):
                continue
            if minute.count and len(self._unsent) < MOST_UNSENT:
                self._add(kind, minute.first, minute.count)
                self._open[kind] = Minute(now)
            elif not minute.count:
                self._close(kind)
        return list(self._unsent)

    def sent(self, told: Told) -> None:
        """The gateway has it."""
        self._unsent = [each for each in self._unsent if each.id != told.id]

    def keep(self) -> Kept:
        """All that the gateway does not have, also what is still being counted."""
        counted = [
            _told(f"{self._mark}-{self._number}+{number}", kind, minute.first, minute.count)
            for number, (kind, minute) in enumerate(self._open.items(), 1)
            if minute.count
        ]
        return Kept((*self._unsent, *counted))

    def restore(self, kept: Kept) -> None:
        """What an earlier process left."""
        self._unsent = [*kept.told, *self._unsent]

    def _kind(self, kind: Kind) -> Kind:
        """Under which it is counted: itself; a name that is nobody's with all others from that address; or without the
        address. Whose account it is, is told in every flood."""
        is_account = bool(kind.subject) and not kind.subject.startswith(UNKNOWN) and not kind.deed
        if kind not in self._open and not is_account and self._failing[kind.source] >= NAMES:
            kind = kind._replace(subject="", said=())
        if kind not in self._open and len(self._open) >= MOST_KINDS:  # of accounts there are so many and no more
            kind = kind._replace(subject=kind.subject if is_account else "", client="", said=())
        return kind

    def _close(self, kind: Kind) -> None:
        del self._open[kind]
        self._failing[kind.source] -= kind.outcome != SUCCEEDED
        if self._failing[kind.source] <= 0:
            del self._failing[kind.source]

    def _add(self, kind: Kind, at: float, count: int) -> None:
        self._number += 1
        self._unsent.append(_told(f"{self._mark}-{self._number}", kind, at, count))


def _told(name: str, kind: Kind, at: float, count: int) -> Told:
    return Told(id=name, at=at, count=count, **kind._asdict())


def hidden(name: str, secret: str) -> str:
    """What is kept of a name that is nobody's: the same for the same name, and no more. People type their password into
    the field above it, and whoever reads the audit would find it there, beside the name that they typed a moment later.
    A plain hash would be guessed as quickly as a password is; this one's key is not where the audit is. No name of an
    account has a colon (`accounts.parse_name`)."""
    key = hmac.digest(secret.encode(), b"cellar log-in name", "sha256")
    return UNKNOWN + hmac.digest(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:16]
