"""How long somebody must wait before their next password is compared. Pure; what must survive the hub is in `changed`.

Wrong passwords make the next try wait, longer each time, and never for good. They are counted of an address, of a name,
and of both together:

- Of an address, whatever the names: it tries many accounts. Many people may be behind it, so more is free there.
- Of a name and an address: it tries this account.
- Of a name, from wherever: a few seconds at most, because whoever knows a name could keep its owner out. A refusal is a
  promise: when its seconds have passed, this address has one try at this name, whatever others did meanwhile.

An address from which the right password came before waits for what was done there at this name, and for nothing else:
no flood from elsewhere keeps somebody from where they work. What is told to it is what a stranger would be told, so
that nobody learns by it who works there. A browser in which that was (`browsers`) is such a place of its own, whatever
others do at its address.

A name that is nobody's is counted as any other. Names are keyed hashes; of an IPv6 address it is the network (/64) that
counts, which is what one machine has.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

HOUR = 3600.0
DAY = 24 * HOUR
FORGET = HOUR  # seconds without a failure after which a counter begins anew
KNOWN_FOR = 90 * DAY  # seconds that an address is known for a name after a log-in
GRACE = 60.0  # seconds that a promise holds
MOST = 50_000  # counters
BROWSER = "browser:"  # how a place begins that is no address
CREDIT = 5  # failures of an address that somebody new who gets in there makes good


class Rule(msgspec.Struct, frozen=True):
    """`free` failures without a delay; each further one doubles it, up to `longest` seconds."""

    free: int
    longest: float

    def delay(self, failures: int) -> float:
        return 0.0 if failures < self.free else min(self.longest, 2.0 ** min(failures - self.free, 30))


ADDRESS = Rule(50, 30.0)
PAIR = Rule(5, 300.0)
NAME = Rule(10, 30.0)


class Row(msgspec.Struct):
    """A counter, as it is kept. Times in seconds of the epoch; 0.0: never."""

    name: str
    failures: int = 0
    last: float = 0.0
    promised: float = 0.0
    succeeded: float = 0.0


class Waits(msgspec.Struct, frozen=True):
    """`seconds` that are told; the password is compared all the same when `may`."""

    seconds: int
    may: bool


class Throttle:
    """`rows`: what an earlier process kept. Names given to it are hashes already."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows = {row.name: row for row in rows}
        self._trying: Counter[str] = Counter()  # passwords that are being compared
        self._changed: dict[str, None] = {}
        self._gone: dict[str, None] = {}

    def waits(self, name: str, address: str, now: float) -> Waits:
        """Asked before a password is compared."""
        pair = self._read(_pair(name, address))
        of_pair = self._left(_pair(name, address), PAIR, now)
        of_name = self._left(_name(name), NAME, now)
        if pair.promised and pair.promised <= now < pair.promised + GRACE:
            of_name = 0.0
        elif of_name > 0.0 and not pair.promised > now:
            self._keep(_pair(name, address)).promised = now + max(of_name, of_pair)
            self._bound(now)
        elif of_name > 0.0:
            of_name = pair.promised - now  # as it was told
        told = max(self._left(_address(address), ADDRESS, now), of_pair, of_name)
        is_known = self.knows(name, address, now)
        return Waits(math.ceil(told), told <= 0.0 or (is_known and of_pair <= 0.0))

    def waits_at(self, address: str, now: float) -> int:
        """Seconds, where nobody has a name."""
        return math.ceil(self._left(_address(address), ADDRESS, now))

    def failed_at(self, address: str, now: float) -> None:
        self._count(_address(address), now)
        self._bound(now)

    def knows(self, name: str, address: str, now: float) -> bool:
        """Whether the right password of this name came from there."""
        if address.startswith(BROWSER):  # its cookie says so
            return True
        succeeded = self._read(_pair(name, address)).succeeded
        return bool(succeeded) and now - succeeded < KNOWN_FOR

    @contextmanager
    def trying(self, name: str, address: str) -> Iterator[None]:
        """While a password is compared: several at once are one after another."""
        counters = (_pair(name, address), _name(name))
        self._trying.update(counters)
        try:
            yield
        finally:
            self._trying.subtract(counters)
            for each in counters:
                if self._trying[each] <= 0:
                    del self._trying[each]

    def failed(self, name: str, address: str, now: float) -> None:
        self._keep(_pair(name, address)).promised = 0.0
        counters = [_pair(name, address), _address(address)]
        if not self.knows(name, address, now):
            counters.append(_name(name))
        for each in counters:
            self._count(each, now)
        self._bound(now)

    def succeeded(self, name: str, address: str, now: float) -> None:
        """The counters of the address and of the name go on: who guesses may have an account of their own. But each
        name is good once for an address: a class that begins behind one router makes mistakes, and gets in."""
        if not self.knows(name, address, now):
            place_of = self._keep(_address(address))
            place_of.failures = max(0, place_of.failures - CREDIT)
        row = self._keep(_pair(name, address))
        row.failures, row.promised, row.succeeded = 0, 0.0, now

    def excuse(self, name: str, browser: str) -> None:
        """What was mistyped in a browser, after the right password. A row for it would be made by whoever logs in."""
        if _pair(name, browser) in self._rows:
            row = self._keep(_pair(name, browser))
            row.failures, row.promised = 0, 0.0

    def forget(self, name: str) -> None:
        """All failures at a name, by an administrator's word."""
        for each in [key for key in self._rows if key == _name(name) or key.startswith(_pair(name, ""))]:
            row = self._keep(each)
            row.failures, row.promised = 0, 0.0

    def signs_up(self, address: str, most: int, now: float) -> bool:
        """Whether it may: `most` times a day from one address. It is counted."""
        row = self._keep(_signup(address))
        if now - row.last >= DAY:
            row.failures = 0
        if row.failures >= most:
            return False
        row.last = now if not row.failures else row.last  # a day from the first
        row.failures += 1
        self._bound(now)
        return True

    def changed(self) -> tuple[list[Row], list[str]]:
        """Rows to be kept, and names of rows that are gone, since it was asked before."""
        found = [self._rows[name] for name in self._changed if name in self._rows], list(self._gone)
        self._changed, self._gone = {}, {}
        return found

    def _left(self, counter: str, rule: Rule, now: float) -> float:
        """Seconds until this counter lets the next one be compared."""
        row = self._read(counter)
        trying = self._trying[counter]
        failures = trying + (row.failures if now - row.last < FORGET else 0)
        last = now if trying else min(row.last, now)  # a clock that was set back does not keep anybody out
        return max(0.0, last + rule.delay(failures) - now)

    def _count(self, counter: str, now: float) -> None:
        row = self._keep(counter)
        row.failures = 1 + (row.failures if now - row.last < FORGET else 0)
        row.last = now

    def _read(self, counter: str) -> Row:
        return self._rows.get(counter) or Row(counter)

    def _keep(self, counter: str) -> Row:
        row = self._rows.setdefault(counter, Row(counter))
        self._changed[counter] = None
        self._gone.pop(counter, None)
        return row

    def _bound(self, now: float) -> None:
        """What says nothing any more goes; and of too many the oldest, but those last that know somebody."""
        if len(self._rows) <= MOST:
            return
        order = sorted(self._rows.values(), key=lambda row: (_is_alive(row, now), row.succeeded, row.last))
        for row in order[: MOST // 10]:
            del self._rows[row.name]
            self._changed.pop(row.name, None)
            self._gone[row.name] = None


def _is_alive(row: Row, now: float) -> bool:
    is_signup = row.name.startswith(_signup(""))
    return now - row.last < (DAY if is_signup else FORGET) or now - row.succeeded < KNOWN_FOR


def _pair(name: str, address: str) -> str:
    return f"p:{name}:{place(address) if address else ''}"


def _name(name: str) -> str:
    return f"n:{name}"


def _address(address: str) -> str:
    return f"a:{place(address)}"


def _signup(address: str) -> str:
    return f"s:{place(address) if address else ''}"


def place(address: str) -> str:
    """What counts as one place."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
