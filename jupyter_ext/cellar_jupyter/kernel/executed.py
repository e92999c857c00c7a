"""What this kernel has run, as a context part: sources, what they printed, results, errors.

A kernel knows no notebook: it has `In`, `Out`, the last exception, and from IPython 9 on what a cell printed, programs
that it started included. What asked the assistant is left out, for it is the conversation: the
whole of a `%%ai` cell, the `%ai` lines of another. So are the assistant's own one-line errors: they are nothing to fix.
"""

from __future__ import annotations

import re
import sys
import traceback
from typing import TYPE_CHECKING, Any, Literal

from cellar.wire import Cell, CellsPart, ErrorPart, NotebookPart, Output, SelectionPart

from .interpolation import cut_middle, problem_of
from .words import AiHalt

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

PATH = "this kernel"
MAX_RESULT = 8_000  # characters of one result, traceback or printed text; more is cut in the middle
MAX_STREAMS = 8  # printed texts of one cell, the last ones: stdout and stderr by turns
_STREAMS: dict[str, Literal["stdout", "stderr"]] = {"out_stream": "stdout", "err_stream": "stderr"}
_ASKING_CELL = re.compile(r"\s*%%ai\b")
_ASKING_LINE = re.compile(r"^[ \t]*%(?:ai\b|(?:re)?load_ext\s+cellar_jupyter\b)(?:[^\n]*\\\n)*[^\n]*\n?", re.MULTILINE)


class Executed:
    """Listens to the shell from `%load_ext` on; earlier cells are known by `In` and `Out` alone."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: Any = shell  # its parts are optional to mypy, never to a shell that runs
        self._errors: dict[int, str] = {}
        self._printed: dict[int, tuple[Output, ...]] = {}
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
        sources = ((number, typed[number], own_source(typed[number])) for number in range(1, end))
        return [self._cell(number, own, asked=own != whole) for number, whole, own in sources if own.strip()]

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

    def _cell(self, number: int, source: str, *, asked: bool) -> Cell:
        """`asked`: the cell also asked the assistant, whose answer stands among what it printed."""
        outputs: list[Output] = [] if asked else [*self._prints(number)]
        results: dict[int, object] = self._shell.user_ns.get("Out", {})
        if number in results:
            text = self._shown.get(number)
            if text is None:
                text = self._shown[number] = cut_middle(describe_value(self._shell, results[number]), MAX_RESULT)
            outputs.append(Output(kind="result", text=text))
        if number in self._errors:
            outputs.append(Output(kind="error", text=self._errors[number]))
        return Cell(id=f"In[{number}]", kind="code", source=source, execution_count=number, outputs=tuple(outputs))

    def _prints(self, number: int) -> tuple[Output, ...]:
        """As they were first told."""
        if number not in self._printed:
            kept = self._kept().get(number, ())
            texts = [(_STREAMS.get(one.output_type), "".join(one.bundle.get("stream", ()))) for one in kept]
            self._printed[number] = tuple(
                Output(kind=kind, text=cut_middle(text, MAX_RESULT)) for kind, text in texts if kind and text.strip()
            )[-MAX_STREAMS:]
        return self._printed[number]

    def _kept(self) -> dict[int, list[Any]]:
        """IPython's own record of outputs, by execution count; IPython 8 has none."""
        kept: dict[int, list[Any]] = getattr(self._shell.history_manager, "outputs", {})
        return kept

    def _begin(self, info: ExecutionInfo) -> None:
        """What stands under the number of a cell that begins is not its own: what runs without a number prints under
        the next one, and a new session of the shell counts from one again."""
        self._numbered = bool(info.store_history)
        if self._numbered:
            number = len(self.sources())  # its source comes next
            for known in (self._kept(), self._printed, self._shown, self._errors):
                known.pop(number, None)

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
