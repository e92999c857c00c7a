"""`<think>...</think>` at the beginning of an answer's text: what a reasoning model thinks, from a server that does not
part it from the answer (vLLM without --reasoning-parser, llama.cpp). Pure: pieces cut anywhere in, both kinds out.

Only at the very beginning: a later `<think>` is text that speaks of it. An answer that begins in the middle of a
thought, because the chat template wrote the opening tag, is not told from any other text and stays as it is.
"""

from __future__ import annotations

from typing import Literal

OPENING, CLOSING = "<think>", "</think>"

Kind = Literal["reasoning", "text"]


class ThinkingSplitter:
    """`settled`: the answer itself has begun; all that follows is text, and need not come here."""

    def __init__(self) -> None:
        self._state: Literal["start", "thinking", "between", "answer"] = "start"
        self._held = ""  # too short to tell

    @property
    def settled(self) -> bool:
        return self._state == "answer"

    def feed(self, text: str) -> list[tuple[Kind, str]]:
        self._held += text
        pieces: list[tuple[Kind, str]] = []
        if self._state == "start":
            begun = self._held.lstrip()
            if begun.startswith(OPENING):
                self._state, self._held = "thinking", begun.removeprefix(OPENING)
            elif not OPENING.startswith(begun):
                self._state = "answer"
        if self._state == "thinking":
            thought, closing, rest = self._held.partition(CLOSING)
            if closing:
                self._state, self._held = "between", rest
            else:
                thought = thought[: len(thought) - _begun(CLOSING, thought)]
                self._held = self._held[len(thought) :]
            pieces.append(("reasoning", thought))
        if self._state == "between":
            self._held = self._held.lstrip()
            self._state = "answer" if self._held else "between"
        if self._state == "answer":
            pieces.append(("text", self._held))
            self._held = ""
        return [piece for piece in pieces if piece[1]]

    def close(self) -> list[tuple[Kind, str]]:
        """The answer has ended: what was held back."""
        kind: Kind = "reasoning" if self._state == "thinking" else "text"
        held, self._held, self._state = self._held, "", "answer"
        return [(kind, held)] if held else []


def _begun(tag: str, text: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)
