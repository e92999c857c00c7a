"""Whatever somebody with the database in their hands does to the audit, `verify` says so, and where."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cellar_hub.audit import Head, Keys
from cellar_hub.audit.chain import Seal, Signed, next_link, sign_statement
from cellar_hub.audit.retention import retain
from cellar_hub.store.tables import audit, audit_seal
from sqlalchemy import Connection, delete, func, insert, select, update

from tests.hub.audit.books import START, Books, opened


@pytest.fixture
async def filled(books: Books) -> Books:
    """Ten requests, twenty rows, and a head at the second place."""
    await books.requests(1, 10)
    books.write_head()
    return books


async def test_an_untouched_audit_is_in_order(filled: Books) -> None:
    report = await filled.verify()
    assert report.ok
    assert (report.chains[0].first_seq, report.chains[0].last_seq, report.chains[0].rows) == (1, 20, 20)


async def test_a_changed_record(filled: Books) -> None:
    forged = func.replace(audit.c.record, '"prompt":30', '"prompt":1')
    await filled.tamper(lambda tx: tx.execute(update(audit).where(audit.c.seq == 4).values(record=forged)))
    assert await filled.problems() == [("changed", 4)]


@pytest.mark.parametrize("column", ["at", "row_type", "request_id", "user_name", "subject", "model"])
async def test_a_changed_column_beside_the_record(filled: Books, column: str) -> None:
    value = 1.0 if column == "at" else "event" if column == "row_type" else "somebody"
    await filled.tamper(lambda tx: tx.execute(update(audit).where(audit.c.seq == 5).values({column: value})))
    assert await filled.problems() == [("changed", 5)]


async def test_a_row_that_is_no_json(filled: Books) -> None:
    await filled.tamper(lambda tx: tx.execute(update(audit).where(audit.c.seq == 5).values(record="{")))
    assert await filled.problems() == [("changed", 5)]


async def test_a_deleted_row_in_the_middle(filled: Books) -> None:
    await filled.tamper(lambda tx: tx.execute(delete(audit).where(audit.c.seq == 7)))
    assert await filled.problems() == [("missing", 8)]


async def test_a_deleted_row_with_the_numbers_moved_up(filled: Books) -> None:
    def work(tx: Connection) -> None:
        tx.execute(delete(audit).where(audit.c.seq == 7))
        for seq in range(8, 21):
            tx.execute(update(audit).where(audit.c.seq == seq).values(seq=seq - 1))

    await filled.tamper(work)
    found = await filled.problems()
    assert found[:2] == [("changed", 7), ("changed", 8)]
    assert found[-1] == ("cut", 19)


async def test_deleted_rows_at_the_beginning(filled: Books) -> None:
    await filled.tamper(lambda tx: tx.execute(delete(audit).where(audit.c.seq <= 2)))
    assert await filled.problems() == [("missing", 3)]


async def test_a_cut_tail(filled: Books) -> None:
    await filled.tamper(lambda tx: tx.execute(delete(audit).where(audit.c.seq > 15)))
    assert await filled.problems() == [("cut", 15)]


async def test_a_cut_tail_that_others_rows_have_grown_over(filled: Books, tmp_path: Path) -> None:
    await filled.tamper(lambda tx: tx.execute(delete(audit).where(audit.c.seq > 15)))
    restarted = await Books.open(filled.store, tmp_path)
    await restarted.requests(11, 20)
    assert await restarted.problems() == [("rewritten", 20)]


async def test_swapped_rows(filled: Books) -> None:
    def work(tx: Connection) -> None:
        for old, new in ((3, 1000), (5, 3), (1000, 5)):
            tx.execute(update(audit).where(audit.c.seq == old).values(seq=new))

    await filled.tamper(work)
    found = await filled.problems()
    assert ("changed", 3) in found and ("changed", 5) in found


async def test_an_inserted_row(filled: Books) -> None:
    def work(tx: Connection) -> None:
        row = tx.execute(select(audit).where(audit.c.seq == 20)).mappings().one()
        tx.execute(insert(audit).values({**row, "seq": 21}))

    await filled.tamper(work)
    assert await filled.problems() == [("changed", 21)]


async def test_a_table_written_anew_by_one_who_has_the_key(filled: Books, tmp_path: Path) -> None:
    def work(tx: Connection) -> None:
        rows = tx.execute(select(audit).order_by(audit.c.seq)).mappings().all()
        tx.execute(delete(audit))
        seq, mac = 0, ""
        for row in rows:
            if row["request_id"] == "r4":  # this request never was
                continue
            link = next_link(filled.keys, row["chain"], seq, mac, row["record"])
            seq, mac = link.seq, link.mac
            tx.execute(insert(audit).values({**row, **msgspec.structs.asdict(link)}))

    await filled.tamper(work)
    assert await filled.problems() == [("cut", 18)]
    restarted = await Books.open(filled.store, tmp_path)
    await restarted.requests(11, 11)
    assert await filled.problems() == [("rewritten", 20)]


async def test_a_second_place_that_is_told_another_story_later_keeps_to_the_first(filled: Books) -> None:
    """By one who has database and key, and may append to the second place: what a gateway may."""

    def work(tx: Connection) -> None:
        newest = tx.execute(select(audit).order_by(audit.c.seq.desc()).limit(2)).mappings().all()
        tx.execute(delete(audit).where(audit.c.seq == newest[0]["seq"]))
        record = newest[0]["record"].replace('"completion":12', '"completion":1')
        link = next_link(filled.keys, newest[0]["chain"], newest[1]["seq"], newest[1]["mac"], record)
        tx.execute(insert(audit).values({**newest[0], **msgspec.structs.asdict(link)}))
        filled.heads.write(Head(link.chain, link.seq, link.mac, link.key_id, START + 1000))

    filled.heads._written.clear()
    await filled.tamper(work)
    assert await filled.problems() == [("rewritten", 20)]


async def test_another_ring_of_keys(filled: Books, tmp_path: Path) -> None:
    await filled.requests(11, 11)
    filled.write_head()
    report = await filled.verify(keys=Keys.open(tmp_path / "other.json"))
    assert [(problem.code, problem.seq) for problem in report.problems] == [("forged_head", None), ("unknown_key", 1)]


async def test_a_chain_that_vanished(filled: Books) -> None:
    await filled.tamper(lambda tx: tx.execute(delete(audit)))
    assert await filled.problems() == [("vanished", None)]


async def test_a_second_place_that_is_gone_or_was_never_named(filled: Books) -> None:
    filled.heads.path.unlink()
    assert await filled.problems() == [("no_heads", None)]


async def test_a_forged_head_and_a_torn_last_line(filled: Books) -> None:
    line = filled.heads.path.read_bytes()
    forged = line.replace(b'\\"seq\\":20', b'\\"seq\\":99')
    filled.heads.path.write_bytes(line + forged + b"nonsense\n" + line[:40])
    report = await filled.verify()
    assert [problem.code for problem in report.problems] == ["forged_head", "forged_head"]
    assert "line 2" in report.problems[0].text and "line 3" in report.problems[1].text


async def test_many_problems_are_counted_and_not_all_told(filled: Books) -> None:
    await filled.requests(11, 80)
    await filled.tamper(lambda tx: tx.execute(update(audit).values(mac="0" * 64)))
    report = await filled.verify()
    assert len(report.chains[0].problems) == 100
    assert report.chains[0].more_problems > 50


# --- seals


def seal_row(seal: Seal, signed: Signed) -> dict[str, object]:
    place = {"chain": seal.chain, "first_seq": seal.first_seq, "last_seq": seal.last_seq}
    return place | msgspec.structs.asdict(signed)


async def test_a_seal_that_nobody_signed(filled: Books, tmp_path: Path) -> None:
    """The triggers let rows under a seal be deleted; so forge one, delete, and see it found."""
    seal = Seal("gateway-1", 1, 6, "", "0" * 64, START)
    signed = sign_statement(Keys.open(tmp_path / "other.json"), seal)
    stolen = Signed(signed.record, filled.keys.current, signed.mac)
    await filled.store.write(lambda tx: tx.execute(insert(audit_seal), seal_row(seal, stolen)))
    await filled.store.write(lambda tx: tx.execute(delete(audit).where(audit.c.seq <= 6)))
    assert await filled.problems() == [("forged_seal", 1), ("missing", 7)]


async def test_a_seal_by_one_who_has_the_key_but_not_the_second_place(filled: Books) -> None:
    last = await filled.store.read(lambda c: c.scalar(select(audit.c.mac).where(audit.c.seq == 6)))
    seal = Seal("gateway-1", 1, 6, "", str(last), START)
    await filled.store.write(
        lambda tx: tx.execute(insert(audit_seal), seal_row(seal, sign_statement(filled.keys, seal)))
    )
    await filled.store.write(lambda tx: tx.execute(delete(audit).where(audit.c.seq <= 6)))
    assert await filled.problems() == [("forged_seal", 1)]


async def test_a_genuine_seal_stretched_over_more_rows(filled: Books) -> None:
    await retain(filled.store, filled.keys, filled.heads, before=START + 4, now=START + 20)
    assert await filled.problems() == []
    await filled.tamper(lambda tx: tx.execute(update(audit_seal).values(last_seq=12)))
    await filled.store.write(lambda tx: tx.execute(delete(audit).where(audit.c.seq <= 12)))
    assert await filled.problems() == [("forged_seal", 1), ("missing", 13)]


async def test_retention_under_a_forged_seal_deletes_nothing(filled: Books, tmp_path: Path) -> None:
    seal = Seal("gateway-1", 1, 6, "", "0" * 64, START)
    signed = sign_statement(Keys.open(tmp_path / "other.json"), seal)
    await filled.store.write(lambda tx: tx.execute(insert(audit_seal), seal_row(seal, signed)))
    (done,) = await retain(filled.store, filled.keys, filled.heads, before=START + 9, now=START + 20)
    assert done.deleted == 0 and done.broken is not None
    assert (await filled.verify()).chains[0].rows == 20


async def test_a_deleted_seal(filled: Books) -> None:
    await retain(filled.store, filled.keys, filled.heads, before=START + 4, now=START + 20)
    await filled.tamper(lambda tx: tx.execute(delete(audit_seal)))
    assert await filled.problems() == [("missing", 7)]


async def test_rows_put_back_under_a_seal_hide_nothing(filled: Books) -> None:
    await retain(filled.store, filled.keys, filled.heads, before=START + 4, now=START + 20)
    forged = {"chain": "gateway-1", "seq": 2, "at": 1.0, "row_type": "opened", "request_id": "x", "record": "{}"}
    await filled.store.write(lambda tx: tx.execute(insert(audit).values(**forged, key_id="", mac="")))
    await filled.append(opened(30))
    assert (await filled.verify()).chains[0].rows == 15
