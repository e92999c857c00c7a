"""Many pages of one browser: it has six connections to the server for all of them together."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import NewPage
from tests.ui.lab import Lab, wait_until
from tests.ui.panel import Panel

PAGES = 8


@pytest.mark.timeout(240)  # nine JupyterLabs are opened, one by one: half a minute where nothing else runs
@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(False, id="hidden tabs", marks=pytest.mark.long),  # near a minute; they want less of the browser
        pytest.param(True, id="windows side by side"),
    ],
)
def test_eight_pages_with_running_turns_let_a_ninth_save_its_notebook(
    new_page: NewPage, lab: Lab, model: FakeVLLM, seen: bool
) -> None:
    model.use(Scenario(words=50, gated=True))
    pages = []
    for number in range(PAGES):
        panel = Panel(new_page(), lab).open("lab")
        panel.button("New conversation").click()
        panel.ask(f"question {number}")
        model.wait_for(lambda fake, count=number + 1: fake.waiting == count)  # type: ignore[misc]
        if seen:
            assert panel.page.evaluate("document.visibilityState") == "visible"  # of all of them in headless Chromium
        else:
            panel.to_background()
        pages.append(panel)

    ninth = Panel(new_page(), lab).open("lab/tree/sample.ipynb")
    ninth.wait_for_kernel()
    editor = ninth.page.locator(".jp-CodeCell .cm-content").first
    editor.click()
    ninth.page.keyboard.type("# written beside eight answers\n")
    ninth.execute("docmanager:save")
    saved = lab.root / "sample.ipynb"
    wait_until(lambda: "written beside eight answers" in saved.read_text(), "the notebook on the disk")
    assert json.loads(saved.read_text())["nbformat"] == 4
    assert model.running == PAGES

    if seen:
        last = pages.pop()  # which found no room to read
        last.stop()
        last.expect_state("stopped")
        model.wait_for(lambda fake: fake.aborted == 1)
    model.release_all()
    model.wait_for(lambda fake: fake.finished == len(pages))
    if not seen:
        pages[0].reload()
    for panel in pages if seen else pages[:1]:
        panel.expect_state("complete")
        expect(panel.last_answer).to_contain_text("w49")
