"""A real InteractiveShell in this process, and real kernels over ZMQ, both wired to the fake model server."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config

from tests.fakes.fixtures import (  # noqa: F401
    _one_fake,
    an_unused_port,
    broken_model,
    gated_model,
    model,
    silent_model,
    slow_model,
)
from tests.fakes.vllm import FakeVLLM


class Paper(io.StringIO):
    """What is printed; another thread may wait for a word."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()

    def write(self, text: str) -> int:
        with self._written:
            count = super().write(text)
            self._written.notify_all()
        return count

    def clear(self) -> None:
        self.seek(0)
        self.truncate()

    def wait_for(self, word: str) -> None:
        with self._written:
            assert self._written.wait_for(lambda: word in self.getvalue(), 20), self.getvalue()


class Terminal:
    """A shell as a person uses it: run a cell, read what it printed."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.paper = Paper()

    def run(self, source: str) -> str:
        """Everything the cell printed, errors included."""
        self.paper.clear()
        with redirect_stdout(self.paper):
            self.result = self.shell.run_cell(source, store_history=True)
        return self.paper.getvalue()

    def variable(self, name: str) -> Any:
        return self.shell.user_ns[name]


@pytest.fixture
def terminal(model: FakeVLLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Terminal]:  # noqa: F811
    """Terminal IPython with the magics loaded, wired to `model`."""
    monkeypatch.setenv("VLLM_BASE_URL", model.url)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    TerminalInteractiveShell.clear_instance()
    config = Config(
        HistoryManager={"enabled": False}, TerminalInteractiveShell={"simple_prompt": True, "colors": "nocolor"}
    )
    shell = TerminalInteractiveShell.instance(config=config)
    hooks = sys.excepthook
    shell.run_line_magic("load_ext", "cellar_jupyter")
    terminal = Terminal(shell)
    yield terminal
    shell.run_line_magic("unload_ext", "cellar_jupyter")
    sys.excepthook = hooks
    TerminalInteractiveShell.clear_instance()
