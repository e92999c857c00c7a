"""Two things IPython would take as its own before the magic is asked.

`%ai what is a kernel?` ends in a question mark: "show help for the last word". A transformer that is asked first takes
such a line whole. `%ai?` still shows the help of the magic.

`%%ai` with nothing below it is an error of IPython's, in English: it is read as `%ai` with the same line.
"""

from __future__ import annotations

import re
import tokenize
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import (
    TokenTransformBase,
    assemble_continued_line,
    find_end_of_continued_line,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_OURS_NOT = {"?", "=", "."}  # %ai? is help for the magic
_INDENTS = {tokenize.INDENT, tokenize.DEDENT}


class AiQuestion(TokenTransformBase):
    priority = 1  # before HelpEnd (5)

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> AiQuestion | None:
        for line in tokens_by_line:
            words = [token for token in line if token.type not in _INDENTS]
            if (
                len(words) > 3
                and words[0].string == "%"
                and words[1].string == "ai"
                and words[2].string[0] not in "?=."
            ):
                return cls(words[0].start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        start, column = self.start_line, self.start_col
        end = find_end_of_continued_line(lines, start)
        line: str = assemble_continued_line(lines, (start, column), end)
        question = line.removeprefix("%").strip().removeprefix("ai").strip()
        call = f"{lines[start][:column]}get_ipython().run_line_magic('ai', {question!r})\n"
        return [*lines[:start], call, *lines[end + 1 :]]


_CELL = re.compile(r"%(%ai(?:\s.*)?)", re.DOTALL)


def read_empty_cell(lines: list[str]) -> list[str]:
    if lines and (match := _CELL.fullmatch(lines[0])) and not "".join(lines[1:]).strip():
        return [match[1]]
    return lines


# Only for a cell that runs: a terminal asks the others whether to wait for more lines, and for `%%ai` it shall wait.
read_empty_cell.has_side_effects = True  # type: ignore[attr-defined]


def add_to(shell: InteractiveShell) -> None:
    for table, transformer in _tables(shell):
        table.append(transformer)


def remove_from(shell: InteractiveShell) -> None:
    for table, transformer in _tables(shell):
        if transformer in table:
            table.remove(transformer)


def _tables(shell: InteractiveShell) -> list[tuple[list[Any], Any]]:
    manager = shell.input_transformer_manager
    return [(manager.token_transformers, AiQuestion), (manager.cleanup_transforms, read_empty_cell)]
