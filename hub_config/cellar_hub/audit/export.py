"""The audit as a file for people (CSV, which spreadsheets open) and for programs (JSON lines)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from cellar_hub.audit.entries import Entry, Search, all_entries
from cellar_hub.audit.rows import Event, Interrupted, Opened, Settled

Format = Literal["csv", "jsonl"]

CHUNK = 64 * 1024  # bytes
FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), also in full width."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a line; in CSV, these are the columns. Times are ISO 8601, UTC."""

    at: str
    type: Literal["request", "event"]
    user: str  # who asked, or who acted
    action: str = ""
    subject: str = ""
    request_id: str = ""
    groups: tuple[str, ...] = ()
    model: str = ""
    kind: str = ""
    mode: str = ""
    turn: str = ""
    client: str = ""
    token_id: str = ""
    max_tokens: int | None = None
    ended: str = ""
    status: int | None = None
    outcome: str = ""
    error_code: str = ""
    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    estimated: bool = False
    queued_ms: int | None = None
    ttft_ms: int | None = None
    total_ms: int | None = None
    question_mac: str = ""
    answer_mac: str = ""
    detail: dict[str, str | int] = {}
    chain: str
    seq: int


def export(conn: Connection, search: Search, format: Format) -> Iterator[bytes]:
    """Everything that matches, oldest first, in pieces of about CHUNK bytes; memory does not grow with the length."""
    write = _csv_lines if format == "csv" else _json_lines
    yield from _gather(write(map(entry_to_line, all_entries(conn, search))))


def entry_to_line(entry: Entry) -> Line:
    place, row = entry.place, entry.row
    if isinstance(row, Event):
        return Line(
            at=_iso(row.at),
            type="event",
            user=row.actor,
            action=row.action,
            subject=row.subject,
            detail=row.detail,
            chain=place.chain,
            seq=place.seq,
        )
    same: dict[str, Any] = {name: getattr(row, name) for name in Opened.__struct_fields__ if name != "at"}
    return Line(at=_iso(row.at), type="request", chain=place.chain, seq=place.seq, **same, **_end_fields(entry.end))


def _end_fields(end: Settled | Interrupted | None) -> dict[str, Any]:
    if end is None:
        return {}
    if isinstance(end, Interrupted):
        return {"ended": _iso(end.at), "outcome": "interrupted"}
    same = {name: getattr(end, name) for name in Settled.__struct_fields__ if name not in ("at", "request_id")}
    return {"ended": _iso(end.at), **same}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _gather(pieces: Iterator[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _json_lines(lines: Iterator[Line]) -> Iterator[bytes]:
    for line in lines:
        yield msgspec.json.encode(line) + b"\n"


def _csv_lines(lines: Iterator[Line]) -> Iterator[bytes]:
    """With a byte order mark: without one, Excel reads Korean names as something else."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)

    def taken() -> bytes:
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text.encode()

    writer.writerow(Line.__struct_fields__)
    yield b"\xef\xbb\xbf" + taken()
    for line in lines:
        writer.writerow([cell(getattr(line, name)) for name in Line.__struct_fields__])
        yield taken()


def cell(value: object) -> str | int | bool | None:
    """A value as a spreadsheet's cell. A text that would be a formula gets an apostrophe before it."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, tuple):
        value = " ".join(value)
    elif isinstance(value, dict):
        value = msgspec.json.encode(value).decode() if value else ""
    text = str(value)
    return "'" + text if text[:1] in FORMULA else text
