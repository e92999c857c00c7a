"""Reading the audit as people do: one entry for each request, with how it ended, and one for each event.

Pages are found by where the last one ended (`Place`), never by counting; so the millionth costs what the first does.
What no index finds is looked for row by row, a bounded number of them for a page (`look_through`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, Select, select, tuple_

from cellar_hub.audit.rows import Event, Interrupted, Opened, Settled, parse_record
from cellar_hub.store.tables import audit, is_entry, is_event, is_opened

PAGE = 500
STEP = 1000
MOST_LOOKED = 10_000
"""Rows that one page looks through where no index finds what is searched for."""
OPEN = "open"
FAILED = ".failed"
"""Behind the name of an event of which only the attempt was made."""
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

    @property
    def outcome(self) -> str:
        """Of a request; empty for an event."""
        if isinstance(self.row, Event):
            return ""
        return OPEN if self.end is None else self.end.outcome if isinstance(self.end, Settled) else "interrupted"


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """`since` <= time < `until`, in seconds of the epoch. `user`: who asked, or who acted. None: whatever it is.

    All that is said must be true of an entry. `subject` and `action` are true of events only, `model` and `outcome` of
    requests only. An `action` is its failed attempts, too.
    """

    since: float | None = None
    until: float | None = None
    user: str | None = None
    model: str | None = None
    subject: str | None = None
    request_id: str | None = None
    events_only: bool = False
    action: str | None = None
    outcome: str | None = None

    @property
    def indexed(self) -> Search:
        """The part of it that one index answers, the narrowest first."""
        part = Search(since=self.since, until=self.until, request_id=self.request_id)
        for name in ("subject", "user", "model"):
            if getattr(self, name) is not None:
                return msgspec.structs.replace(part, **{name: getattr(self, name)})
        return msgspec.structs.replace(part, events_only=self.events_only or self.action is not None)

    def takes(self, entry: Entry) -> bool:
        """Whether it is true of one that was found by the indexed part."""
        row = entry.row
        if isinstance(row, Event):
            said = {"user": row.actor, "subject": row.subject, "action": row.action}
        elif self.events_only:
            return False
        else:
            said = {"user": row.user, "model": row.model, "outcome": entry.outcome}
        found = self.indexed
        for name in ("user", "subject", "model", "action", "outcome"):
            wanted, there = getattr(self, name), said.get(name)
            if wanted in (None, there, getattr(found, name)):
                continue
            if there is None or name != "action" or there.removesuffix(FAILED) != wanted:
                return False
        return True


class Looked(msgspec.Struct, frozen=True):
    """A page of what was looked for. `rows`: how many were looked through. `go_on`: from where more may be found; None:
    there is no more."""

    entries: list[Entry]
    rows: int
    go_on: Place | None


def find_entries(
    conn: Connection, search: Search, *, after: Place | None = None, newest_first: bool = True, limit: int = PAGE
) -> list[Entry]:
    """One page. `after`: the place of the last entry of the page before."""
    rows = conn.execute(page_query(search, after, newest_first, limit)).all()
    ends = _ends(conn, [row.request_id for row in rows if row.request_id is not None])
    return [Entry(Place(r.at, r.chain, r.seq), _readable(r.record, r.at), ends.get(r.request_id or "")) for r in rows]


def look_through(
    conn: Connection, search: Search, *, after: Place | None = None, limit: int = PAGE, most: int = MOST_LOOKED
) -> Looked:
    """One page, the newest first, of whatever may be searched for: by an index where one answers it, else through at
    most about `most` rows that one finds, which may be a page of nothing with more behind it."""
    walked = search.indexed
    if walked == search:
        found = find_entries(conn, search, after=after, limit=limit + 1)
        return Looked(found[:limit], len(found[:limit]), found[limit - 1].place if len(found) > limit else None)
    found, rows = [], 0
    while rows < most:
        page = find_entries(conn, walked, after=after, limit=STEP)
        for entry in page:
            rows, after = rows + 1, entry.place
            if search.takes(entry):
                found.append(entry)
                if len(found) == limit:
                    return Looked(found, rows, after)
        if len(page) < STEP:
            return Looked(found, rows, None)
    return Looked(found, rows, after)


def all_entries(conn: Connection, search: Search) -> Iterator[Entry]:
    """Everything that matches, oldest first, page by page."""
    after: Place | None = None
    while page := find_entries(conn, search.indexed, after=after, newest_first=False, limit=PAGE):
        yield from filter(search.takes, page)
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
