"""Appending: what is kept of a row, what is not, and what happens to a request whose process is killed."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cellar_hub.audit import Opened, Settled
from cellar_hub.audit.rows import LONGEST, MOST, Interrupted, parse_record
from cellar_hub.store import Store
from cellar_hub.store.tables import audit, audit_open, audit_seal
from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from tests.hub.audit.books import Books, event, opened, settled
from tests.hub.store.test_writer import Gate, started


async def records(books: Books) -> list[Any]:
    rows = await books.store.read(lambda c: list(c.scalars(select(audit.c.record).order_by(audit.c.seq))))
    return [parse_record(row) for row in rows]


async def test_rows_are_kept_in_the_order_in_which_they_were_written(books: Books) -> None:
    rows = [opened(1), settled(1), event(2), opened(3)]
    await books.append(*rows)
    assert await records(books) == rows
    assert (await books.verify()).chains[0].unsettled == 1


async def test_a_row_of_a_write_that_failed_leaves_no_gap(books: Books) -> None:
    def fails(tx: Connection) -> None:
        books.log.append(tx, opened(1))
        raise LookupError

    with pytest.raises(LookupError):
        await books.store.write(fails)
    assert books.log.head().seq == 0
    await books.append(opened(2))
    assert books.log.head().seq == 1
    books.write_head()
    assert (await books.verify()).ok


async def test_one_that_fails_between_others_of_its_commit_leaves_no_gap(books: Books) -> None:
    def fails(tx: Connection) -> None:
        books.log.append(tx, opened(2))
        raise LookupError

    gate = Gate()
    first = await started(books.store, gate)
    works = [partial(books.log.append, row=opened(1)), fails, partial(books.log.append, row=opened(3))]
    waiting = [asyncio.create_task(books.store.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.open.set()
    ends = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), type(None), LookupError, type(None)]
    assert [row.request_id for row in await records(books)] == ["r1", "r3"]
    books.write_head()
    assert (await books.verify()).ok


async def test_many_at_once_make_one_chain(books: Books) -> None:
    await asyncio.gather(*(books.append(opened(n), settled(n)) for n in range(40)))
    books.write_head()
    report = await books.verify()
    assert report.ok
    assert (report.chains[0].rows, report.chains[0].unsettled) == (80, 0)


async def test_each_process_has_a_chain_of_its_own(books: Books, store: Store, tmp_path: Path) -> None:
    other = await Books.open(store, tmp_path, "admin")
    await books.requests(1, 2)
    await other.append(event(3))
    books.write_head()
    other.write_head()
    report = await books.verify()
    assert report.ok
    assert [(chain.chain, chain.rows) for chain in report.chains] == [("admin", 1), ("gateway-1", 4)]


async def test_a_killed_processs_open_requests_are_closed_at_its_next_start(
    books: Books, store: Store, tmp_path: Path
) -> None:
    other = await Books.open(store, tmp_path, "gateway-2")
    await other.append(opened(9))
    await books.append(opened(1), opened(2), settled(2), opened(3))
    again = await Books.open(store, tmp_path)
    assert await store.write(lambda tx: again.log.interrupt_open(tx, 5.0)) == 2
    assert (await records(again))[-2:] == [Interrupted(request_id=r, at=5.0) for r in ("r1", "r3")]
    assert await store.write(lambda tx: again.log.interrupt_open(tx, 6.0)) == 0
    report = await again.verify(heads=None)
    assert [chain.unsettled for chain in report.chains] == [0, 1]
    assert await store.read(lambda c: list(c.scalars(select(audit_open.c.request_id)))) == ["r9"]


async def test_a_chain_goes_on_after_a_restart(books: Books, store: Store, tmp_path: Path) -> None:
    await books.requests(1, 3)
    again = await Books.open(store, tmp_path)
    await again.requests(4, 5)
    again.write_head()
    assert (await again.verify()).ok
    assert again.log.head().seq == 10


async def test_what_comes_from_outside_is_bounded_and_printable(books: Books) -> None:
    nasty = "a\x00b\nc\u202ed\ud800"
    groups = tuple(f"g{i}" for i in range(1000))
    row = opened(1, user=nasty, mode="m" * 10_000, groups=groups, model="한국어", max_tokens=2**70)
    await books.append(row, event(2, detail={str(i): "x" * 1000 for i in range(1000)}))
    kept, happening = await records(books)
    assert kept.user == "a\ufffdb\ufffdc\ufffdd\ufffd"
    assert kept.model == "한국어"
    assert len(kept.mode) == LONGEST
    assert kept.max_tokens == 2**53
    assert len(kept.groups) == len(happening.detail) == MOST
    assert (await books.problems()) == [("no_heads", None)]


@pytest.mark.parametrize("table", [audit, audit_seal], ids=["rows", "seals"])
async def test_nothing_is_changed_or_deleted(books: Books, table: Any) -> None:
    await books.requests(1, 2)
    place = {"chain": "other", "first_seq": 1, "last_seq": 2, "record": "{}", "key_id": "", "mac": ""}
    await books.store.write(lambda tx: tx.execute(audit_seal.insert(), place))
    for statement in (update(table).values(mac="0"), delete(table)):
        with pytest.raises(DBAPIError, match="append-only"):
            await books.store.write(lambda tx, s=statement: tx.execute(s))
    if await books.store.read(lambda c: c.dialect.name) == "postgresql":
        with pytest.raises(DBAPIError, match="append-only"):
            await books.store.write(lambda tx: tx.execute(text(f"TRUNCATE {table.name}")))
    assert await books.store.read(lambda c: c.scalar(select(func.count()).select_from(audit))) == 4


async def test_a_gap_stays_when_rows_are_cut_off_under_a_running_process(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    await books.requests(1, 5)
    await books.tamper(lambda tx: tx.execute(delete(audit).where(audit.c.seq > 6)))
    await books.requests(6, 6)
    books.write_head()
    assert await books.problems() == [("missing", 11)]
    assert "rows after 6 have vanished" in caplog.text


def test_a_row_has_no_place_for_what_was_said() -> None:
    said = {"prompt_text", "question", "answer", "text", "content", "messages", "token"}
    assert said & {*Opened.__struct_fields__, *Settled.__struct_fields__} == set()


async def test_an_append_outside_of_the_writer_is_refused(books: Books) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"):
        await books.store.read(lambda c: books.log.append(c, opened(1)))
