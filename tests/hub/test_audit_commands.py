"""`cellar-hub audit`: what it says, its exit status, and that what it does stands in the audit."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cellar_hub.audit import AuditLog, Event, Heads, Keys, Search, find_entries
from cellar_hub.commands.program import run
from cellar_hub.store import Store
from cellar_hub.store.tables import audit
from sqlalchemy import update

from tests.hub.audit.books import opened, settled, without_triggers

DAY = 86_400.0


@pytest.fixture
def env(database: str, tmp_path: Path) -> dict[str, str]:
    """A site where a gateway has answered: two requests today, two some 40 days ago."""
    env = {
        "CELLAR_DATABASE_URL": database,
        "CELLAR_DATA": str(tmp_path / "data"),
        "CELLAR_AUDIT_HEADS": str(tmp_path / "heads"),
        "CELLAR_TIME_ZONE": "Asia/Seoul",
    }
    keys = Keys.open(tmp_path / "data" / "audit-keys")

    async def fill(store: Store) -> None:
        log = await store.write(lambda tx: AuditLog.open(tx, "gateway-1", keys))
        for n, ago in enumerate((40, 40, 0, 0)):
            at = time.time() - ago * DAY
            for row in (opened(n, user="=ada"), settled(n)):
                await store.write(lambda tx, row=row, at=at: log.append(tx, type(row)(**fields(row) | {"at": at})))
        Heads(tmp_path / "heads", keys).write(log.head())
        await store.close()

    asyncio.run(fill(Store.open(database)))
    return env


def fields(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}  # type: ignore[attr-defined] # a struct


def tamper(env: dict[str, str], change: Callable[..., object]) -> None:
    async def work(store: Store) -> None:
        await store.write(lambda tx: without_triggers(tx, change))
        await store.close()

    asyncio.run(work(Store.open(env["CELLAR_DATABASE_URL"])))


def events(env: dict[str, str]) -> list[Event]:
    store = Store.open(env["CELLAR_DATABASE_URL"])
    with store.reading() as conn:
        found = find_entries(conn, Search(events_only=True), newest_first=False)
    asyncio.run(store.close())
    return [entry.row for entry in found if isinstance(entry.row, Event)]


def test_an_audit_in_order_is_whole(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "verify"], env) == 0
    assert capsys.readouterr().out == "gateway-1: 8 rows, 0 sealed, 0 without an end\nThe audit is whole.\n"


def test_a_changed_row_is_named_and_the_exit_status_is_1(
    env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(env, lambda tx: tx.execute(update(audit).where(audit.c.seq == 3).values(user_name="eve")))
    assert run(["audit", "verify"], env) == 1
    out = capsys.readouterr().out
    assert "PROBLEM in gateway-1, row 3: changed:" in out
    assert "The audit is NOT whole: 1 problems." in out


def test_without_a_second_place_it_says_what_cannot_be_seen(
    env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    del env["CELLAR_AUDIT_HEADS"]
    assert run(["audit", "verify"], env) == 0
    assert "CELLAR_AUDIT_HEADS is not set" in capsys.readouterr().out


def test_a_second_place_that_is_gone_is_a_problem(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(env["CELLAR_AUDIT_HEADS"]).unlink()
    assert run(["audit", "verify"], env) == 1
    assert "PROBLEM in heads: no_heads:" in capsys.readouterr().out


def test_without_the_ring_nothing_is_made_up(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    ring = Path(env["CELLAR_DATA"]) / "audit-keys"
    ring.unlink()
    assert run(["audit", "verify"], env) == 2
    assert "CELLAR_AUDIT_KEYS" in capsys.readouterr().err
    assert not ring.exists()


def test_an_export_is_of_whole_days_and_is_itself_in_the_audit(
    env: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    today = datetime.now(ZoneInfo("Asia/Seoul")).date().isoformat()
    asked = ["audit", "export", "--since", today, "--until", today, "--user", "=ada"]
    assert run(asked, env | {"CELLAR_OPERATOR": "kim"}) == 0
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode("utf-8-sig"), newline="")))
    assert [row["request_id"] for row in rows] == ["r2", "r3"]
    assert {row["user"] for row in rows} == {"'=ada"}
    assert [event.action for event in events(env)] == ["audit.export"]
    assert events(env)[0].actor == "kim (command line)", "whom the wrapper outside of the container knows"
    assert events(env)[0].detail == {"since": today, "until": today, "user": "=ada", "format": "csv"}
    assert run(["audit", "export", "--format", "jsonl"], env) == 0
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["request"] * 4 + ["event"] * 2


def test_what_is_too_old_is_deleted_under_a_seal(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "retain", "--days", "30"], env) == 0
    assert "gateway-1: 4 rows from before" in capsys.readouterr().out
    assert run(["audit", "verify"], env) == 0
    assert "gateway-1: 4 rows, 4 sealed" in capsys.readouterr().out
    assert [(event.action, event.detail["gateway-1"]) for event in events(env)] == [("audit.retain", 4)]


@pytest.mark.parametrize(("days", "heads"), [("0", True), ("-1", True), ("30", False)])
def test_retention_without_sense_or_second_place_is_refused(
    env: dict[str, str], days: str, heads: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if not heads:
        del env["CELLAR_AUDIT_HEADS"]
    assert run(["audit", "retain", "--days", days], env) == 2
    assert ("CELLAR_AUDIT_HEADS" if not heads else "--days") in capsys.readouterr().err


def test_a_rotated_ring_verifies_old_and_new(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "rotate"], env) == 0
    assert "2 keys are in" in capsys.readouterr().out
    assert run(["audit", "verify"], env) == 0
    assert "commands: 1 rows" in capsys.readouterr().out
