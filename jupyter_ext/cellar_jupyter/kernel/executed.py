"""What this kernel has run, as a context part: sources, results, errors.

A kernel knows no notebook: it has `In`, `Out` and the last exception. Printed text is not kept by IPython and so not
here; what a cell returned and how it failed is. Cells that asked the assistant are left out: they are the conversation.
"""

from __future__ import annotations

import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

from cellar.wire import Cell, CellsPart, ErrorPart, NotebookPart, Output

from .interpolation import cut_middle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

PATH = "this kernel"
MAX_RESULT = 8_000  # characters of one result or traceback; more is cut in the middle
_ASKS = re.compile(r"^\s*%%?ai\b|^\s*%(?:re)?load_ext\s+cellar_jupyter\b")


class Executed:
    """Listens to the shell from `%load_ext` on; earlier cells are known by `In` and `Out` alone."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: Any = shell  # its parts are optional to mypy, never to a shell that runs
        self._errors: dict[int, str] = {}
        self._shown: dict[int, str] = {}  # results as they were first told: the same prompt prefix, and one repr each
        self._last_error: tuple[int, str] | None = None
        shell.events.register("post_run_cell", self._remember)

    def forget(self) -> None:
        self._shell.events.unregister("post_run_cell", self._remember)

    def sources(self) -> list[str]:
        """The cells as they were typed, by execution count; `In` has them as IPython rewrote them."""
        typed: list[str] = self._shell.history_manager.input_hist_raw
        return typed

    def cells(self) -> list[Cell]:
        """Everything run before the cell that runs now, in order of execution."""
        running = self._shell.execution_count
        return [
            self._cell(number, source)
            for number, source in enumerate(self.sources())
            if 0 < number < running and source.strip() and not _ASKS.match(source)
        ]

    def notebook_part(self) -> NotebookPart | None:
        cells = self.cells()
        return NotebookPart(path=PATH, cells=tuple(cells), active_cell=cells[-1].id, auto=True) if cells else None

    def last_cell_part(self) -> CellsPart | None:
        cells = self.cells()
        return CellsPart(path=PATH, cells=(cells[-1],), auto=True) if cells else None

    def error_part(self) -> ErrorPart | None:
        """The last error with the cell that raised it and its whole traceback."""
        if self._last_error is None:
            return self._error_before_loading()
        number, trace = self._last_error
        sources = self.sources()
        source = sources[number] if number < len(sources) else ""
        outputs = (Output(kind="error", text=cut_middle(trace, MAX_RESULT)),)
        return ErrorPart(
            path=PATH,
            cell=Cell(id=f"In[{number}]", kind="code", source=source, execution_count=number, outputs=outputs),
        )

    def _error_before_loading(self) -> ErrorPart | None:
        error = getattr(sys, "last_value", None)
        if error is None:
            return None
        outputs = (Output(kind="error", text=cut_middle(_trace(error), MAX_RESULT)),)
        return ErrorPart(path=PATH, cell=Cell(id="error", kind="code", outputs=outputs))

    def _cell(self, number: int, source: str) -> Cell:
        outputs: list[Output] = []
        results: dict[int, object] = self._shell.user_ns.get("Out", {})
        if number in results:
            text = self._shown.get(number)
            if text is None:
                text = self._shown[number] = cut_middle(show_value(self._shell, results[number]), MAX_RESULT)
            outputs.append(Output(kind="result", text=text))
        if number in self._errors:
            outputs.append(Output(kind="error", text=self._errors[number]))
        return Cell(id=f"In[{number}]", kind="code", source=source, execution_count=number, outputs=tuple(outputs))

    def _remember(self, result: ExecutionResult) -> None:
        error = result.error_in_exec or result.error_before_exec
        source = str(getattr(result.info, "raw_cell", ""))
        if error is None or result.execution_count is None or _ASKS.match(source):
            return
        self._last_error = (result.execution_count, _trace(error))
        self._errors[result.execution_count] = "".join(traceback.format_exception_only(error)).strip()


def show_value(shell: Any, value: object) -> str:
    """`value` as the shell would print it."""
    data, _ = shell.display_formatter.format(value, include=["text/plain"])
    return str(data.get("text/plain", ""))


def _trace(error: BaseException) -> str:
    """The traceback without the frames of IPython that called the cell."""
    frames = error.__traceback__
    while frames is not None and "IPython" in frames.tb_frame.f_code.co_filename.replace("\\", "/").split("/"):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).strip()
