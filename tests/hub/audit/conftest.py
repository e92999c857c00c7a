from __future__ import annotations

from pathlib import Path

import pytest_asyncio
from cellar_hub.store import Store

from tests.hub.audit.books import Books


@pytest_asyncio.fixture
async def books(store: Store, tmp_path: Path) -> Books:
    """An empty audit."""
    return await Books.open(store, tmp_path)
