"""A user in front of a browser: logs in, waits for the workspace, opens the panel, works in a notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from tests.docker.site.installation import Installation
from tests.ui.lab import wait_until
from tests.ui.panel import Panel

SPAWN = 120.0  # seconds for a workspace to start on a busy machine


class HubPanel(Panel):
    """The panel in a workspace, opened as its user does: JupyterLab does not show its objects to the page there."""

    def __init__(self, page: Page) -> None:
        super().__init__(page, None)  # type: ignore[arg-type]  # there is no server of the test's own to ask

    def wait_for_app(self) -> None:
        """Chromium gives up what it loads when an interface of its machine changes, and here it shares that machine
        with Docker, which makes one for each network: a page that lost a file is loaded again, as its user would."""
        for patience in (30_000, 30_000, 60_000):
            try:
                expect(self.page.locator(".jp-SideBar.jp-mod-right")).to_be_visible(timeout=patience)
                self.page.locator("#jupyterlab-splash, .jp-Splash").first.wait_for(state="detached", timeout=patience)
                return
            except (AssertionError, TimeoutError):
                self.page.reload()
        raise AssertionError("JupyterLab did not come up")

    def close_dialogs(self) -> None:
        """JupyterLab lays one over the page when its server did not answer for a while. What is typed goes there."""
        closing = self.page.locator(".jp-Dialog .jp-Dialog-footer button").first
        while closing.is_visible():
            closing.click()

    def ask(self, text: str) -> None:
        """When the server has answered and the conversation that was shown last is read: a page shows its turns a
        moment after the panel, and they are none of this question's."""
        self.close_dialogs()
        expect(self.composer.locator(".jp-Cellar-model")).not_to_have_class(re.compile("jp-mod-loading"))
        expect(self.root.locator(".jp-Cellar-opening")).to_have_count(0)
        super().ask(text)

    def show(self) -> None:
        wait_until(self._shown, "the panel to be shown")

    def _shown(self) -> bool:
        """JupyterLab may open it by itself a moment after the page is there, and the click then closes it again."""
        self.close_dialogs()
        if not self.text.is_visible():
            self.page.locator('.jp-SideBar.jp-mod-right li[data-id="cellar-panel"]').click()
        try:
            expect(self.text).to_be_visible(timeout=3000)
        except AssertionError:
            return False
        return True


class Person:
    """One user, one browser context, one page."""

    everybody: ClassVar[list[Person]] = []

    def __init__(self, installation: Installation, browser: Browser, name: str, shots: Path, locale: str) -> None:
        self.installation = installation
        self.name = name
        self.shots = shots
        self.context = browser.new_context(viewport={"width": 1280, "height": 800}, locale=locale)
        self.context.set_default_timeout(60_000)  # ms; a busy machine takes its time, and only a failure waits so long
        self.page = self.context.new_page()
        self.panel = HubPanel(self.page)
        Person.everybody.append(self)

    def url(self, path: str = "") -> str:
        """Of something below the user's server."""
        return f"{self.installation.origin(self.name)}/user/{self.name}/{path}"

    def shot(self, what: str) -> None:
        self.shots.mkdir(exist_ok=True, parents=True)
        self.page.screenshot(path=self.shots / f"{what}.png")

    # --- the way in

    def log_in(self, path: str = "hub/login") -> None:
        self.page.goto(f"{self.installation.url}/{path}")
        self.page.locator("#username_input").fill(self.name)
        self.page.locator("input[name=password]").first.fill(self.installation.passwords[self.name])

    def submit(self) -> None:
        """Returns when the hub's answer is there: while the workspace starts, that is the page with its progress."""
        self.press_submit()
        self.page.wait_for_url(re.compile(r"/hub/spawn|/user/"))

    def press_submit(self) -> None:
        self.page.locator("#login_submit, input[type=submit], button[type=submit]").first.click()

    def watch_spawn(self) -> None:
        """Until a step of the start is told, or it was too fast to be read."""
        told = self.page.locator("#progress-log").get_by_text(re.compile("workspace|network|JupyterLab"))
        here = self.page.locator("#jp-top-panel, #main.jp-LabShell")
        told.or_(here).first.wait_for(state="attached", timeout=60_000)

    def wait_for_workspace(self) -> None:
        self.page.wait_for_url(re.compile(rf"/user/{self.name}/lab"), timeout=1000 * SPAWN)
        self.panel.wait_for_app()

    def open_notebook(self, name: str, *sources: str) -> None:
        """A new notebook with these cells, open and with a kernel that has said who it is."""
        cells = [
            {"cell_type": "code", "id": f"c{i}", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
            for i, s in enumerate(sources)
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
        self.ask("PUT", f"api/contents/{name}", {"type": "notebook", "format": "json", "content": content})
        self.page.goto(self.url(f"lab/tree/{name}"))
        self.panel.wait_for_app()
        self._cells.first.locator(".cm-content").click()  # the line below tells of what has the focus
        # The indicator in the notebook says "idle" also before there is a kernel, and a cell that is run then brings
        # the question which kernel it shall be.
        kernel = self.page.locator(".jp-StatusBar-TextItem", has_text=re.compile(r"^Python 3.* \| Idle$"))
        expect(kernel.first).to_be_visible(timeout=60_000)

    @property
    def _cells(self) -> Locator:
        """Of the notebook that is shown; others may be open behind it."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell")

    def run_cell(self, index: int) -> Locator:
        """The cell's output area."""
        cell = self._cells.nth(index)
        prompt = cell.locator(".jp-InputPrompt")
        wait_until(lambda: self._started(cell, prompt), "the cell to be run")
        return cell.locator(".jp-Cell-outputArea")

    def _started(self, cell: Locator, prompt: Locator) -> bool:
        """What is run before the kernel has told who it is, is lost, or JupyterLab asks which kernel it shall be."""
        question = self.page.locator(".jp-Dialog button.jp-mod-accept")
        if question.is_visible():
            question.click()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        try:
            expect(prompt).not_to_have_text("[ ]:", timeout=5000)
        except AssertionError:
            return False
        return True

    # --- the user's server, asked from the page

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Its answer's JSON; `path` is below the user's server."""
        status, text = self.fetch(method, self.url(path), body)
        assert status < 300, f"{method} {path} answered {status}: {text[:500]}"
        return json.loads(text) if text else None

    def new_token(self) -> str:
        """One with which programs ask the gateway through the hub, made as the user may make it."""
        page = self.context.new_page()
        page.goto(f"{self.installation.url}/hub/home")
        asked = {"note": "script", "scopes": ["custom:llm:chat", "access:services!service=cellar"]}
        status, text = self.fetch("POST", f"{self.installation.url}/hub/api/users/{self.name}/tokens", asked, page)
        page.close()
        assert status == 201, text
        return str(json.loads(text)["token"])

    def fetch(self, method: str, url: str, body: Any = None, page: Page | None = None) -> tuple[int, str]:
        """Status and text, as a script on the page gets them, with its cookies and its XSRF header."""
        found: list[Any] = (page or self.page).evaluate(
            """async ([method, url, body]) => {
                 const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
                 const headers = {'X-XSRFToken': cookie ? decodeURIComponent(cookie[1]) : ''};
                 if (body !== null) headers['Content-Type'] = 'application/json';
                 const sent = body === null ? undefined : JSON.stringify(body);
                 const answer = await fetch(url, {method, headers, body: sent});
                 return [answer.status, await answer.text()];
               }""",
            [method, url, body],
        )
        return int(found[0]), str(found[1])

    def conversations(self) -> list[dict[str, Any]]:
        found = self.ask("GET", "cellar/api/conversations")
        listed: list[dict[str, Any]] = found["conversations"] if isinstance(found, dict) else found
        return listed

    def close(self) -> None:
        Person.everybody.remove(self)
        self.context.close()
