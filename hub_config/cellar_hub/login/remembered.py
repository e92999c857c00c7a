"""The throttle's counters in JupyterHub's database: what they counted survives the hub."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from .tables import THROTTLE, make_tables, write
from .throttle import Row


class Remembered:
    def __init__(self, db: Session) -> None:
        self._db = db
        make_tables(db)

    def rows(self) -> list[Row]:
        columns = THROTTLE.c
        query = select(columns.name, columns.failures, columns.last, columns.promised, columns.succeeded)
        return [Row(*row) for row in self._db.execute(query)]

    def keep(self, changed: Sequence[Row], gone: Sequence[str]) -> None:
        """Nothing is written when nothing has changed."""
        if not changed and not gone:
            return
        for row in changed:
            values = {
                "failures": row.failures,
                "last": row.last,
                "promised": row.promised,
                "succeeded": row.succeeded,
            }
            if not write(self._db, update(THROTTLE).where(THROTTLE.c.name == row.name).values(**values)):
                write(self._db, insert(THROTTLE).values(name=row.name, **values))
        for first in range(0, len(gone), 500):
            write(self._db, delete(THROTTLE).where(THROTTLE.c.name.in_(gone[first : first + 500])))
        self._db.commit()
