"""The distribution's Chromium, once for a whole run, for every room whose tests look at pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Playwright

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
def _playwright() -> Iterator[Playwright]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is missing")
    if chromium() is None:
        pytest.skip("Chromium is missing: `apt-get install chromium`, or set CELLAR_CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        yield playwright


def headless() -> bool:
    return os.environ.get("HEADLESS", "1") != "0"


@pytest.fixture(scope="session")
def browser(_playwright: Playwright) -> Iterator[Browser]:
    started = _playwright.chromium.launch(executable_path=chromium(), args=FLAGS, headless=headless())
    yield started
    started.close()


@pytest.fixture(scope="session")
def kept_context(_playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """One context that keeps what Chromium has compiled: JupyterLab loads with half of a new context's work.

    Whoever uses it forgets everything else between tests (`forget`).
    """
    started = _playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("browser"),
        executable_path=chromium(),
        args=FLAGS,
        headless=headless(),
        viewport={"width": 1280, "height": 800},
        locale="en-US",
    )
    yield started
    started.close()


def forget(context: BrowserContext) -> None:
    """Close the pages of a kept context but the first, then drop their cookies, storage and permissions."""
    first, *others = context.pages
    origins = {frame.url.split("/", 3)[2] for page in others for frame in page.frames if frame.url.startswith("http")}
    for page in others:
        page.unroute_all(behavior="ignoreErrors")  # an answer that a test has changed may still be on its way
        page.close()
    context.unroute_all(behavior="ignoreErrors")
    context.clear_cookies()
    context.clear_permissions()
    devtools = context.new_cdp_session(first)
    for origin in origins:
        kinds = "local_storage,indexeddb,service_workers,cache_storage"
        devtools.send("Storage.clearDataForOrigin", {"origin": f"http://{origin}", "storageTypes": kinds})
    devtools.detach()
