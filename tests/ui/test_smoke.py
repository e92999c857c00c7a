"""JupyterLab starts with Cellar in it."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.ui.lab import Lab


def test_jupyterlab_loads_the_extension(page: Page, lab: Lab) -> None:
    page.goto(lab.page_url())
    page.locator("#jupyterlab-splash").wait_for(state="hidden", timeout=30_000)
    page.locator("#cellar-panel").wait_for(state="attached")
