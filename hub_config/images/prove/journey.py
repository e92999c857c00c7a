"""A user's day, for the sealed proof: log in, start a workspace, ask in the panel and in a cell, look at the console.

What it needs comes as one line of JSON on standard input: {"url", "name", "password", "idle"}; `url` ends with a slash,
and the user is an administrator. Each step is told as one line of JSON: {"step", "ok", "seconds", "problem",
"picture"}, the last one a PNG in base64 where there is a problem. After the last step the page of the workspace stays
open for `idle` seconds, as it does on a desk, and "end" is told; it goes on staying open until standard input ends.

Exit status 1 when a step did not come to its end; the steps behind it are not tried.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from browser import CONTROL, Browser, Stuck

SPAWN = 180.0  # seconds for a workspace to start on a busy machine
ANSWER = 120.0  # for the model's answer
CELL = "%%ai\nSay hello."
NOTEBOOK = "proof.ipynb"
CELLS = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell"
OUTPUT = f"{CELLS} .jp-Cell-outputArea"
IDLE = "return [...document.querySelectorAll('.jp-StatusBar-TextItem')].some(each => / Idle$/.test(each.innerText))"
PUT = """
const [url, body] = arguments;
const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
const headers = {'Content-Type': 'application/json', 'X-XSRFToken': cookie ? decodeURIComponent(cookie[1]) : ''};
const call = new XMLHttpRequest();
call.open('PUT', url, false);
for (const [name, value] of Object.entries(headers)) call.setRequestHeader(name, value);
call.send(JSON.stringify(body));
return call.status;
"""


class Journey:
    def __init__(self, browser: Browser, url: str, name: str, password: str) -> None:
        self.browser = browser
        self.url = url
        self.name = name
        self._password = password
        self.home = f"{url}user/{quote(name)}/"

    def log_in(self) -> None:
        self.browser.open(f"{self.url}hub/login")
        self.browser.wait_for("#username_input", "the log-in page")
        self.browser.write("#username_input", self.name)
        self.browser.write("input[name=password]", self._password)
        self.browser.click("#login_submit, input[type=submit], button[type=submit]")
        self.browser.until(lambda: "/hub/login" not in self.browser.url, "the hub to let the user in")

    def start_a_workspace(self) -> None:
        if "/user/" not in self.browser.url:
            self.browser.until(self._on_the_way, "the workspace to start", SPAWN)
        self._wait_for_lab()

    def _on_the_way(self) -> bool:
        if "/hub/home" in self.browser.url:
            self.browser.open(f"{self.url}hub/spawn")
        return f"/user/{self.name}/" in self.browser.url

    def _wait_for_lab(self) -> None:
        """A page that lost a file while interfaces came and went is loaded again, as its user would."""
        for patience in (30, 60, 60):
            try:
                self.browser.wait_for(".jp-SideBar.jp-mod-right", "JupyterLab", patience)
                self.browser.until(lambda: not self.browser.visible("#jupyterlab-splash, .jp-Splash"), "JupyterLab", 30)
                return
            except Stuck:
                self.browser.reload()
        raise Stuck("JupyterLab did not come up")

    def ask_in_the_panel(self) -> None:
        field = "#cellar-panel textarea.jp-Cellar-text"
        self.browser.until(lambda: self._panel_shown(field), "the panel")
        self.browser.write(field, "What is a list in Python?")
        self.browser.press("Enter")
        turn = "#cellar-panel .jp-Cellar-turn"
        ended = ("complete", "length", "error", "stopped", "interrupted")
        state = self.browser.until(
            lambda: found if (found := self.browser.attribute(turn, "data-state")) in ended else "", "an answer", ANSWER
        )
        if state not in ("complete", "length"):
            raise Stuck(f"the answer ended as {state}: {self.browser.text(turn)[-300:]}")
        if not self.browser.text("#cellar-panel .jp-Cellar-answer").strip():
            raise Stuck("the answer is empty")

    def _panel_shown(self, field: str) -> bool:
        if self.browser.visible(".jp-Dialog .jp-Dialog-footer button"):
            self.browser.click(".jp-Dialog .jp-Dialog-footer button")
        if not self.browser.visible(field):
            self.browser.click('.jp-SideBar.jp-mod-right li[data-id="cellar-panel"]')
            time.sleep(1)
        return self.browser.visible(field)

    def ask_in_a_cell(self) -> None:
        cell = {"cell_type": "code", "id": "c0", "metadata": {}, "source": CELL, "outputs": [], "execution_count": None}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": [cell]}
        body = {"type": "notebook", "format": "json", "content": content}
        status = self.browser.script(PUT, f"{self.home}api/contents/{NOTEBOOK}", body)
        if status not in (200, 201):
            raise Stuck(f"the notebook could not be written: {status}")
        self.browser.open(f"{self.home}lab/tree/{NOTEBOOK}")
        self._wait_for_lab()
        self.browser.until(self._kernel_is_idle, "the notebook's kernel", 90)
        self.browser.until(self._cell_ran, "the cell to be run")
        self.browser.until(lambda: "*" not in self._prompt(), "the cell to end", ANSWER)
        if problem := self.browser.text(f"{OUTPUT} [data-mime-type='application/vnd.jupyter.error']"):
            raise Stuck(f"the cell ended with an error: {problem[-300:]}")
        self.browser.until(lambda: self.browser.text(OUTPUT).strip(), "the cell's answer")

    def _kernel_is_idle(self) -> bool:
        self.browser.click(f"{CELLS} .cm-content")
        return bool(self.browser.script(IDLE))

    def _cell_ran(self) -> bool:
        if self.browser.visible(".jp-Dialog button.jp-mod-accept"):
            self.browser.click(".jp-Dialog button.jp-mod-accept")
        self.browser.click(f"{CELLS} .cm-content")
        self.browser.press("Enter", CONTROL)
        time.sleep(1)
        return self._prompt() not in ("", "[]:")

    def _prompt(self) -> str:
        return "".join(self.browser.text(f"{CELLS} .jp-InputPrompt").split())

    def look_at_the_console(self) -> None:
        self.browser.open(f"{self.url}services/console/overview")
        self.browser.wait_for("main .tile", "the console's overview")
        for page in ("models", "users"):
            self.browser.open(f"{self.url}services/console/{page}")
            self.browser.wait_for("main", f"the console's page {page}")

    def go_back_to_work(self) -> None:
        self.browser.open(f"{self.home}lab/tree/{NOTEBOOK}")
        self._wait_for_lab()


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> int:
    asked = json.loads(sys.stdin.readline())
    browser = Browser()
    journey = Journey(browser, asked["url"], asked["name"], asked["password"])
    steps: tuple[Callable[[], None], ...] = (
        journey.log_in,
        journey.start_a_workspace,
        journey.ask_in_the_panel,
        journey.ask_in_a_cell,
        journey.look_at_the_console,
        journey.go_back_to_work,
    )
    try:
        for step in steps:
            began = time.monotonic()
            problem = picture = ""
            try:
                step()
            except Stuck as stuck:
                problem, picture = str(stuck), browser.picture()
            seconds = round(time.monotonic() - began, 1)
            tell(step=step.__name__, ok=not problem, seconds=seconds, problem=problem, picture=picture)
            if problem:
                return 1
        time.sleep(asked["idle"])
        tell(step="end", ok=True, seconds=asked["idle"], problem="", picture="")
        sys.stdin.read()
    finally:
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
