"""JupyterLab and Notebook 7 start with Cellar in them, and a question is answered."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel


def test_a_question_is_answered_in_jupyterlab(panel: Panel, model: FakeVLLM) -> None:
    panel.open()
    panel.ask("hello there")
    panel.expect_answer("hello there")
    assert len(model.requests) == 1


def test_the_panel_opens_by_itself_where_that_is_wished_for(panel: Panel, page: Page, lab: Lab) -> None:
    lab.setting("@cellar/lab:panel", openAtStart=True)
    page.goto(lab.page_url("lab"))
    expect(panel.text).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("path", ["notebooks/sample.ipynb", "tree", "edit/notes.py"])
def test_a_question_is_answered_in_notebook_7(panel: Panel, lab: Lab, path: str) -> None:
    lab.write("notes.py", "print('notes')\n")
    panel.open(path)
    panel.ask("hello there")
    panel.expect_answer("hello there")


@pytest.mark.real_model
@pytest.mark.timeout(240)
def test_the_embedded_model_answers(page: Page, lab_real: Lab) -> None:
    panel = Panel(page, lab_real).open("lab")
    panel.ask("Say hello.")
    panel.expect_state("complete", "length", seconds=150)
    expect(panel.last_answer).not_to_be_empty()
