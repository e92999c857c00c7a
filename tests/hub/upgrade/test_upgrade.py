"""A site of before console and sign-up becomes one of today: nobody loses an account, a token, a file or a record.

The databases in `older` were written by that release (`make_older`), with JupyterHub 6.1 and with 5.5.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic.script import ScriptDirectory
from cellar.settings import SettingsError
from cellar_hub.audit import Keys, verify
from cellar_hub.hubdatabase import bring_up_to_date
from cellar_hub.spawner.homes import Homes
from cellar_hub.store import Store
from cellar_hub.usage.ledger import usage_of_days
from jupyterhub import dbutil
from sqlalchemy import create_engine, event, inspect, make_url, text
from sqlalchemy.orm import Session

from tests.hub import postgres
from tests.hub.commands.engine import Volumes
from tests.hub.commands.site import PASSWORD, Site
from tests.hub.login.test_accounts_api import ask, log_in
from tests.hub.upgrade.make_older import TOKENS, counts

pytestmark = pytest.mark.timeout(240)
OLDER = Path(__file__).parent / "older"
OLD, NEW = "4621fec11365", ScriptDirectory(dbutil.ALEMBIC_DIR).get_current_head()
DAYS = date(2026, 11, 28), date(2026, 11, 28)
USED = [("ada", 60, 24, 16, 2)]
LEFT = ("cellar_audit_open", "cellar_reservation")


def load(name: str, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript((OLDER / name).read_text())


def lay_out(folder: Path, series: str) -> None:
    """What the older release left in its volumes."""
    (folder / "books").mkdir()
    load(f"hub-{series}.sql", folder / "hub.sqlite")
    load("books-sqlite.sql", folder / "books" / "cellar.db")
    for name, place in (("audit-keys", "books/audit-keys"), ("heads", "heads"), ("untold-logins.json",) * 2):
        (folder / place).write_bytes((OLDER / name).read_bytes())
        (folder / place).chmod(0o600)


@pytest.fixture(scope="module")
def volumes() -> Iterator[Volumes]:
    """Without a word on whose they are."""
    with Volumes() as found:
        found.labels |= {"cellar-ws-ann": {}, "cellar-ws-zoe": {}}
        yield found


@pytest.fixture(scope="module", params=["6.1", "5.5"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, volumes: Volumes) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    lay_out(folder, request.param)
    found = Site(folder, DOCKER_HOST=volumes.address)
    yield found
    found.end()


def test_everybody_gets_in_who_did_and_nobody_else(site: Site) -> None:
    names = ("chief", "ann", "bob", "dora")
    assert [log_in(site, name, PASSWORD) for name in names] == [302, 302, 403, 403]
    listed = site.command("users", "list").stdout
    assert [line.split()[:3] for line in listed.splitlines()] == [
        ["admin", "no", "account"],
        ["ann", "may", "log"],
        ["bob", "blocked"],
        ["chief", "may", "log"],
        ["dora", "no", "account"],
    ]
    assert listed.splitlines()[3].split()[-1] == "admin"


def test_tokens_are_worth_what_they_were(site: Site) -> None:
    answers = {}
    for name, token in TOKENS.items():
        asked = httpx.get(f"{site.url}/hub/api/user", headers={"Authorization": f"token {token}"}, timeout=30)
        answers[name] = asked.status_code
    assert answers == {"ann": 200, "bob": 403}


def test_files_belong_to_those_who_were_there_and_to_no_newcomer(site: Site) -> None:
    assert ask(site, "GET", "/ann").json()["files"] == "theirs"
    assert ask(site, "POST", body={"name": "zoe", "password": PASSWORD}).status_code == 409


def test_what_the_older_hub_had_not_told_yet_is_told_and_the_audit_is_whole(site: Site) -> None:
    untold = {each["id"] for each in json.loads((OLDER / "untold-logins.json").read_text())["told"]}
    deadline = time.monotonic() + 60
    while not untold <= {each.detail.get("report") for each in site.events("ann")}:
        assert time.monotonic() < deadline, untold
        time.sleep(0.05)
    done = site.command("audit", "verify", **site.books)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "gateway-2: 1 rows, 5 sealed" in done.stdout and "The audit is whole." in done.stdout


def test_what_was_used_is_kept_and_what_was_left_open_has_an_end(site: Site) -> None:
    store = Store.open(f"sqlite:///{site.books['CELLAR_DATA']}/cellar.db")
    with store.reading() as conn:
        used = usage_of_days(conn, *DAYS)
        left = [conn.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in LEFT]
    asyncio.run(store.close())
    assert [(each.user, each.prompt, each.completion, each.cached, each.requests) for each in used] == USED
    assert left == [0, 0]


def test_a_second_start_changes_nothing(site: Site) -> None:
    before = rows(site)
    site.end()
    site.gateway.start()
    site.env["CELLAR_GATEWAY_OPERATIONS_URL"] = site.gateway.operations
    site.start_hub()
    assert rows(site) == before and before["alembic_version"] == [(NEW,)]
    kept = sorted(site.folder.glob("hub.sqlite.*"))
    with closing(sqlite3.connect(f"file:{site.folder}/hub.sqlite?mode=ro", uri=True)) as now:
        assert now.execute("PRAGMA quick_check").fetchone() == ("ok",)
    for copy in kept:
        assert copy.name == f"hub.sqlite.before-{OLD}"
        with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as then:
            assert then.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLD,)]


def rows(site: Site) -> dict[str, Any]:
    """What the hub keeps of people."""
    wanted = {
        "users": "name, admin, created",
        "users_info": "*",
        "cellar_accounts": "*",
        "cellar_homes": "*",
        "cellar_hub_version": "*",
        "alembic_version": "*",
        "api_tokens": "id, hashed, user_id",
    }
    with closing(sqlite3.connect(f"file:{site.folder}/hub.sqlite?mode=ro", uri=True)) as database:
        where = {"api_tokens": " WHERE note = 'of before'"}
        return {
            table: database.execute(f"SELECT {columns} FROM {table}{where.get(table, '')} ORDER BY 1").fetchall()
            for table, columns in wanted.items()
        }


# --- without a hub


def test_whoever_is_ended_while_noting_whose_files_there_are_begins_anew(tmp_path: Path) -> None:
    load("hub-6.1.sql", tmp_path / "hub.sqlite")
    engine = create_engine(f"sqlite:///{tmp_path}/hub.sqlite")
    settings: Any = None  # they say where Docker is

    @event.listens_for(engine, "before_cursor_execute")
    def end(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO cellar_homes"):
            raise KeyboardInterrupt

    with Session(engine) as session, pytest.raises(KeyboardInterrupt):
        Homes(session, settings)
    event.remove(engine, "before_cursor_execute", end)
    with Session(engine) as session:
        homes = Homes(session, settings)
        assert [homes.may_have(name, "") for name in ("ann", "bob", "zoe")] == [True, True, False]
    engine.dispose()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE alembic_version SET version_num = 'f00d'", "is the database of a JupyterHub newer than"),
        (
            "CREATE TABLE cellar_hub_version (version_num TEXT); INSERT INTO cellar_hub_version VALUES ('r9999')",
            "has accounts of a newer release of Cellar",
        ),
    ],
)
@pytest.mark.parametrize("series", ["6.1", "5.5"])
def test_what_a_newer_release_has_written_is_refused_by_name_and_left_as_it_is(
    tmp_path: Path, series: str, change: str, said: str
) -> None:
    database = tmp_path / "hub.sqlite"
    load(f"hub-{series}.sql", database)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(change)
    content = database.read_bytes()
    with pytest.raises(SettingsError, match=f"CELLAR_HUB_DATABASE_URL {said}.*It is as it was"):
        bring_up_to_date(f"sqlite:///{database}")
    assert database.read_bytes() == content and list(tmp_path.iterdir()) == [database]


def test_an_upgrade_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    database = tmp_path / "hub.sqlite"
    load("hub-5.5.sql", database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN user_info TEXT")  # as the last steps but one will, too
    content = database.read_bytes()
    with pytest.raises(SettingsError, match="cannot be upgraded to JupyterHub"):
        bring_up_to_date(f"sqlite:///{database}")
    assert database.read_bytes() == content and list(tmp_path.iterdir()) == [database]


def test_a_database_that_is_not_there_is_left_to_jupyterhub(tmp_path: Path, an_unused_port: int) -> None:
    bring_up_to_date(f"sqlite:///{tmp_path}/hub.sqlite")
    bring_up_to_date(f"postgresql+psycopg://u:secret@127.0.0.1:{an_unused_port}/d")
    assert list(tmp_path.iterdir()) == []


def test_jupyterhubs_older_database_in_postgresql_is_upgraded_where_it_is(postgresql: postgres.Cluster) -> None:
    with postgresql.database() as url:
        fill(url, "hub-5.5-postgresql.sql")
        for _ in ("once", "and again"):
            bring_up_to_date(url)
            engine = create_engine(url)
            with engine.connect() as conn:
                assert conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [NEW]
                assert conn.execute(text("SELECT count(*) FROM users")).scalar() == 5
                assert "user_info" in {each["name"] for each in inspect(conn).get_columns("users")}
            engine.dispose()


async def test_the_books_of_before_are_todays_books(database: str, tmp_path: Path) -> None:
    """On SQLite and on PostgreSQL, and again."""
    kind = make_url(database).drivername.partition("+")[0]
    if kind == "sqlite":
        load("books-sqlite.sql", Path(make_url(database).database or ""))
    else:
        fill(database, "books-postgresql.sql")
    (tmp_path / "ring").write_bytes((OLDER / "audit-keys").read_bytes())
    (tmp_path / "ring").chmod(0o600)
    keys = Keys.open(tmp_path / "ring")
    for _ in ("once", "and again"):
        store = Store.open(database)
        report = await store.read(lambda conn: verify(conn, keys, OLDER / "heads"))
        assert report.ok and {each.chain for each in report.chains} == {"gateway-1", "gateway-2"}, report.problems
        used = await store.read(lambda conn: usage_of_days(conn, *DAYS))
        assert [(each.user, each.prompt, each.completion, each.cached, each.requests) for each in used] == USED
        await store.close()


def test_a_policy_file_of_before_means_what_it_meant() -> None:
    for now, then in zip(counts(OLDER / "policy.toml"), json.loads((OLDER / "policy.json").read_text()), strict=True):
        assert {field: now[field] for field in then} == then


def fill(url: str, name: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.connection.driver_connection.execute((OLDER / name).read_text())  # type: ignore[union-attr]
    engine.dispose()
