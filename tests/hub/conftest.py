"""The hub side's databases, both of them: a test that takes `database` or `store` runs on SQLite and on PostgreSQL.
And `hub`: a real JupyterHub, one for all tests; make users of your own in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from cellar_hub.store import Store

from tests.hub import jupyter, postgres


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Cluster]:
    """One cluster for all tests. Where PostgreSQL is missing they are skipped, which `make test` with CI=true fails."""
    if postgres.find_binaries() is None:
        pytest.skip(postgres.MISSING)
    with postgres.running("fsync=off") as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/cellar.db"
        return
    cluster: postgres.Cluster = request.getfixturevalue("postgresql")
    with cluster.database() as url:
        yield url


@pytest_asyncio.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = Store.open(database)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[jupyter.Hub]:
    """JupyterHub without a proxy: its API, users, tokens and servers."""
    with jupyter.running(tmp_path_factory.mktemp("hub")) as running:
        yield running
