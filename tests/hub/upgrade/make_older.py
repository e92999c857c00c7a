"""Makes the databases in `older`, as the release before console and sign-up (commit b94a59b) wrote them. That release
runs it, in a clone of it with its environment, and once more with JupyterHub 5.5 for the hub's database alone:

    PYTHONPATH=. .venv/bin/python .../make_older.py .../older
    PYTHONPATH=$PWD/.venv/jupyterhub-5.5:$PWD .venv/bin/python .../make_older.py .../older

chief is an administrator, ann works here, bob was blocked, dora is a user of the hub and has no account.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jupyterhub
import msgspec
from cellar_hub.audit import AuditLog, Heads, Keys, retain
from cellar_hub.policy import parse_policy
from cellar_hub.store import Store
from cellar_hub.store.tables import metadata
from cellar_hub.usage import ledger
from cellar_hub.usage.quota import Quota, Usage
from jupyterhub import orm
from nativeauthenticator.orm import UserInfo
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import Session

from tests.hub import postgres
from tests.hub.audit.books import START, opened, settled
from tests.hub.commands.site import PASSWORD, Site

TOKENS = {"ann": "a-token-of-ann-0123456789abcdef", "bob": "a-token-of-bob-0123456789abcdef"}
SERIES = ".".join(jupyterhub.__version__.split(".")[:2])
LONG_AGO = START - 90 * 86_400
GROUPS: tuple[tuple[str, ...], ...] = ((), ("research",), ("Data & Co",), ("research", "Data & Co", "others"))
assert UserInfo.__table__.metadata is orm.Base.metadata


def main(target: Path) -> None:
    (target / "policy.json").write_text(json.dumps(counts(target / "policy.toml")) + "\n")
    with tempfile.TemporaryDirectory() as place, postgres.running() as cluster:
        folder = Path(place)
        site = Site(folder)
        live(site)
        hub = f"sqlite:///{folder}/hub.sqlite"
        give_tokens(hub)
        dump_sqlite(folder / "hub.sqlite", target / f"hub-{SERIES}.sql")
        if SERIES == "5.5":
            there = cluster.create_database()
            orm.new_session_factory(there)().close()
            copy(hub, there, orm.Base.metadata)
            dump_postgresql(cluster, there, target / f"hub-{SERIES}-postgresql.sql")
            return
        books = folder / "books"
        asyncio.run(work(f"sqlite:///{books}/cellar.db", Keys.open(books / "audit-keys"), folder / "heads"))
        dump_sqlite(books / "cellar.db", target / "books-sqlite.sql")
        there = cluster.create_database()
        asyncio.run(Store.open(there).close())
        copy(f"sqlite:///{books}/cellar.db", there, metadata)
        dump_postgresql(cluster, there, target / "books-postgresql.sql")
        for path in (books / "audit-keys", folder / "heads", folder / "untold-logins.json"):
            shutil.copy(path, target / path.name)


def counts(path: Path) -> list[Any]:
    """What a policy file means to people of these groups."""
    policy = parse_policy(path.read_text(), str(path))
    found = [policy.for_("ann", groups) for groups in GROUPS]
    return list(json.loads(msgspec.json.encode(found, order="deterministic")))


def live(site: Site) -> None:
    """What people do at a site, until it ends; of the last log-in the audit has not heard."""
    site.add("chief", "--admin")
    for name in ("ann", "bob"):
        site.add(name)
    for name, password in (
        ("ann", PASSWORD),
        ("ann", "a wrong password"),
        ("nobody", "who is this"),
        ("bob", PASSWORD),
    ):
        site.log_in(name, password)[0].close()
    assert site.command("users", "block", "bob").returncode == 0
    site.log_in("bob", PASSWORD)[0].close()
    site.process.terminate()
    site.process.wait()
    site.start_hub()
    site.gateway.terminate()
    site.log_in("ann", "wrong again")[0].close()
    site.process.terminate()
    site.process.wait()


def give_tokens(url: str) -> None:
    engine = create_engine(url)
    with Session(engine) as session:
        session.add(orm.User(name="dora"))
        session.commit()
        for name, token in TOKENS.items():
            orm.User.find(session, name).new_api_token(token, note="of before")
        session.commit()
    engine.dispose()


async def work(url: str, keys: Keys, heads: Path) -> None:
    """Requests in the books: some of long ago, of which retention has left a seal; one interrupted, one still open."""
    store, place = Store.open(url), Heads(heads, keys)
    old = await store.write(lambda tx: AuditLog.open(tx, "gateway-2", keys))
    log = await store.write(lambda tx: AuditLog.open(tx, "gateway-1", keys))
    for n in range(1, 4):
        for row in (opened(n), settled(n)):
            await store.write(partial(old.append, row=msgspec.structs.replace(row, at=LONG_AGO + n)))
    place.write(old.head())
    await retain(store, keys, place, before=LONG_AGO + 86_400, now=START)
    for n in range(4, 8):
        await store.write(partial(reserve, n))
        await store.write(partial(log.append, row=opened(n)))
        if n < 6:
            await store.write(partial(settle, n))
            await store.write(partial(log.append, row=settled(n)))
        if n == 6:
            await store.write(lambda tx: log.interrupt_open(tx, START + 10))
    place.write(log.head())
    await store.close()


def reserve(n: int, tx: Any) -> None:
    more: dict[str, Any] = {"model": "small", "tokens": 500, "quota": Quota(), "owner": "gateway-1"}
    ledger.reserve(tx, request_id=f"r{n}", user="ada", now=START, ttl=60, zone=ZoneInfo("UTC"), **more)


def settle(n: int, tx: Any) -> None:
    used = Usage(prompt=30, completion=12, cached=8)
    ledger.settle(tx, request_id=f"r{n}", user="ada", model="small", usage=used, now=START + n, zone=ZoneInfo("UTC"))


def copy(source: str, target: str, tables: Any) -> None:
    """Rows into tables that the older release has made there."""
    engines = create_engine(source), create_engine(target)
    with engines[0].connect() as here, engines[1].begin() as there:
        for table in tables.sorted_tables:
            rows = [dict(row) for row in here.execute(table.select()).mappings()]
            if rows:
                there.execute(table.insert(), rows)
    for engine in engines:
        engine.dispose()


def dump_sqlite(database: Path, to: Path) -> None:
    connection = sqlite3.connect(database)
    to.write_text("\n".join(connection.iterdump()) + "\n")
    connection.close()


def dump_postgresql(cluster: postgres.Cluster, url: str, to: Path) -> None:
    """Without what depends on the version of PostgreSQL."""
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [
        (cluster.binaries / "initdb").resolve().with_name("pg_dump"),
        "--inserts",
        "--no-owner",
        "--no-privileges",
        address,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    mute = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    to.write_text("".join(line + "\n" for line in text.splitlines() if line and not line.startswith(mute)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
