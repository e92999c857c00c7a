"""Reading the audit as people do: one entry for each request, with how it ended, and one for each event.

Pages are found by where the last one ended (`Place`), never by counting; so the millionth costs what the first does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, Select, select, tuple_

from cellar_hub.audit.rows import Event, Interrupted, Opened, Settled, parse_record
from cellar_hub.store.tables import audit, is_entry, is_event, is_opened

PAGE = 500
UNREADABLE = "unreadable"

Found = Select[tuple[float, str, int, str | None, str]]


class Place(msgspec.Struct, frozen=True):
    """Where an entry stands in the order of time."""

    at: float
    chain: str
    seq: int


class Entry(msgspec.Struct, frozen=True):
    """A request with its end (None: under way, or its process was killed and has not come back), or an event."""

    place: Place
    row: Opened | Event
    end: Settled | Interrupted | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """`since` <= time < `until`, in seconds of the epoch. `user`: who asked, or who acted. None: whatever it is.

    All that is said must be true of an entry. `subject` is true of events only, `model` of requests only.
    """

    since: float | None = None
    until: float | None = None
    user: str | None = None
    model: str | None = None
    subject: str | None = None
    request_id: str | None = None
    events_only: bool = False


def find_entries(
    conn: Connection, search: Search, *, after: Place | None = None, newest_first: bool = True, limit: int = PAGE
) -> list[Entry]:
    """One page. `after`: the place of the last entry of the page before."""
    rows = conn.execute(page_query(search, after, newest_first, limit)).all()
    ends = _ends(conn, [row.request_id for row in rows if row.request_id is not None])
    return [Entry(Place(r.at, r.chain, r.seq), _readable(r.record, r.at), ends.get(r.request_id or "")) for r in rows]


def all_entries(conn: Connection, search: Search) -> Iterator[Entry]:
    """Everything that matches, oldest first, page by page."""
    after: Place | None = None
    while page := find_entries(conn, search, after=after, newest_first=False, limit=PAGE):
        yield from page
        after = page[-1].place


def page_query(search: Search, after: Place | None, newest_first: bool, limit: int) -> Found:
    """Each search has an index that gives its rows in the order of the page."""
    query = _matching(search)
    order = [audit.c.at, audit.c.chain, audit.c.seq]
    if after is not None:
        last = tuple_(after.at, after.chain, after.seq)
        past = tuple_(*order) < last if newest_first else tuple_(*order) > last
        query = query.where(past, audit.c.at <= after.at if newest_first else audit.c.at >= after.at)
    return query.order_by(*(column.desc() if newest_first else column.asc() for column in order)).limit(limit)


def _readable(record: str, at: float) -> Opened | Event:
    """A row that somebody has spoiled hides no other one; `verify` says what is wrong with it."""
    try:
        row = parse_record(record)
    except ValueError:
        row = None
    return row if isinstance(row, Opened | Event) else Event(at=at, actor="", action=UNREADABLE)


def _matching(search: Search) -> Found:
    query = select(audit.c.at, audit.c.chain, audit.c.seq, audit.c.request_id, audit.c.record).where(is_entry)
    if search.request_id is not None:
        query = query.where(audit.c.request_id == search.request_id)
    if search.subject is not None or search.events_only:
        query = query.where(is_event)
    if search.model is not None:
        query = query.where(is_opened, audit.c.model == search.model)
    if search.subject is not None:
        query = query.where(audit.c.subject == search.subject)
    if search.user is not None:
        query = query.where(audit.c.user_name == search.user)
    if search.since is not None:
        query = query.where(audit.c.at >= search.since)
    if search.until is not None:
        query = query.where(audit.c.at < search.until)
    return query


def _ends(conn: Connection, request_ids: Sequence[str]) -> dict[str, Settled | Interrupted]:
    if not request_ids:
        return {}
    rows = select(audit.c.record).where(audit.c.request_id.in_(request_ids), audit.c.row_type != "opened")
    ends: dict[str, Settled | Interrupted] = {}
    for record in conn.scalars(rows.order_by(audit.c.chain, audit.c.seq)):
        try:
            end = parse_record(record)
        except ValueError:
            continue
        if isinstance(end, Settled | Interrupted):
            ends.setdefault(end.request_id, end)
    return ends
