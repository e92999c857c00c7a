"""The chat panel as a person uses it: what can be clicked and read, by role and by class."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab


class Panel:
    """The panel on one page. `root`, `composer` and `transcript` are Playwright locators."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page = page
        self.lab = lab
        self.root: Locator = page.locator(".jp-Cellar-panel")

    def open(self, path: str = "lab") -> Panel:
        """Load JupyterLab (or Notebook 7: `path="notebooks/sample.ipynb"`) and show the panel."""
        self.page.goto(self.lab.page_url(path))
        if path.startswith("lab"):
            self.page.locator("#jupyterlab-splash").wait_for(state="hidden", timeout=30_000)
        self.root.wait_for(state="attached", timeout=30_000)
        return self

    def expect_open(self) -> None:
        expect(self.root).to_be_visible()
