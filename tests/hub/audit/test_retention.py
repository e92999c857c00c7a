"""Retention: old rows go, with a seal that says so; a kill in between costs nothing; evidence stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from cellar_hub.audit import Heads, Search, find_entries, retain, retention
from cellar_hub.store import Store
from cellar_hub.store.tables import audit, audit_seal
from sqlalchemy import func, insert, select, update

from tests.hub.audit.books import START, Books, event
from tests.hub.audit.test_tampering import seal_row


async def retained(books: Books, before: float) -> list[retention.Retained]:
    return await retain(books.store, books.keys, books.heads, before=START + before, now=START + 100)


async def rows_left(books: Books) -> list[int]:
    return await books.store.read(lambda c: list(c.scalars(select(audit.c.seq).order_by(audit.c.seq))))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)


async def test_what_is_too_old_goes_and_the_rest_verifies(books: Books) -> None:
    await books.requests(1, 10)
    books.write_head()
    assert await retained(books, before=6) == [retention.Retained("gateway-1", 10)]
    assert await rows_left(books) == list(range(11, 21))
    report = await books.verify()
    assert report.ok
    assert (report.chains[0].sealed, report.chains[0].rows) == (10, 10)


async def test_again_and_again(books: Books, store: Store, tmp_path: Path) -> None:
    await books.requests(1, 9)
    books.write_head()
    for before in (3, 3, 5, 8):
        await retained(books, before)
        assert (await books.verify()).ok
    restarted = await Books.open(store, tmp_path)
    await restarted.requests(10, 12)
    restarted.write_head()
    await retained(restarted, before=11)
    report = await restarted.verify()
    assert report.ok
    assert report.chains[0].sealed == 20
    assert await store.read(lambda c: c.scalar(select(func.count()).select_from(audit_seal))) == 4


async def test_a_chains_last_row_always_stays(books: Books, store: Store, tmp_path: Path) -> None:
    await books.append(event(1), event(2))
    books.write_head()
    await retained(books, before=1000)
    assert await rows_left(books) == [2]
    restarted = await Books.open(store, tmp_path)
    await restarted.append(event(3))
    restarted.write_head()
    assert (await restarted.verify()).ok


async def test_rows_that_do_not_verify_are_evidence_and_stay(books: Books, store: Store, tmp_path: Path) -> None:
    other = await Books.open(store, tmp_path, "admin")
    await books.requests(1, 5)
    await other.append(event(1), event(2))
    books.heads.write(books.log.head(), other.log.head())
    await books.tamper(lambda tx: tx.execute(update(audit).where(audit.c.request_id == "r2").values(user_name="eve")))
    done = {each.chain: each for each in await retained(books, before=5)}
    assert done["gateway-1"].deleted == 0 and "column" in (done["gateway-1"].broken or "")
    assert done["admin"].deleted == 1


async def test_a_chain_written_anew_is_not_sealed(books: Books, store: Store, tmp_path: Path) -> None:
    await books.requests(1, 5)
    books.write_head()
    lines = books.heads.path.read_bytes()
    await books.tamper(lambda tx: tx.execute(audit.delete().where(audit.c.seq > 4)))
    restarted = await Books.open(store, tmp_path)
    await restarted.requests(6, 12)
    assert books.heads.path.read_bytes() == lines
    (done,) = await retained(restarted, before=11)
    assert done.deleted == 0 and "written anew" in (done.broken or "")


async def test_a_kill_between_seal_and_deletion_is_made_good_next_time(books: Books) -> None:
    await books.requests(1, 10)
    books.write_head()

    found = await books.store.read(
        lambda c: retention._find_segment(
            c,
            keys=books.keys,
            known=retention.read_heads(books.heads.path, books.keys),
            chain="gateway-1",
            before=START + 6,
            now=START,
        )
    )
    seal = found[0]
    assert seal is not None
    books.heads.write(seal)
    assert (await books.verify()).ok  # killed after the second place
    signed = retention.sign_statement(books.keys, seal)
    await books.store.write(lambda tx: tx.execute(insert(audit_seal), seal_row(seal, signed)))
    assert (await books.verify()).ok  # killed after the seal
    assert await retained(books, before=6) == [retention.Retained("gateway-1", 10)]
    assert (await books.verify()).ok


async def test_without_the_second_place_nothing_is_deleted(books: Books, tmp_path: Path) -> None:
    await books.requests(1, 3)
    books.heads = Heads(tmp_path / "gone" / "heads", books.keys)
    with pytest.raises(OSError):
        await retained(books, before=3)
    assert await rows_left(books) == list(range(1, 7))


async def test_reading_still_works_when_a_requests_beginning_is_gone(books: Books) -> None:
    await books.requests(1, 3)
    books.write_head()
    await retained(books, before=2.5)
    await books.requests(4, 4)
    books.write_head()
    assert (await books.verify()).ok
    assert await rows_left(books) == [4, 5, 6, 7, 8]  # the end of request 2 is newer than its beginning
    entries = await books.store.read(lambda c: find_entries(c, Search()))
    assert [entry.row.at - START for entry in entries] == [4, 3]
