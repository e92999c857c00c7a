"""A PostgreSQL cluster of our own: a temporary directory, a loopback port, and nothing left behind."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from tests.fakes.fixtures import unused_port

MISSING = "PostgreSQL is missing: apt-get install postgresql"
ACCOUNT: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
"""PostgreSQL refuses to run as root; Debian's package has made an account for it."""


def find_binaries() -> Path | None:
    """Where initdb is: on the path, or where Debian puts it, the newest version first."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


@dataclass
class Cluster:
    """A running server. `create_database` gives the address of a fresh database in it; `database` one for a while,
    which costs a tenth, because the next one gets it again, emptied."""

    binaries: Path
    data: Path
    port: int
    settings: tuple[str, ...] = ()
    _names: Iterator[int] = field(default_factory=itertools.count)
    _free: list[str] = field(default_factory=list)

    def start(self) -> None:
        options = [f"-c {s}" for s in (f"port={self.port}", "listen_addresses=127.0.0.1", *self.settings)]
        sockets = f"-c unix_socket_directories={self.data}"
        self._pg_ctl("start", "-w", "-l", str(self.data / "log"), "-o", " ".join([*options, sockets]))

    def stop(self) -> None:
        """As after a power cut: clients are cut off, nothing is tidied."""
        self._pg_ctl("stop", "-w", "-m", "immediate")

    def freeze(self) -> None:
        """Every server process stands still: connections stay open and nothing answers."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._processes():
            os.kill(pid, signal.SIGCONT)

    def create_database(self) -> str:
        name = f"cellar_{next(self._names)}"
        with psycopg.connect(f"{self._address()}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY wal_log".encode())
        return f"{self._address().replace('postgresql', 'postgresql+psycopg')}/{name}"

    @contextmanager
    def database(self) -> Iterator[str]:
        url = self._free.pop() if self._free else self.create_database()
        yield url
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            connection.execute(others + " AND datname = current_database() AND backend_type = 'client backend'")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        self._free.append(url)

    def _address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}"

    def _processes(self) -> list[int]:
        leader = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        return [leader, *map(int, children)]

    def _pg_ctl(self, *arguments: str) -> None:
        command = [self.binaries / "pg_ctl", "-s", "-D", self.data, *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **ACCOUNT)


@contextmanager
def restored(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A database is dropped under those who use it; behind the block a copy of it is there, with what the block has
    changed."""
    name = make_url(url).database
    address = url.replace("+psycopg", "")
    with psycopg.connect(address.replace(f"/{name}", "/postgres"), autocommit=True) as admin:
        for statement in (
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'",
            f"CREATE DATABASE {name}_copy TEMPLATE {name}",
            f"DROP DATABASE {name}",
        ):
            admin.execute(statement.encode())
        with psycopg.connect(f"{address}_copy") as copy:
            yield copy
        admin.execute(f"ALTER DATABASE {name}_copy RENAME TO {name}".encode())


@contextmanager
def running(*settings: str) -> Iterator[Cluster]:
    """A new cluster with these settings; stopped and deleted at the end."""
    binaries = find_binaries()
    assert binaries is not None, MISSING
    with tempfile.TemporaryDirectory(prefix="cellar-postgres-") as folder:
        if ACCOUNT:
            shutil.chown(folder, "postgres", "postgres")
        cluster = Cluster(binaries, Path(folder) / "data", unused_port(), settings)
        initdb = [binaries / "initdb", "-D", cluster.data, "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        subprocess.run([*initdb, "--locale=C", "--no-sync"], check=True, cwd="/", stdout=subprocess.DEVNULL, **ACCOUNT)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
