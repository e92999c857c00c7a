"""The chat panel as a person uses it: what can be clicked and read, by class and by accessible name (in English)."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab

FOCUSED = "() => document.activeElement !== document.body && !document.activeElement.matches('.jp-Spinner')"


class Panel:
    """The panel on one page. Attributes are Playwright locators; methods act, then wait until the effect shows."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page = page
        self.lab = lab
        self.root: Locator = page.locator("#cellar-panel")
        self.composer = self.root.locator(".jp-Cellar-composer")
        self.text = self.composer.locator("textarea.jp-Cellar-text")
        self.send = self.composer.locator(".jp-Cellar-send")
        self.stop_button = self.composer.locator(".jp-Cellar-stop")
        self.pills = self.composer.locator(".jp-Cellar-pill")
        self.pending = self.composer.locator(".jp-Cellar-pendingRow")
        self.turns = self.root.locator(".jp-Cellar-turn")
        self.questions = self.root.locator(".jp-Cellar-question")
        self.answers = self.root.locator(".jp-Cellar-answer")
        self.last_turn = self.turns.last
        self.last_answer = self.answers.last

    # --- pages

    def open(self, path: str = "lab/tree/sample.ipynb") -> Panel:
        """Load a page and show the panel: "lab", "lab/tree/x.py", "notebooks/x.ipynb", "tree", "edit/x.py"."""
        self.page.goto(self.lab.page_url(path))
        self.wait_for_app()
        self.show()
        return self

    def reload(self) -> Panel:
        self.page.reload()
        self.wait_for_app()
        self.show()
        return self

    def look_often(self) -> None:
        """Before the page is opened: what it asks for every 20 s, because nobody sees it, it asks for every 200 ms."""
        self.page.add_init_script(
            "const wait = window.setTimeout;"
            "window.setTimeout = (act, ms, ...more) => wait(act, ms === 20000 ? 200 : ms, ...more)"
        )

    def to_background(self) -> None:
        """What a browser tells a page when another tab is opened over it; headless Chromium never does."""
        self._show_page(False)

    def to_foreground(self) -> None:
        self._show_page(True)

    def _show_page(self, shown: bool) -> None:
        self.page.evaluate(
            """shown => {
                Object.defineProperty(document, 'hidden', { get: () => !shown, configurable: true });
                const state = shown ? 'visible' : 'hidden';
                Object.defineProperty(document, 'visibilityState', { get: () => state, configurable: true });
                document.dispatchEvent(new Event('visibilitychange'));
            }""",
            shown,
        )

    def wait_for_app(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored", timeout=60_000)
        self.page.evaluate("() => window.jupyterapp.restored.then(() => null)")
        splash = self.page.locator("#jupyterlab-splash, .jp-Splash")
        splash.first.wait_for(state="detached", timeout=30_000)
        if "/lab" in self.page.url:
            # JupyterLab calls itself restored before it shows the launcher or the document and gives it the focus.
            # A test that types before that types into the launcher.
            self.page.wait_for_function(FOCUSED, timeout=30_000)

    def show(self) -> None:
        self.execute("cellar:open-chat")
        expect(self.text).to_be_visible()

    def execute(self, command: str, **args: Any) -> None:
        """A command of JupyterLab's registry, as the palette runs it."""
        self.page.evaluate(
            "([id, args]) => window.jupyterapp.commands.execute(id, args).then(() => null)", [command, args]
        )

    def wait_for_kernel(self) -> None:
        """The open notebook's kernel is idle."""
        status = self.page.locator(".jp-Notebook-ExecutionIndicator").first
        expect(status).to_have_attribute("data-status", "idle", timeout=60_000)

    # --- asking

    def write(self, text: str) -> None:
        self.text.fill(text)

    def ask(self, text: str) -> None:
        """Send a question and wait until it stands in the transcript."""
        before = self.turns.count()
        self.write(text)
        self.text.press("Enter")
        expect(self.turns).to_have_count(before + 1)

    def stop(self) -> None:
        self.stop_button.click()

    def expect_state(self, *states: str, seconds: float = 15) -> None:
        """The last turn is in one of these states of wire.TurnState within `seconds`."""
        wanted = re.compile(f"^({'|'.join(states)})$")
        expect(self.last_turn).to_have_attribute("data-state", wanted, timeout=1000 * seconds)

    def expect_answer(self, text: str | re.Pattern[str], state: str = "complete") -> None:
        """The last answer contains the text and ended as `state` says."""
        expect(self.last_answer).to_contain_text(text)
        self.expect_state(state)

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """By accessible name, whole: `panel.button("Answer again", panel.last_turn)`."""
        return (within or self.root).get_by_role("button", name=name, exact=True)
