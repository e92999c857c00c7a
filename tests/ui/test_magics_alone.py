"""Panel and magics where ipywidgets' front end is switched off: one missing neighbour does not take both down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import AllowConsole
from tests.ui.lab import Lab
from tests.ui.notebook import code
from tests.ui.panel import Panel
from tests.ui.test_magics_card import cards, ready


@pytest.fixture
def lab_without_widgets(tmp_path: Path, model: FakeVLLM) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab", env={"VLLM_BASE_URL": model.url})
    folder = lab.home / "config" / "labconfig"
    folder.mkdir(parents=True)
    disabled = {"disabledExtensions": {"@jupyter-widgets/jupyterlab-manager": True}}
    (folder / "page_config.json").write_text(json.dumps(disabled))
    lab.start()
    lab.reset()
    yield lab
    lab.stop()


def test_the_panel_answers_and_a_finished_answer_is_drawn(
    page: Page, lab_without_widgets: Lab, model: FakeVLLM, allow_console: AllowConsole
) -> None:
    allow_console("opening new comm|Comm not found")  # JupyterLab, for a widget that nobody draws
    panel = Panel(page, lab_without_widgets)
    notebook = ready(panel, lab_without_widgets, code("%%ai\nhello", "ask"))
    panel.ask("hello there")
    panel.expect_answer("hello there")
    model.use(Scenario(text="So **be** it."))
    notebook.run(1)
    expect(cards(page)).to_contain_text("So be it.")
