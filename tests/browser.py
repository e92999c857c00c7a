"""The distribution's Chromium, once for a whole run, for every room whose tests look at pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
]


def chromium() -> str | None:
    """Its path, or the one CELLAR_CHROMIUM names."""
    named = os.environ.get("CELLAR_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is missing")
    path = chromium()
    if path is None:
        pytest.skip("Chromium is missing: `apt-get install chromium`, or set CELLAR_CHROMIUM to its path")
    headless = os.environ.get("HEADLESS", "1") != "0"
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS, headless=headless)
        yield started
        started.close()
