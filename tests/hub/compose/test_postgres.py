"""The overlay's own script makes a real PostgreSQL: hub and gateway have a database each, nothing of the other's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from cellar_hub.store import Store

from tests.fakes.fixtures import unused_port
from tests.hub.postgres import ACCOUNT, MISSING, find_binaries
from tools.images import IMAGES

BINARIES = find_binaries()
pytestmark = pytest.mark.skipif(BINARIES is None, reason=MISSING)
BOOKS, HUB = "books0123456789", "hub0123456789"
CAN_LOG_IN = "AND rolcanlogin AND rolname NOT LIKE 'pg_%'"
OLDER = """\
set -eu
initdb -D "$HOME/15" -U cellar -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
echo "host all all samenet scram-sha-256" >>"$HOME/15/pg_hba.conf"
alone() { postgres --single -j -D "$HOME/15" "$1" >/dev/null; }
for name in cellar jupyterhub; do echo "CREATE DATABASE $name" | alone postgres; done
echo "ALTER ROLE cellar PASSWORD 'books0123456789'" | alone postgres
for name in cellar jupyterhub; do alone $name <<SQL
CREATE TYPE colour AS ENUM ('red');

CREATE TABLE "Kept" (id serial PRIMARY KEY, number integer GENERATED ALWAYS AS IDENTITY, what colour);

CREATE SEQUENCE alone;

CREATE VIEW seen AS SELECT id FROM "Kept";

CREATE FUNCTION two() RETURNS integer LANGUAGE sql AS 'SELECT 2';

INSERT INTO "Kept" (what) VALUES ('red');
SQL
done
"""
"""What a release before made, with one superuser for both; and a thing of each kind in it."""


class Server:
    """The script's server, in a folder of its own instead of the volume."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = unused_port()
        text = (IMAGES / "overlays" / "postgres.sh").read_text()
        text = text.replace("directories=/tmp", f"directories={folder}")
        text = text.replace("/var/lib/cellar-postgres", str(folder))
        self.script = text.replace("listen_addresses='*'", "listen_addresses=127.0.0.1 -c fsync=off")
        path = f"{BINARIES}:{os.environ['PATH']}"
        self.env = {"PATH": path, "PGPORT": str(self.port), "HOME": str(folder)}

    def shell(self, script: str) -> None:
        subprocess.run(["sh", "-c", script], check=True, cwd="/", env=self.env, stderr=subprocess.PIPE, **ACCOUNT)

    @contextmanager
    def running(self, books: str = BOOKS, hub: str = HUB) -> Iterator[None]:
        env = self.env | {"POSTGRES_PASSWORD": books, "POSTGRES_HUB_PASSWORD": hub}
        log = self.folder / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(["sh", "-c", self.script], cwd="/", env=env, stdout=out, stderr=out, **ACCOUNT)
        try:
            while not self.is_ready():
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait()

    def is_ready(self) -> bool:
        asked = ["pg_isready", "-q", "-t", "1", "-h", "127.0.0.1"]
        return subprocess.run(asked, env=self.env).returncode == 0

    def url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}?require_auth=scram-sha-256"

    def ask(self, url: str, question: str) -> list[tuple[object, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute(question.encode()).fetchall()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="cellar-postgres-") as folder:
        if ACCOUNT:
            shutil.chown(folder, "postgres", "postgres")
        yield Server(Path(folder))


def keeps_both_apart(server: Server) -> None:
    books, hub = server.url("cellar_books", BOOKS, "cellar"), server.url("cellar_hub", HUB, "jupyterhub")
    for url in (books, hub):
        assert server.ask(url, f"SELECT rolname FROM pg_roles WHERE rolsuper {CAN_LOG_IN}") == [("cellar",)]
        others = "rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
        assert server.ask(url, f"SELECT 1 FROM pg_roles WHERE rolname <> 'cellar' AND ({others}) {CAN_LOG_IN}") == []
        assert (
            server.ask(
                url,
                "SELECT 1 FROM pg_database WHERE has_database_privilege('cellar_hub', 'cellar', 'connect')"
                " OR has_database_privilege('cellar_books', 'jupyterhub', 'connect')",
            )
            == []
        )
    closed = [
        *(server.url("cellar_hub", HUB, name) for name in ("cellar", "postgres", "template1")),
        *(server.url("cellar_books", BOOKS, name) for name in ("jupyterhub", "postgres", "template1")),
        *(server.url("cellar", BOOKS, name) for name in ("cellar", "jupyterhub", "postgres")),
    ]
    for url in closed:
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            psycopg.connect(url)


def test_hub_and_gateway_have_a_role_each_that_is_no_superuser_and_opens_its_own_database_alone(server: Server) -> None:
    with server.running():
        keeps_both_apart(server)
        url = server.url("cellar_books", BOOKS, "cellar").replace("postgresql", "postgresql+psycopg")
        Store.open(url)  # makes its tables


def test_a_password_that_was_changed_holds_from_the_next_start(server: Server) -> None:
    with server.running():
        pass
    with server.running(books="changed0123456789"):
        assert server.ask(server.url("cellar_books", "changed0123456789", "cellar"), "SELECT 1") == [(1,)]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url("cellar_books", BOOKS, "cellar"))


def test_a_volume_of_an_older_release_is_brought_to_the_same_form_and_keeps_what_is_in_it(server: Server) -> None:
    server.shell(OLDER)
    for _ in range(2):  # and stays so
        with server.running():
            keeps_both_apart(server)
            for role, password, name in (("cellar_books", BOOKS, "cellar"), ("cellar_hub", HUB, "jupyterhub")):
                url = server.url(role, password, name)
                assert server.ask(url, 'SELECT id, number, what, two() FROM "Kept"') == [(1, 1, "red", 2)]
                left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner = 10"
                assert server.ask(url, left) == []
                changes = 'ALTER TABLE "Kept" ADD COLUMN more text; DROP FUNCTION two(); DROP SEQUENCE alone;'
                with psycopg.connect(url) as connection:
                    connection.execute(f"{changes} ALTER TYPE colour ADD VALUE 'blue'; DROP VIEW seen".encode())
                    connection.rollback()


@pytest.mark.parametrize("hub", ["", "with'quote"])
def test_a_password_that_would_be_more_than_one_is_refused_with_its_name(server: Server, hub: str) -> None:
    env = server.env | {"POSTGRES_PASSWORD": BOOKS, "POSTGRES_HUB_PASSWORD": hub}
    done = subprocess.run(["sh", "-c", server.script], cwd="/", env=env, capture_output=True, text=True, **ACCOUNT)
    assert (done.returncode, done.stderr) == (1, "POSTGRES_HUB_PASSWORD must be letters and digits\n")
