"""A site to back up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.backup.a_site import ASite


@pytest.fixture
def site(tmp_path: Path) -> ASite:
    return ASite(tmp_path / "backup").make()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where to write one."""
    return tmp_path / "site.tar"
