"""Deleting what is older than the site keeps, without a hole that could hide something else.

For each chain: verify the rows that are too old, sign a seal of them, write it to the second place and then into the
database, and only then delete them (the triggers let nothing else be deleted). Killed in between, it goes on next time.
Rows that do not verify are not deleted: they are evidence.
"""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
from sqlalchemy import Connection, delete, func, select

from cellar_hub.audit.chain import Seal, Signed, sign_statement
from cellar_hub.audit.heads import Heads, Known, read_heads
from cellar_hub.audit.keys import Keys
from cellar_hub.audit.verify import ChainReport, chains, check_seals, checked_rows
from cellar_hub.store import Store
from cellar_hub.store.tables import audit, audit_seal

WALK_SECONDS = 3600.0  # for verifying what is too old
AT_ONCE = 500  # rows in one delete: requests share the writer with it


class Retained(msgspec.Struct, frozen=True):
    """What became of one chain. `broken`: why nothing of it was sealed; then look with `verify`."""

    chain: str
    deleted: int
    broken: str | None = None


async def retain(store: Store, keys: Keys, heads: Heads, *, before: float, now: float) -> list[Retained]:
    """Delete rows from before that moment (seconds of the epoch). A chain's last row always stays.

    Raises StoreDown; OSError when the second place cannot be read or written, before anything is deleted.
    """
    known = await asyncio.to_thread(read_heads, heads.path, keys)
    done = []
    for chain in await store.read(chains):
        find = partial(_find_segment, keys=keys, known=known, chain=chain, before=before, now=now)
        seal, sealed, broken = await store.read(find, patience=WALK_SECONDS)
        if seal is not None:
            await asyncio.to_thread(heads.write, seal)
            await store.write(partial(_insert_seal, seal=seal, signed=sign_statement(keys, seal)))
        done.append(Retained(chain, await _delete(store, chain, sealed), broken))
    return done


def _find_segment(
    conn: Connection, *, keys: Keys, known: Known, chain: str, before: float, now: float
) -> tuple[Seal | None, int, str | None]:
    """A seal of what is too old, if anything is; up to which `seq` rows may be deleted under it and the seals before;
    and why nothing may be, if something does not verify."""
    report = ChainReport(chain)
    start, previous = check_seals(conn, keys, report, known)
    newest = conn.scalar(select(func.max(audit.c.seq)).where(audit.c.chain == chain)) or 0
    seq, mac = start, previous
    for row in checked_rows(conn, keys, report, known, start, previous):
        if row.at >= before or row.seq == newest or report.problems:
            break
        seq, mac = row.seq, row.mac
    if report.problems:
        return None, 0, report.problems[0].text
    return Seal(chain, start + 1, seq, previous, mac, now) if seq > start else None, seq, None


def _insert_seal(tx: Connection, seal: Seal, signed: Signed) -> None:
    place = {"chain": seal.chain, "first_seq": seal.first_seq, "last_seq": seal.last_seq}
    tx.execute(audit_seal.insert(), place | msgspec.structs.asdict(signed))


async def _delete(store: Store, chain: str, sealed: int) -> int:
    """In small pieces, because requests wait for the same writer."""
    deleted = 0
    while some := await store.write(partial(_delete_some, chain=chain, sealed=sealed)):
        deleted += some
    return deleted


def _delete_some(tx: Connection, chain: str, sealed: int) -> int:
    oldest = select(audit.c.seq).where(audit.c.chain == chain, audit.c.seq <= sealed).order_by(audit.c.seq)
    some = tx.scalars(oldest.limit(AT_ONCE)).all()
    if not some:
        return 0
    return tx.execute(delete(audit).where(audit.c.chain == chain, audit.c.seq <= some[-1])).rowcount
