"""The hub's session, as JupyterHub makes it, on a real PostgreSQL that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cellar_hub.reconnecting import database_options, keep_connected
from jupyterhub import orm
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.hub import jupyter
from tests.hub.postgres import Cluster, restored
from tests.ui.lab import wait_until

keep_connected()


@pytest.fixture
def session(postgresql: Cluster) -> Iterator[Session]:
    url = postgresql.create_database()
    made = orm.new_session_factory(url, **database_options(url))()
    made.add(orm.User(name="ada"))
    made.commit()
    yield made
    made.close()
    made.get_bind().dispose()


def names(session: Session) -> list[str]:
    return [user.name for user in session.query(orm.User)]


def restart(postgresql: Cluster) -> None:
    postgresql.stop()
    postgresql.start()


def test_a_session_that_has_read_reads_again_after_its_database_was_away(postgresql: Cluster, session: Session) -> None:
    """JupyterHub never ends a transaction in which it has only read: it stands on a connection that is gone."""
    for _ in range(3):
        assert names(session) == ["ada"]
        assert session.in_transaction()
        restart(postgresql)
    assert names(session) == ["ada"]
    session.add(orm.User(name="ben"))
    session.commit()
    assert names(session) == ["ada", "ben"]


def test_an_object_that_was_read_before_is_read_again_and_may_be_changed(postgresql: Cluster, session: Session) -> None:
    [ada] = session.query(orm.User)
    restart(postgresql)
    session.refresh(ada)
    ada.admin = True
    session.commit()
    restart(postgresql)
    assert [user.admin for user in session.query(orm.User)] == [True]


def test_a_session_in_which_something_failed_while_the_database_was_away_goes_on(
    postgresql: Cluster, session: Session
) -> None:
    """A task behind the pages logs its error and ends no transaction; the next log-in must not pay for it."""
    assert names(session) == ["ada"]
    postgresql.stop()
    with pytest.raises(OperationalError):
        names(session)
    session.add(orm.User(name="ben"))
    with pytest.raises(OperationalError):
        session.flush()
    postgresql.start()
    assert names(session) == ["ada"], "and what was not written is not written later, unseen"


def test_what_one_began_to_write_is_not_taken_for_written(postgresql: Cluster, session: Session) -> None:
    session.add(orm.User(name="ben"))
    session.flush()
    restart(postgresql)
    with pytest.raises(OperationalError):
        names(session)
    session.rollback()
    assert names(session) == ["ada"]


def test_sqlite_needs_none_of_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.sqlite"
    session = orm.new_session_factory(url, **database_options(url))()
    session.add(orm.User(name="ada"))
    session.commit()
    assert names(session) == ["ada"]
    session.close()
    session.get_bind().dispose()


@pytest.fixture
def hub(postgresql: Cluster, tmp_path: Path) -> Iterator[jupyter.Hub]:
    with jupyter.running(tmp_path, database=postgresql.create_database()) as running:
        # one whose database goes away before that ends, and is started again
        wait_until(lambda: "JupyterHub is now running" in running.log, "the end of its start")
        yield running


def status(hub: jupyter.Hub, token: str) -> int:
    return httpx.get(f"{hub.api}/user", headers={"authorization": f"token {token}"}, timeout=30).status_code


def test_while_its_database_is_away_the_hub_says_so_and_calls_no_good_token_bad(
    hub: jupyter.Hub, postgresql: Cluster
) -> None:
    good = hub.user("ada")
    assert (status(hub, good), status(hub, "x" * 32)) == (200, 403)
    postgresql.stop()
    assert [status(hub, good) for _ in range(3)] == [503] * 3
    assert httpx.get(f"{hub.url}/hub/health", timeout=30).status_code == 200
    postgresql.start()
    assert (status(hub, good), status(hub, "x" * 32)) == (200, 403)
    postgresql.stop()
    postgresql.start()
    assert status(hub, good) == 200, "nobody asked while it was away"


def test_a_hub_whose_database_is_away_ends_when_it_is_told_to(hub: jupyter.Hub, postgresql: Cluster) -> None:
    hub.user("ada")
    postgresql.stop()
    assert hub.stop() == 0, "by itself"
    postgresql.start()


def test_a_hub_whose_database_was_dropped_and_restored_ends_and_takes_nobody_for_somebody_else(
    hub: jupyter.Hub,
) -> None:
    token = hub.user("ada")
    assert status(hub, token) == 200
    with restored(hub.database) as copy:
        copy.execute("UPDATE users SET name = 'ada-of-then' WHERE name = 'ada'")
    assert status(hub, token) == 503
    assert hub.ended() == 0, "by itself"
    assert "another database is in the place of the hub's" in hub.log
    hub.start()
    assert hub.ask("GET", "/users/ada-of-then")["name"] == "ada-of-then"
