"""The panel in each view of Notebook 7."""

from __future__ import annotations

import pytest

from tests.fakes.vllm import FakeVLLM
from tests.ui.panel import Panel


@pytest.mark.parametrize("path", ["notebooks/sample.ipynb", "tree", "edit/script.py"])
def test_the_panel_answers_in_notebook_7(panel: Panel, model: FakeVLLM, path: str) -> None:
    panel.lab.write("script.py", "print('hello')\n")
    panel.open(path)
    panel.ask("hello")
    panel.expect_answer("hello")
    assert len(model.requests) == 1
