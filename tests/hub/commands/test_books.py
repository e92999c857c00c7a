"""`cellar-hub usage` over real books on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cellar_hub.commands.program import run
from cellar_hub.store import Store
from cellar_hub.usage import Quota, Usage
from cellar_hub.usage.ledger import reserve, settle
from sqlalchemy import Connection

UTC = ZoneInfo("UTC")


@pytest.fixture
def books(tmp_path: Path, database: str) -> dict[str, str]:
    """The environment of a gateway that has answered two questions of ann and one of bob."""
    now = time.time()

    def work(tx: Connection) -> None:
        for number, user in enumerate(("ann", "ann", "bob")):
            request_id = f"r{number}"
            reserve(
                tx,
                request_id=request_id,
                user=user,
                model="m",
                tokens=100,
                quota=Quota(None, None),
                owner="gateway-1",
                now=now,
                ttl=60,
                zone=UTC,
            )
            settle(tx, request_id=request_id, user=user, model="m", usage=Usage(10, 5, 4), now=now, zone=UTC)

    async def write() -> None:
        store = await asyncio.to_thread(Store.open, database)
        await store.write(work)
        await store.close()

    asyncio.run(write())
    return {
        "CELLAR_DATA": str(tmp_path),
        "CELLAR_DATABASE_URL": database,
    }


def test_usage_sums_by_user_and_model(books: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage"], books) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["ann", "m", "2", "20", "8", "10"], ["bob", "m", "1", "10", "4", "5"]]
    assert run(["usage", "--user", "bob", "--until", "2001-01-01", "--since", "2000-01-01"], books) == 0
    said = capsys.readouterr().out.splitlines()
    assert (said[0], len(said)) == ("2000-01-01 to 2001-01-01: no requests", 2)
    assert run(["usage", "--since", "2001-01-01", "--until", "2000-01-01"], books) == 2
    assert capsys.readouterr().err == "cellar-hub: --since 2001-01-01 is after --until 2000-01-01\n"


def test_a_day_that_is_none_is_refused(books: dict[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["usage", "--since", "yesterday"], books)
    assert ended.value.code == 2
