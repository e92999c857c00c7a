"""The wheel, installed where nothing else is and without Node, gives a working panel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.fakes.vllm import FakeVLLM
from tests.packaging.wheel import build_wheel, installed
from tests.ui.lab import Lab
from tests.ui.panel import Panel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def lab_of_the_wheel(_model_process: FakeVLLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    python: Path = installed(build_wheel())
    lab = Lab(tmp_path_factory.mktemp("wheel"), env={"VLLM_BASE_URL": _model_process.url}, python=python).start()
    yield lab
    lab.stop()


@pytest.mark.parametrize("path", ["lab/tree/sample.ipynb", "notebooks/sample.ipynb"], ids=["jupyterlab", "notebook-7"])
def test_the_panel_of_the_wheel_answers(page: Page, model: FakeVLLM, lab_of_the_wheel: Lab, path: str) -> None:
    lab_of_the_wheel.reset()
    panel = Panel(page, lab_of_the_wheel).open(path)
    panel.ask("hello wheel")
    panel.expect_answer("hello wheel")
