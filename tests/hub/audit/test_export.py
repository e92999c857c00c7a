"""Searching and exporting: one line for each request, safe in a spreadsheet, in memory that does not grow."""

from __future__ import annotations

import csv
import importlib
import io
import json
import tracemalloc
from functools import partial

import pytest
from cellar_hub.audit import Interrupted, Opened, Search, Settled, entries, export, find_entries
from cellar_hub.audit.entries import Entry, look_through, page_query
from cellar_hub.audit.export import Format, cell
from cellar_hub.store.tables import audit
from sqlalchemy import Connection, update

from tests.hub.audit.books import START, Books, event, opened, settled


@pytest.fixture
async def mixed(books: Books) -> Books:
    """Requests of Ada (1, 3), Bob (2) and one without an end (6), and what the admin did (4, 5)."""
    await books.append(opened(1), opened(2, user="bob", model="large"), settled(2, outcome="stopped"), settled(1))
    await books.append(opened(3), settled(3, outcome="error", status=502, error_code="model_down"))
    await books.append(event(4), event(5, subject="ada", action="user.unblock", detail={"why": "asked", "n": 1}))
    await books.append(opened(6, user="bob"))
    return books


async def found(books: Books, **search: object) -> list[str]:
    entries = await books.store.read(lambda c: find_entries(c, Search(**search)))  # type: ignore[arg-type] # a test's
    return [name(entry) for entry in entries]


def name(entry: Entry) -> str:
    return entry.row.request_id if isinstance(entry.row, Opened) else f"{entry.row.action}({entry.row.subject})"


async def exported(books: Books, format: Format, **search: object) -> str:
    def work(conn: Connection) -> bytes:
        return b"".join(export(conn, Search(**search), format))  # type: ignore[arg-type] # a test's

    return (await books.store.read(work)).decode("utf-8-sig")


async def test_entries_are_requests_with_their_ends_and_events(mixed: Books) -> None:
    entries = await mixed.store.read(lambda c: find_entries(c, Search()))
    assert [name(entry) for entry in entries] == ["r6", "user.unblock(ada)", "user.block(bob)", "r3", "r2", "r1"]
    ends = [entry.end.outcome if isinstance(entry.end, Settled) else None for entry in entries]
    assert ends == [None, None, None, "error", "stopped", "complete"]


async def test_searches(mixed: Books) -> None:
    assert await found(mixed, user="ada") == ["r3", "r1"]
    assert await found(mixed, user="root", events_only=True) == ["user.unblock(ada)", "user.block(bob)"]
    assert await found(mixed, subject="ada") == ["user.unblock(ada)"]
    assert await found(mixed, model="large") == ["r2"]
    assert await found(mixed, request_id="r3") == ["r3"]
    assert await found(mixed, request_id="r3", user="bob") == []
    assert await found(mixed, since=START + 2, until=START + 4) == ["r3", "r2"]
    assert await found(mixed, user="nobody") == []


async def looked(books: Books, limit: int = 50, most: int = 10_000, **search: object) -> list[list[str]]:
    """Page by page, as somebody reads them who goes on to the end."""

    def work(conn: Connection) -> list[list[str]]:
        pages, after = [], None
        while True:
            page = look_through(conn, Search(**search), after=after, limit=limit, most=most)  # type: ignore[arg-type]
            assert page.rows <= max(most, limit)
            pages.append([name(entry) for entry in page.entries])
            if (after := page.go_on) is None:
                return pages

    return await books.store.read(work)


async def test_an_event_or_an_outcome_is_looked_for_with_whatever_else_is_searched(mixed: Books) -> None:
    await mixed.append(event(7, action="user.block.failed"), opened(8), opened(9), settled(9))
    assert await looked(mixed, action="user.block") == [["user.block.failed(bob)", "user.block(bob)"]]
    assert await looked(mixed, action="user.block.failed") == [["user.block.failed(bob)"]]
    assert await looked(mixed, action="user.block", subject="ada") == [[]]
    assert await looked(mixed, action="user.unblock", user="root", until=START + 7) == [["user.unblock(ada)"]]
    assert await looked(mixed, outcome="complete") == [["r9", "r1"]]
    assert await looked(mixed, outcome="error", user="ada", model="small") == [["r3"]]
    assert await looked(mixed, outcome="open") == [["r8", "r6"]]
    assert await looked(mixed, outcome="complete", action="user.block") == [[]]
    assert await looked(mixed, user="root", events_only=True) == [
        ["user.block.failed(bob)", "user.unblock(ada)", "user.block(bob)"]
    ]
    assert await looked(mixed, model="large", user="ada") == [[]]
    lines = (await exported(mixed, "jsonl", outcome="open")).splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == ["r6", "r8"], "a file has the same"


async def test_a_page_looks_through_a_bounded_number_of_rows_and_the_next_goes_on_there(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "STEP", 4)
    for n in range(20):
        await books.append(opened(n), settled(n, outcome="error" if n in (0, 1, 15) else "complete"))
    assert await looked(books, outcome="error", most=8) == [["r15"], [], ["r1", "r0"]]
    assert await looked(books, outcome="error", limit=2) == [["r15", "r1"], ["r0"]]
    assert await looked(books, outcome="stopped", most=8) == [[], [], []]
    assert await looked(books, limit=8) == [
        [f"r{n}" for n in range(first, max(first - 8, -1), -1)] for first in (19, 11, 3)
    ]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_meet_without_a_gap_or_a_double(books: Books, newest_first: bool) -> None:
    for n in range(7):
        await books.append(opened(n), settled(n))
        await books.append(Opened(request_id=f"same{n}", at=START, user="a", groups=(), model="m", kind="chat"))

    def pages(conn: Connection) -> list[str]:
        names: list[str] = []
        after = None
        while page := find_entries(conn, Search(), after=after, newest_first=newest_first, limit=3):
            names += [name(entry) for entry in page]
            after = page[-1].place
        return names

    read = await books.store.read(pages)
    assert len(read) == len(set(read)) == 14
    assert read == [
        name(e) for e in await books.store.read(lambda c: find_entries(c, Search(), newest_first=newest_first))
    ]


async def test_an_interrupted_request_says_so(mixed: Books) -> None:
    await mixed.store.write(lambda tx: mixed.log.interrupt_open(tx, START + 9))
    (line,) = [json.loads(x) for x in (await exported(mixed, "jsonl", request_id="r6")).splitlines()]
    assert (line["outcome"], line["ended"]) == ("interrupted", "2026-11-28T03:00:09.000+00:00")
    entries = await mixed.store.read(lambda c: find_entries(c, Search(request_id="r6")))
    assert isinstance(entries[0].end, Interrupted)


async def test_json_lines_hold_what_is_known_oldest_first(mixed: Books) -> None:
    lines = [json.loads(line) for line in (await exported(mixed, "jsonl")).splitlines()]
    assert [line["request_id"] or line["action"] for line in lines] == [
        "r1", "r2", "r3", "user.block", "user.unblock", "r6",
    ]  # fmt: skip
    assert lines[2]["error_code"] == "model_down" and lines[2]["status"] == 502
    assert lines[0]["at"] == "2026-11-28T03:00:01.000+00:00"
    assert lines[4]["detail"] == {"why": "asked", "n": 1}


async def test_csv_has_a_header_a_byte_order_mark_and_the_same_lines(mixed: Books) -> None:
    content = await mixed.store.read(lambda c: b"".join(export(c, Search(user="bob"), "csv")))
    assert content.startswith(b"\xef\xbb\xbfat,type,user,")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [(row["request_id"], row["outcome"], row["prompt"], row["groups"]) for row in rows] == [
        ("r2", "stopped", "30", "staff"),
        ("r6", "", "", "staff"),
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert cell(start + "cmd|' /C calc'!A0") == "'" + start + "cmd|' /C calc'!A0"


def test_numbers_stay_numbers_and_nothing_stays_empty() -> None:
    assert [cell(-3), cell(None), cell(()), cell({}), cell("a=b"), cell(("=g", "h"))] == [
        -3,
        None,
        "",
        "",
        "a=b",
        "'=g h",
    ]


async def test_a_hostile_name_stays_in_its_cell(books: Books) -> None:
    hostile = '=HYPERLINK("http://x","a"),"\r\nb'
    await books.append(opened(1, user=hostile, mode="@SUM(1)"))
    rows = list(csv.DictReader(io.StringIO(await exported(books, "csv"), newline="")))
    assert len(rows) == 1
    assert rows[0]["user"] == "'" + hostile.replace("\r\n", "\ufffd\ufffd")
    assert rows[0]["mode"] == "'@SUM(1)"


async def test_an_empty_export_has_only_its_header(books: Books) -> None:
    assert (await exported(books, "csv")).count("\r\n") == 1
    assert await exported(books, "jsonl") == ""


async def fill(books: Books, requests: int) -> None:
    def work(tx: Connection, first: int) -> None:
        for n in range(first, first + 100):
            books.log.append(tx, opened(n))
            books.log.append(tx, settled(n))

    for first in range(0, requests, 100):
        await books.store.write(partial(work, first=first))


async def test_memory_does_not_grow_with_the_export(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "PAGE", 50)
    monkeypatch.setattr(importlib.import_module("cellar_hub.audit.export"), "CHUNK", 4096)
    await fill(books, 1000)

    def peak(conn: Connection, until: float) -> tuple[int, int]:
        size = 0
        tracemalloc.start()
        for piece in export(conn, Search(until=START + until), "csv"):
            size += len(piece)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size, most

    await books.store.read(partial(peak, until=100))  # what is compiled and cached once
    small, some = await books.store.read(partial(peak, until=200))
    large, more = await books.store.read(partial(peak, until=1000))
    assert large > 4 * small
    assert more < 2 * some


async def test_every_search_is_answered_from_an_index(books: Books) -> None:
    await fill(books, 1000)
    await books.append(*(event(n) for n in range(20)))
    searches = [
        Search(since=START, until=START + 5),
        Search(user="ada"),
        Search(user="nobody", since=START),
        Search(model="nothing"),
        Search(subject="bob"),
        Search(events_only=True),
        Search(request_id="r7"),
    ]

    def unindexed(conn: Connection) -> list[str]:
        explain = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        found = []
        for search in searches:
            statement = page_query(search, None, True, 50).compile(conn.engine, compile_kwargs={"literal_binds": True})
            plan = "\n".join(str(row) for row in conn.exec_driver_sql(f"{explain} {statement}"))
            if "Seq Scan" in plan or "ix_cellar_audit" not in plan:
                found.append(f"{search}\n{plan}")
        return found

    if await books.store.read(lambda c: c.dialect.name) == "postgresql":  # does it by itself, after a while
        await books.store.write(lambda tx: tx.exec_driver_sql("ANALYZE"))
    assert await books.store.read(unindexed) == []


async def test_a_spoiled_row_hides_no_other(mixed: Books) -> None:
    await mixed.tamper(lambda tx: tx.execute(update(audit).where(audit.c.seq.in_([3, 5])).values(record="{")))
    assert await found(mixed) == ["r6", "user.unblock(ada)", "user.block(bob)", "unreadable()", "r2", "r1"]
    assert len((await exported(mixed, "jsonl")).splitlines()) == 6
