"""What this kernel has run, as a context part: sources, results, errors.

A kernel knows no notebook: it has `In`, `Out` and the last exception. Printed text is not kept by IPython and so not
here; what a cell returned and how it failed is. What asked the assistant is left out, for it is the conversation: the
whole of a `%%ai` cell, the `%ai` lines of another. So are the assistant's own one-line errors: they are nothing to fix.
"""

from __future__ import annotations

import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

from cellar.wire import Cell, CellsPart, ErrorPart, NotebookPart, Output, SelectionPart

from .interpolation import cut_middle, problem_of
from .words import AiHalt

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

PATH = "this kernel"
MAX_RESULT = 8_000  # characters of one result or traceback; more is cut in the middle
_ASKING_CELL = re.compile(r"\s*%%ai\b")
_ASKING_LINE = re.compile(r"^[ \t]*%(?:ai\b|(?:re)?load_ext\s+cellar_jupyter\b)(?:[^\n]*\\\n)*[^\n]*\n?", re.MULTILINE)


class Executed:
    """Listens to the shell from `%load_ext` on; earlier cells are known by `In` and `Out` alone."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: Any = shell  # its parts are optional to mypy, never to a shell that runs
        self._errors: dict[int, str] = {}
        self._shown: dict[int, str] = {}  # results as they were first told: the same prompt prefix, and one repr each
        self._last_error: tuple[int, str] | None = None
        self._numbered = True  # the cell that runs now has a number
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._remember)

    def forget(self) -> None:
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._remember)

    def sources(self) -> list[str]:
        """The cells as they were typed, by execution count; `In` has them as IPython rewrote them."""
        typed: list[str] = self._shell.history_manager.input_hist_raw
        return typed

    def cells(self) -> list[Cell]:
        """Everything run before the cell that runs now, in order of execution."""
        typed = self.sources()
        end = len(typed) - 1 if self._numbered else len(typed)  # execution_count is another's, by IPython's version
        sources = ((number, own_source(typed[number])) for number in range(1, end))
        return [self._cell(number, source) for number, source in sources if source.strip()]

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
        source = own_source(sources[number]) if number < len(sources) else ""
        outputs = (Output(kind="error", text=cut_middle(trace, MAX_RESULT)),)
        return ErrorPart(
            path=PATH,
            cell=Cell(id=f"In[{number}]", kind="code", source=source, execution_count=number, outputs=outputs),
        )

    def _error_before_loading(self) -> ErrorPart | None:
        error = getattr(sys, "last_value", None)
        if error is None or isinstance(error, AiHalt):
            return None
        outputs = (Output(kind="error", text=cut_middle(_trace(error), MAX_RESULT)),)
        return ErrorPart(path=PATH, cell=Cell(id="error", kind="code", outputs=outputs))

    def _cell(self, number: int, source: str) -> Cell:
        outputs: list[Output] = []
        results: dict[int, object] = self._shell.user_ns.get("Out", {})
        if number in results:
            text = self._shown.get(number)
            if text is None:
                text = self._shown[number] = cut_middle(describe_value(self._shell, results[number]), MAX_RESULT)
            outputs.append(Output(kind="result", text=text))
        if number in self._errors:
            outputs.append(Output(kind="error", text=self._errors[number]))
        return Cell(id=f"In[{number}]", kind="code", source=source, execution_count=number, outputs=tuple(outputs))

    def _begin(self, info: ExecutionInfo) -> None:
        self._numbered = bool(info.store_history)

    def _remember(self, result: ExecutionResult) -> None:
        error = result.error_in_exec or result.error_before_exec
        if error is None or result.execution_count is None or isinstance(error, AiHalt):
            return
        self._last_error = (result.execution_count, _trace(error))
        self._errors[result.execution_count] = "".join(traceback.format_exception_only(error)).strip()


def code_part(code: str) -> SelectionPart:
    """Code that stands below `%%ai fix` or `%%ai explain`: what the question points at."""
    return SelectionPart(path=PATH, text=code)


def own_source(source: str) -> str:
    """A cell without what asked the assistant."""
    return "" if _ASKING_CELL.match(source) else _ASKING_LINE.sub("", source)


def show_value(shell: Any, value: object) -> str:
    """`value` as the shell would print it. Raises what its own code raises, where the shell would print a traceback in
    the middle of our output and go on."""
    formatter = shell.display_formatter.formatters["text/plain"]
    printed = type(formatter).__call__
    return str(getattr(printed, "__wrapped__", printed)(formatter, value))


def describe_value(shell: Any, value: object) -> str:
    """The same for the context, where a value that cannot be printed is no reason to stop."""
    try:
        return show_value(shell, value)
    except Exception as error:  # noqa: BLE001  # the value's own code
        return f"<{type(value).__name__} object that cannot be printed: {problem_of(error)}>"


def _trace(error: BaseException) -> str:
    """The traceback without the frames of IPython that called the cell."""
    frames = error.__traceback__
    while frames is not None and "IPython" in frames.tb_frame.f_code.co_filename.replace("\\", "/").split("/"):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).strip()
