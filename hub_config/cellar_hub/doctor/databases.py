"""Whether a database answers, and takes what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from ..store import Store
from ..store.engine import CONNECT_SECONDS, reason
from .findings import Failed


@contextmanager
def connection(url: str) -> Iterator[Connection]:
    """Failed says what the database said, without its address: a password stands in it."""
    options = {"connect_timeout": CONNECT_SECONDS} if url.startswith("postgresql") else {}
    engine = create_engine(url, connect_args=options)
    try:
        with engine.connect() as opened:
            yield opened
    except SQLAlchemyError as error:
        raise Failed(f"does not answer: {reason(error)}") from None
    finally:
        engine.dispose()


def hubs(url: str) -> str:
    with connection(url) as opened:
        opened.execute(text("SELECT 1"))
        return str(opened.dialect.name)


def books(url: str) -> str:
    """Raises StoreDown and SettingsError, too."""
    store = Store.open(url)
    asyncio.run(store.close())
    return f"{url.split(':')[0]} can be written"
