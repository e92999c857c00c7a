"""The seal: sink, resolver and engine together, and who is who behind its legs."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellar_offline.proving import controls, namespaces, processes
from cellar_offline.proving.controls import Round
from cellar_offline.proving.engine import Engine
from cellar_offline.proving.ledger import Ledger
from cellar_offline.proving.namespaces import Unsealed
from cellar_offline.proving.packets import Packet
from cellar_offline.proving.resolver import Resolver
from cellar_offline.proving.sink import Sink

HOST = "Docker"
"""Name of the engine's own namespace: what the engine or its programs would ask for."""
PATIENCE = 15.0  # seconds for the last packets to be read, for a container to be introduced
SERVICE, KIND, PROJECT = "org.cellar.service", "org.cellar.kind", "com.docker.compose.service"


@dataclass
class Resident:
    """Whoever has a leg. `state` is what Docker says of the container; empty for Docker itself, and for one that had
    gone before it could be asked."""

    leg: int
    pid: int
    container: str
    namespace: int
    address: str
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.state.get("Name", "")).lstrip("/") or (self.container[:12] if self.container else HOST)

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = (self.state.get("Config") or {}).get("Labels") or {}
        return found

    @property
    def kind(self) -> str:
        """Its service, "workspace", "probe"; empty when nothing says."""
        return self.labels.get(KIND) or self.labels.get(SERVICE) or self.labels.get(PROJECT, "")

    def aliases(self) -> set[str]:
        """What others of the stack may call it."""
        networks: dict[str, dict[str, Any]] = (self.state.get("NetworkSettings") or {}).get("Networks") or {}
        found = {alias for each in networks.values() for alias in each.get("Aliases") or ()}
        return {each.lower() for each in found | {self.name, self.labels.get(PROJECT, "")} if each}


class Seal:
    """`with Seal(folder) as seal:` an empty engine in it, `seal.engine`. Unsealed when this machine cannot."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(self._who)
        self.sink = Sink(self.ledger.packet)
        self.resolver = Resolver(self.ledger.lookup)
        self.engine = Engine(folder, self._created)
        self.residents: dict[int, Resident] = {}
        self._lock = threading.Lock()
        self._first = self.ledger.begin()
        self._introducing: list[threading.Thread] = []

    def __enter__(self) -> Seal:
        if os.geteuid() != 0:
            raise Unsealed("The proof makes network namespaces and starts an engine: run it as root.")
        self.sink.open()
        try:
            self.resolver.open(self.sink.namespace)
            self.inside = namespaces.make()
            namespaces.within(self.inside, lambda: namespaces.ip(["link set lo up"]))
            self._lead(self.inside, os.getpid(), "")
            self.engine.start(self.inside)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()
        with contextlib.suppress(RuntimeError):
            self.resolver.close()
        namespaces.close([each.namespace for each in self.residents.values()])
        self.sink.close()

    # --- whoever begins

    def _created(self, pid: int, container: str) -> None:
        """Before its first instruction: it has a leg, and its connections were tried."""
        namespace = namespaces.of_process(pid)
        inode = os.fstat(namespace).st_ino
        if any(os.fstat(each.namespace).st_ino == inode for each in list(self.residents.values())):
            os.close(namespace)  # it shares another's network
            return
        resident = self._lead(namespace, pid, container)
        thread = threading.Thread(target=self._introduce, args=(resident,), daemon=True)
        self._introducing.append(thread)
        thread.start()

    def _lead(self, namespace: int, pid: int, container: str) -> Resident:
        leg = self.sink.lead(namespace)
        resident = Resident(leg.number, pid, container, namespace, f"{leg.ipv4}, {leg.ipv6}")
        with self._lock:
            self.residents[leg.number] = resident
        self.resolver.open_within(namespace, leg.number)
        namespaces.within(namespace, lambda: controls.connect(self._first))
        if not container:
            self._look_up(resident, self._first)
        return resident

    def _introduce(self, resident: Resident) -> None:
        """Ask Docker who it is, and try its lookup, once it runs."""
        resident.state = self.engine.inspect(resident.container)  # answers when the start has ended
        self._look_up(resident, self._first)

    def _look_up(self, resident: Resident, which: Round) -> None:
        with contextlib.suppress(OSError):
            server = controls.resolver_of(resident.pid)
            name = which.name(resident.leg)
            namespaces.within(resident.namespace, lambda: controls.look_up(server, name))

    def _who(self, leg: int, packet: Packet | None) -> str:
        resident = self.residents.get(leg)
        if resident is None:
            return ""
        pid = resident.pid if resident.container else self.engine.pid
        return processes.who_asks(pid) if packet is None else processes.who_sent(pid, packet)

    # --- the proof's questions

    def running(self) -> list[Resident]:
        """Docker itself, and containers that run just now; what is known of each is made new."""
        ids = set(self.engine.docker("ps", "-q", "--no-trunc").split())
        found = []
        for each in list(self.residents.values()):
            if each.container in ids and os.path.exists(f"/proc/{each.pid}"):
                each.state = self.engine.inspect(each.container) or each.state
            elif each.container:
                continue
            found.append(each)
        return found

    def control(self) -> tuple[Round, list[Resident]]:
        """A new round for everybody who runs; with those it was made for."""
        which = self.ledger.begin()
        asked = self.running()
        for each in asked:
            namespaces.within(each.namespace, lambda: controls.connect(which))
            self._look_up(each, which)
        return which, [each for each in asked if not each.container or os.path.exists(f"/proc/{each.pid}")]

    def first_control(self) -> Round:
        """That of each container's beginning, once all were introduced."""
        for thread in list(self._introducing):
            thread.join(PATIENCE)
        return self._first

    def settle(self) -> tuple[dict[int, int], dict[int, int], int]:
        """What the rule counted and what was read, by IP version, once the two agree or PATIENCE is over; and how many
        packets were lost on the way."""
        until = time.monotonic() + PATIENCE
        lost = self.sink.lost()
        while True:
            counted = self.sink.counted()
            read = {version: self.sink.count[version] for version in (4, 6)}
            if counted == read or time.monotonic() > until:
                return counted, read, lost + self.sink.lost()
            time.sleep(0.1)

    def own_names(self) -> set[str]:
        """Every name that the stack has for itself."""
        return {alias for each in self.residents.values() for alias in each.aliases()}


def of_kind(residents: Sequence[Resident], kind: str) -> list[Resident]:
    return [each for each in residents if each.kind == kind]
