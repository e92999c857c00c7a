"""Appending to a chain. One AuditLog for each process; its functions run inside of `Store.write`."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from cellar_hub.audit.chain import Head, Link, next_link
from cellar_hub.audit.keys import Keys
from cellar_hub.audit.rows import Interrupted, Opened, Row, Settled, bounded, columns_of, row_to_record
from cellar_hub.store import after_commit, waiting_calls
from cellar_hub.store.tables import audit, audit_open

log = logging.getLogger(__name__)

# Built once: building a statement costs more than SQLite needs to run it.
_APPEND = audit.insert()
_REMEMBER_OPEN = audit_open.insert()
_FORGET_OPEN = delete(audit_open).where(audit_open.c.request_id == bindparam("id"))
_NEWEST = (
    select(audit.c.seq, audit.c.mac, audit.c.key_id)
    .where(audit.c.chain == bindparam("chain"))
    .order_by(audit.c.seq.desc())
    .limit(1)
)


class AuditLog:
    """The chain of this process. It remembers its newest durable row: when the database's newest is an older one, rows
    have been cut off, and the next row goes on after the missing ones, so that the gap stays visible for ever."""

    def __init__(self, chain: str, keys: Keys, seq: int, mac: str, key_id: str) -> None:
        self.chain = chain
        self._keys = keys
        self._durable = (seq, mac, key_id)

    @classmethod
    def open(cls, tx: Connection, chain: str, keys: Keys) -> AuditLog:
        """Go on with a chain, or begin one."""
        return cls(chain, keys, *_newest(tx, chain))

    def append(self, tx: Connection, row: Row) -> None:
        """Write a row; it is durable when the `Store.write` around this returns."""
        row = bounded(row)
        seq, mac, _ = self._last(tx)
        link = next_link(self._keys, self.chain, seq, mac, row_to_record(row))
        columns = columns_of(row)
        tx.execute(_APPEND, msgspec.structs.asdict(link) | msgspec.structs.asdict(columns))
        if isinstance(row, Opened):
            tx.execute(_REMEMBER_OPEN, {"request_id": columns.request_id, "chain": self.chain})
        elif isinstance(row, Settled | Interrupted):
            tx.execute(_FORGET_OPEN, {"id": columns.request_id})
        after_commit(tx, _Durable(self, link))

    def interrupt_open(self, tx: Connection, now: float) -> int:
        """At start: what this chain opened and never settled, because its process was killed, gets an end. How many."""
        mine = select(audit_open.c.request_id).where(audit_open.c.chain == self.chain).order_by(audit_open.c.request_id)
        requests = list(tx.scalars(mine))
        for request_id in requests:
            self.append(tx, Interrupted(request_id=request_id, at=now))
        return len(requests)

    def head(self) -> Head:
        """The newest durable row, for the second place."""
        seq, mac, key_id = self._durable
        return Head(self.chain, seq, mac, key_id, time.time())

    def _last(self, tx: Connection) -> tuple[int, str, str]:
        for call in reversed(waiting_calls(tx)):  # requests that share a commit ask the database once
            if isinstance(call, _Durable) and call.log is self:
                return call.link.seq, call.link.mac, call.link.key_id
        newest = _newest(tx, self.chain)
        if newest[0] >= self._durable[0]:
            return newest
        log.error("audit chain %s: rows after %d have vanished", self.chain, newest[0])
        return self._durable

    def remember(self, link: Link) -> None:
        self._durable = (link.seq, link.mac, link.key_id)


@dataclass(frozen=True, eq=False)
class _Durable:
    """Called when a row has become durable; until then it is the transaction's newest row."""

    log: AuditLog
    link: Link

    def __call__(self) -> None:
        self.log.remember(self.link)


def _newest(tx: Connection, chain: str) -> tuple[int, str, str]:
    """`seq`, `mac`, `key_id` of a chain's last row. Retention always leaves one."""
    row = tx.execute(_NEWEST, {"chain": chain}).first()
    return (0, "", "") if row is None else (row.seq, row.mac, row.key_id)
