"""`%ai what is a kernel?` ends in a question mark, which IPython takes as its own "show help for the last word".

A transformer that is asked first takes such a line whole. `%ai?` still shows the help of the magic.
"""

from __future__ import annotations

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


def add_to(shell: InteractiveShell) -> None:
    _transformers(shell).append(AiQuestion)


def remove_from(shell: InteractiveShell) -> None:
    if AiQuestion in _transformers(shell):
        _transformers(shell).remove(AiQuestion)


def _transformers(shell: InteractiveShell) -> list[Any]:
    found: list[Any] = shell.input_transformer_manager.token_transformers
    return found
