"""Does the audit say what was written? Walks every chain and finds what was changed, removed, moved or forged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, func, select
from sqlalchemy import Row as SqlRow

from cellar_hub.audit.chain import Forged, Link, Lost, Seal, Signed, link_holds, parse_statement
from cellar_hub.audit.heads import Known, read_heads
from cellar_hub.audit.keys import Keys, UnknownKey
from cellar_hub.audit.rows import Event, Interrupted, Opened, Settled, columns_of, parse_record
from cellar_hub.store.tables import audit, audit_seal

PAGE = 1000
MOST_PROBLEMS = 100  # of one chain that are told one by one

Code = Literal[
    "changed", "missing", "cut", "rewritten", "vanished", "unknown_key", "forged_seal", "forged_head", "no_heads"
]


class Problem(msgspec.Struct, frozen=True):
    """`seq`: the row it was seen at, where there is one."""

    chain: str
    seq: int | None
    code: Code
    text: str


class ChainReport(msgspec.Struct):
    """One chain. `sealed`: rows that retention has deleted. `unsettled`: requests that were opened and have no end.
    `lost`: what went when a backup was restored, as the one who did it has said; no problem, and told each time."""

    chain: str
    rows: int = 0
    sealed: int = 0
    first_seq: int = 0
    last_seq: int = 0
    unsettled: int = 0
    lost: list[Lost] = []
    problems: list[Problem] = []
    more_problems: int = 0

    def add(self, seq: int | None, code: Code, text: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(self.chain, seq, code, text))
        else:
            self.more_problems += 1


class Report(msgspec.Struct):
    chains: list[ChainReport]
    problems: list[Problem]  # of all chains, and of the second place

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def losses(self) -> list[Lost]:
        """Of all chains: what went when backups were restored."""
        return [lost for chain in self.chains for lost in chain.lost]


def verify(conn: Connection, keys: Keys, heads: Path | None) -> Report:
    """Check every chain on one snapshot (a fresh connection of `Store.read` or `Store.reading`), in bounded memory.
    `heads`: the file of the second place; None: there is none, and a cut tail or a rewritten chain cannot be seen."""
    problems: list[Problem] = []
    known = _known(heads, keys, problems)  # before the snapshot begins: a head must not be newer than the rows
    names = sorted({*chains(conn), *known.heads, *(seal.chain for seal in known.seals)})
    reports = [_verify_chain(conn, keys, name, known) for name in names]
    return Report(reports, [*problems, *(problem for report in reports for problem in report.problems)])


def walk(conn: Connection, chain: str, after: int) -> Iterator[SqlRow[Any]]:
    """The rows of a chain after a `seq`, in order, page by page."""
    rows = select(audit).where(audit.c.chain == chain).order_by(audit.c.seq).limit(PAGE)
    while page := conn.execute(rows.where(audit.c.seq > after)).all():
        yield from page
        after = page[-1].seq


def _known(heads: Path | None, keys: Keys, problems: list[Problem]) -> Known:
    if heads is None:
        return Known(None, {}, set(), [])
    try:
        known = read_heads(heads, keys)
    except OSError as error:
        problems.append(Problem("", None, "no_heads", f"{heads} cannot be read ({error.strerror})"))
        return Known(None, {}, set(), [])
    problems += [Problem("", None, "forged_head", text) for text in known.problems]
    return known


def chains(conn: Connection) -> list[str]:
    """The names of all chains, by one look into an index for each."""
    names = set()
    for table in (audit, audit_seal):
        name = conn.scalar(select(func.min(table.c.chain)))
        while name is not None:
            names.add(name)
            name = conn.scalar(select(func.min(table.c.chain)).where(table.c.chain > name))
    return sorted(names)


def _verify_chain(conn: Connection, keys: Keys, chain: str, known: Known) -> ChainReport:
    report = ChainReport(chain)
    opened: set[str] = set()
    seq, mac = check_seals(conn, keys, report, known)
    report.sealed, report.first_seq, report.last_seq = seq, seq + 1, seq
    for row in checked_rows(conn, keys, report, known, seq, mac):
        _follow(opened, row.record)
        report.rows += 1
        report.last_seq, mac = row.seq, row.mac
    if (lost := known.losses.get((chain, report.last_seq, mac))) is not None:  # nothing was written since
        report.lost.append(lost)
        report.last_seq = lost.last_seq
    report.unsettled = len(opened)
    newest = max(known.heads.get(chain, {}), default=0)
    if newest > report.last_seq == 0:
        report.add(None, "vanished", f"the chain has vanished; it had at least {newest} rows")
    elif newest > report.last_seq:
        report.add(report.last_seq, "cut", f"the rows {report.last_seq + 1} to {newest} at least were cut off")
    return report


def checked_rows(
    conn: Connection, keys: Keys, report: ChainReport, known: Known, seq: int, mac: str
) -> Iterator[SqlRow[Any]]:
    """The rows after that `seq` and MAC; what is wrong with one is in the report when it comes."""
    heads = known.heads.get(report.chain, {})
    unknown: set[str] = set()
    for row in walk(conn, report.chain, seq):
        lost = known.losses.get((report.chain, seq, mac))
        if lost is not None and row.seq == lost.last_seq + 1:
            report.lost.append(lost)
            seq, mac = lost.last_seq, lost.last_mac
        if row.seq != seq + 1:
            report.add(row.seq, "missing", f"rows {seq + 1} to {row.seq - 1} are missing")
        elif row.key_id in unknown:  # told once for a key that is not in the ring, not for each row
            report.more_problems += 1
        else:
            _check_row(keys, report, unknown, row, mac)
        if heads.get(row.seq, row.mac) != row.mac:
            report.add(row.seq, "rewritten", "the second place knows another row here: the chain was written anew")
        seq, mac = row.seq, row.mac
        yield row


def _check_row(keys: Keys, report: ChainReport, unknown: set[str], row: SqlRow[Any], previous_mac: str) -> None:
    link = Link(row.chain, row.seq, row.record, row.key_id, row.mac)
    try:
        if not link_holds(keys, link, previous_mac):
            report.add(row.seq, "changed", "this row, or its place, is not what was written")
            return
        columns = msgspec.structs.asdict(columns_of(parse_record(link.record)))
    except UnknownKey as error:
        unknown.add(error.key_id)
        report.add(row.seq, "unknown_key", f"{error}: what it has signed cannot be verified")
    except ValueError:
        report.add(row.seq, "changed", "this row cannot be read")
    else:
        if any(getattr(row, name) != value for name, value in columns.items()):
            report.add(row.seq, "changed", "a column of this row says something else than its record")


def check_seals(conn: Connection, keys: Keys, report: ChainReport, known: Known) -> tuple[int, str]:
    """`seq` and MAC that the first row has to go on from. A seal that does not hold hides nothing: the rows that it
    speaks of are reported as missing."""
    seq, mac = 0, ""
    seals = select(audit_seal).where(audit_seal.c.chain == report.chain).order_by(audit_seal.c.first_seq)
    for row in conn.execute(seals):
        try:
            seal = parse_statement(keys, Signed(row.record, row.key_id, row.mac))
        except (Forged, UnknownKey) as error:
            report.add(row.first_seq, "forged_seal", str(error))
            continue
        place = (row.chain, row.first_seq, row.last_seq)
        if not isinstance(seal, Seal) or (seal.chain, seal.first_seq, seal.last_seq) != place:
            report.add(row.first_seq, "forged_seal", "this seal was made for other rows")
        elif (seal.first_seq, seal.previous_mac) != (seq + 1, mac):
            report.add(row.first_seq, "forged_seal", "this seal does not go on from the one before")
        else:
            if not known.knows(seal, keys):
                report.add(row.first_seq, "forged_seal", "the second place does not know this seal")
            seq, mac = seal.last_seq, seal.last_mac
    return seq, mac


def _follow(opened: set[str], record: str) -> None:
    try:
        row = parse_record(record)
    except ValueError:
        return
    match row:
        case Opened():
            opened.add(row.request_id)
        case Settled() | Interrupted():
            opened.discard(row.request_id)
        case Event():
            pass
