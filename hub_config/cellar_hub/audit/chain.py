"""Chains of rows in which tampering shows. Pure.

Each process has a chain of its own. A row's MAC is over its place, its record and the MAC of the row before. Whoever
changes, removes, inserts or swaps rows would have to sign everything after them again, for which they need a key of the
ring. Against one who has the key, or who cuts the newest rows off, heads are kept at a second place: a head says which
row was the last at some moment, and what its MAC was.

What retention removes leaves a seal: a signed statement of which rows are gone, and with which MAC the next goes on.
What a restored backup had not yet is a loss: the same, said by whoever restored it.
"""

from __future__ import annotations

import msgspec

from cellar_hub.audit.keys import Keys, Purpose


class Link(msgspec.Struct, frozen=True):
    """A row in its place. `seq` counts from 1; `record` is the row's canonical JSON."""

    chain: str
    seq: int
    record: str
    key_id: str
    mac: str


class Head(msgspec.Struct, frozen=True, tag="head", tag_field="statement"):
    """The last row of a chain at some moment (`at`, seconds of the epoch). `seq` 0: the chain is empty."""

    chain: str
    seq: int
    mac: str
    key_id: str
    at: float


class Seal(msgspec.Struct, frozen=True, tag="seal", tag_field="statement"):
    """The rows from `first_seq` to `last_seq` were verified and deleted. `previous_mac`, `last_mac`: of the row before
    the first, and of the last."""

    chain: str
    first_seq: int
    last_seq: int
    previous_mac: str
    last_mac: str
    at: float


class Lost(msgspec.Struct, frozen=True, tag="lost", tag_field="statement"):
    """The rows from `first_seq` to `last_seq` at least went when somebody put a backup of before in the database's
    place. The chain goes on behind them: `previous_mac`, `last_mac` as of a seal."""

    chain: str
    first_seq: int
    last_seq: int
    previous_mac: str
    last_mac: str
    at: float
    by: str
    backup: str  # when it was made, UTC


Statement = Head | Seal | Lost


class Signed(msgspec.Struct, frozen=True):
    """A head, a seal or a loss, as JSON, with its MAC: a line of the second place, or a row of the table of seals."""

    record: str
    key_id: str
    mac: str


class Forged(Exception):
    """A statement whose MAC is not that of its key."""


_statements: msgspec.json.Decoder[Statement] = msgspec.json.Decoder(Statement)


def next_link(keys: Keys, chain: str, seq: int, previous_mac: str, record: str) -> Link:
    """The row that comes after the one with `seq` and `previous_mac` (0 and "" before the first)."""
    mac = keys.sign("row", _message(chain, seq + 1, previous_mac, record))
    return Link(chain, seq + 1, record, keys.current, mac)


def link_holds(keys: Keys, link: Link, previous_mac: str) -> bool:
    """Whether a row is what was written there, and `previous_mac` that of the row before. Raises UnknownKey."""
    return keys.holds("row", _message(link.chain, link.seq, previous_mac, link.record), link.key_id, link.mac)


def sign_statement(keys: Keys, statement: Statement) -> Signed:
    record = msgspec.json.encode(statement)
    return Signed(record.decode(), keys.current, keys.sign(_purpose(statement), record))


def parse_statement(keys: Keys, signed: Signed) -> Statement:
    """Raises Forged, UnknownKey."""
    try:
        statement = _statements.decode(signed.record)
    except ValueError:
        raise Forged("no statement at all") from None
    purpose = _purpose(statement)
    if not keys.holds(purpose, signed.record.encode(), signed.key_id, signed.mac):
        raise Forged(f"the signature of this {purpose} of chain {statement.chain} is not that of key {signed.key_id}")
    return statement


def _purpose(statement: Statement) -> Purpose:
    match statement:
        case Head():
            return "head"
        case Seal():
            return "seal"
        case Lost():
            return "lost"


def _message(chain: str, seq: int, previous_mac: str, record: str) -> bytes:
    return msgspec.json.encode((chain, seq, previous_mac, record))
