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


def test_the_sample_notebook_opens_without_unsaved_changes(panel: Panel, page: Page) -> None:
    panel.open()
    dirty = page.evaluate(
        """async () => {
          const {context, content} = window.jupyterapp.shell.currentWidget;
          await context.sessionContext.ready;
          const {language_info: info} = await context.sessionContext.session.kernel.info;
          // What the kernel says of its language has arrived in the notebook.
          while (content.model.getMetadata('language_info')?.version !== info.version) {
            await new Promise(resolve => requestAnimationFrame(resolve));
          }
          await new Promise(resolve => requestAnimationFrame(resolve));
          return context.model.dirty;
        }"""
    )
    assert dirty is False
    expect(page.locator(".jp-NotebookPanel-toolbar")).to_be_visible()
    expect(page.locator(".lm-DockPanel-tabBar .jp-mod-dirty")).to_have_count(0)


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
