"""What was counted: attempts, and the controls among them. Told by several threads, read at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Optional

from cellar_offline.proving import controls
from cellar_offline.proving.controls import Round
from cellar_offline.proving.packets import Packet

DOCKERS = "127.0.0.11"
"""Docker's own resolver in a container."""
Who = Callable[[int, Optional[Packet]], str]
"""The process that a leg's packet came from, or that asks a resolver (None) just now; "" when it cannot be seen."""


@dataclass
class Attempt:
    """Something that wanted out; the same again adds to its count. Times are seconds since the epoch."""

    leg: int | None
    kind: str  # "connection", "lookup", or "name": one without a dot that Docker's own resolver was asked for
    target: str  # "203.0.113.9 port 443 tcp", "example.com A"
    name: str  # what was looked up; ""
    first: float
    last: float
    count: int = 1
    process: str = ""


class Ledger:
    """`who` is asked at the time of the attempt, while the process can still be seen."""

    def __init__(self, who: Who) -> None:
        self._who = who
        self._lock = threading.Lock()
        self._attempts: dict[tuple[int | None, str, str], Attempt] = {}
        self._controls: set[tuple[int, int, str]] = set()  # round, leg, kind
        self._rounds: list[Round] = []

    def begin(self) -> Round:
        """A new round of controls."""
        with self._lock:
            self._rounds.append(Round(len(self._rounds)))
            return self._rounds[-1]

    # --- told by the sink and by the resolver

    def packet(self, leg: int, packet: Packet) -> None:
        """One that the rule has dropped."""
        kind = f"ipv{packet.version}"
        if packet.destination in (controls.IPV4, controls.IPV6) and packet.protocol == "tcp":
            for each in self._rounds:
                if packet.port == each.port:
                    with self._lock:
                        self._controls.add((each.number, leg, kind))
                    return
        port = f" port {packet.port}" if packet.port else ""
        self._add(leg, "connection", f"{packet.destination}{port} {packet.protocol}", "", packet)

    def lookup(self, leg: int | None, name: str, kind: str, asked: str) -> None:
        """A question to the resolver, which it has not answered yet; or to Docker's, which may answer it itself."""
        for each in self._rounds:
            if leg is not None and name == each.name(leg):
                with self._lock:
                    self._controls.add((each.number, leg, "lookup"))
                return
        near = asked == DOCKERS and "." not in name and bool(kind)
        self._add(leg, "name" if near else "lookup", f"{name} {kind}".strip(), name, None)

    def _add(self, leg: int | None, kind: str, target: str, name: str, packet: Packet | None) -> None:
        now = time.time()
        key = (leg, kind, target)
        with self._lock:
            known = self._attempts.get(key)
            if known is not None:
                known.count += 1
                known.last = now
            if known is not None and known.process:
                return
        process = self._who(leg, packet) if leg is not None and kind != "name" else ""
        with self._lock:
            if known is None:
                self._attempts[key] = Attempt(leg, kind, target, name, now, now, 1, process)
            else:
                known.process = process

    # --- read

    def attempts(self) -> list[Attempt]:
        with self._lock:
            return sorted(self._attempts.values(), key=lambda each: each.first)

    def missing(self, which: Round, legs: Iterable[int]) -> list[tuple[int, str]]:
        """Controls of a round that were not counted."""
        with self._lock:
            wanted = [(leg, kind) for leg in legs for kind in controls.KINDS]
            return [each for each in wanted if (which.number, *each) not in self._controls]
