"""The notebook on a page as a person uses it, and small notebooks to open."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, Request, expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel


def code(source: str, id: str, outputs: list[dict[str, Any]] | None = None, count: int | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": id,
        "metadata": {},
        "source": source,
        "outputs": outputs or [],
        "execution_count": count,
    }


def markdown(source: str, id: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def error(name: str, message: str) -> dict[str, Any]:
    return {
        "output_type": "error",
        "ename": name,
        "evalue": message,
        "traceback": ["Traceback (most recent call last)", f"\x1b[31m{name}\x1b[39m: {message}"],
    }


def notebook(*cells: dict[str, Any]) -> str:
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)})


def prompt(model: FakeVLLM, number: int = -1) -> str:
    """All text of the last message of a request: the newest question with its context."""
    content = model.requests[number].body["messages"][-1]["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def posted_parts(request: Request) -> dict[str, Any]:
    """The context parts of a posted turn, by type."""
    body = request.post_data_json
    assert body is not None
    return {part["type"]: part for part in body["context"]}


class Notebook:
    """The current notebook. `cells` are those that are in the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root: Locator = page.locator(".jp-NotebookPanel .jp-Notebook")
        self.cells = self.root.locator(".jp-Cell")
        self.error_buttons = self.root.locator(".jp-Cellar-errorActions")

    def editor(self, index: int) -> Locator:
        return self.cells.nth(index).locator(".cm-content")

    def click(self, index: int) -> None:
        """Put the caret into a cell."""
        self.editor(index).click()
        expect(self.cells.nth(index)).to_have_class(has_class("jp-mod-active"))

    def wait_for_kernel(self) -> None:
        """A cell that is run from now on is executed, and the notebook has its kernel's name and language."""
        self.page.evaluate(
            """async () => {
                 const {sessionContext} = window.jupyterapp.shell.currentWidget;
                 await sessionContext.ready;
                 await sessionContext.session.kernel.info;
               }"""
        )
        # JupyterLab writes both into the notebook when they arrive, and asks who closes it then whether to save.
        self.page.wait_for_function(
            """() => {
                 const {language_info, kernelspec} = window.jupyterapp.shell.currentWidget.content.model.metadata;
                 return language_info?.version && kernelspec?.display_name !== "Python 3";
               }"""
        )

    def run(self, index: int) -> None:
        self.click(index)
        self.page.keyboard.press("Control+Enter")

    def sources(self) -> list[str]:
        """Of all cells, from the live model."""
        found: list[str] = self.page.evaluate(
            """() => Array.from(window.jupyterapp.shell.currentWidget.content.model.cells)
                 .map(cell => cell.sharedModel.getSource())"""
        )
        return found

    def expect_sources(self, *sources: str) -> None:
        self.page.wait_for_function(
            """wanted => JSON.stringify(Array.from(window.jupyterapp.shell.currentWidget.content.model.cells)
                 .map(cell => cell.sharedModel.getSource())) === JSON.stringify(wanted)""",
            arg=list(sources),
        )


def has_class(name: str) -> re.Pattern[str]:
    """Matches an element that has this class among others."""
    return re.compile(rf"(^|\s){re.escape(name)}(\s|$)")


def open_notebook(panel: Panel, lab: Lab, *cells: dict[str, Any], name: str = "work.ipynb") -> Notebook:
    """Write a notebook, open it beside the panel and wait until its cells are there."""
    lab.write(name, notebook(*cells))
    panel.open(f"lab/tree/{name}")
    opened = Notebook(panel.page)
    expect(opened.cells).to_have_count(len(cells))
    return opened
