"""Where an answer appears.

    printed    plain text as it comes: terminals, and consoles, which do not replace what they have printed
    card       a widget while it streams, then an output of three mime types: our own (the same card, drawn by the lab
               extension without a kernel), Markdown and plain text (nbconvert, GitHub, a Lab without the extension)
    output     Markdown, for notebooks whose front end is not known to draw the card: it grows where somebody looks on

Only one is drawn: the widget's bundle has no Markdown, and the final bundle has no widget. A question that got no text
leaves nothing to draw: what went wrong stands below, as the cell's error.
"""

from __future__ import annotations

import os
import re
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from .asker import asker_of, cell_of
from .endpoint import server_runs_cellar
from .formats import answer_to_markdown
from .options import Format
from .published import to_published

ANSWER_MIME = "application/vnd.cellar.answer+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
_CONTROL = re.compile(r"\r\n?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
State = Literal["complete", "length", "stopped", "interrupted", "error"]

GROWTH = 1.25
"""A growing Markdown output is sent again when it is this much longer, so that all sendings together stay linear."""
INTERVAL = 0.2  # seconds between two of them at least


@dataclass(frozen=True)
class Answer:
    text: str
    model: str
    format: Format
    state: State
    notes: tuple[str, ...] = ()  # sentences in the user's language: stopped, masked, left out


class Display(Protocol):
    def status(self, line: str) -> None: ...
    def text(self, delta: str) -> None: ...
    def reasoning(self, delta: str) -> None: ...
    def finish(self, answer: Answer) -> None: ...


def answer_to_bundle(answer: Answer, answer_id: str) -> dict[str, Any]:
    """The mime bundle a notebook keeps; empty when no text has come. The card reads its text from the Markdown beside
    it when that is the same."""
    text = _legible(answer.text)
    if not text.strip():
        return {}
    shown = text if answer.format == "text" else answer_to_markdown(text, answer.format)
    card: dict[str, Any] = {
        "version": 1,
        "id": answer_id,
        "model": answer.model,
        "format": answer.format,
        "state": answer.state,
        "notes": list(answer.notes),
    }
    notes = "".join(f"\n\n*{note}*" for note in answer.notes)
    bundle: dict[str, Any] = {ANSWER_MIME: card, "text/plain": "\n\n".join((text, *answer.notes))}
    if answer.format == "text":
        return bundle
    published = to_published(shown)
    if published != shown or notes:
        card["text"] = shown
    bundle["text/markdown"] = published + notes
    return bundle


class PrintedDisplay:
    """Plain text on standard output; notes on a line of their own."""

    def __init__(self) -> None:
        self._ends_line = True

    def status(self, line: str) -> None:
        self._write(f"{line}\n" if line else "")

    def text(self, delta: str) -> None:
        self._write(_legible(delta))

    def reasoning(self, delta: str) -> None:
        """Not shown in a terminal: it would push the answer off the screen."""

    def finish(self, answer: Answer) -> None:
        if not self._ends_line:
            self._write("\n")
        for note in answer.notes:
            self._write(f"({note})\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        if text:
            self._ends_line = text.endswith("\n")


class OutputDisplay:
    """One Markdown output, which grows if `grows`."""

    def __init__(self, format: Format, *, grows: bool) -> None:
        self._id = uuid.uuid4().hex
        self._format: Format = format
        self._grows = grows
        self._text: list[str] = []
        self._length = self._sent_length = 0
        self._sent_at = 0.0
        self._stands = False  # something was published

    def status(self, line: str) -> None:
        if self._grows:
            self._publish({"text/plain": line})

    def text(self, delta: str) -> None:
        self._text.append(delta)
        self._length += len(delta)
        grown = self._grows and self._length >= self._sent_length * GROWTH
        if grown and time.monotonic() - self._sent_at >= INTERVAL:
            self._publish(answer_to_bundle(Answer("".join(self._text), "", self._format, "interrupted"), self._id))
            self._sent_length, self._sent_at = self._length, time.monotonic()

    def reasoning(self, delta: str) -> None:
        """Not kept in a notebook's output."""

    def finish(self, answer: Answer) -> None:
        self._publish(answer_to_bundle(answer, self._id))

    def _publish(self, bundle: Mapping[str, Any]) -> None:
        if bundle or self._stands:
            _publish(bundle, self._id, update=self._stands)
            self._stands = True


class CardDisplay:
    """The widget, then the output that replaces it."""

    def __init__(self, format: Format, model: str, cell_id: str = "") -> None:
        from .card import AnswerCard

        self._id = uuid.uuid4().hex
        self._asked = time.time()
        self._card = AnswerCard(answer_id=self._id, model=model, format=format, cell_id=cell_id)
        view = {"version_major": 2, "version_minor": 0, "model_id": self._card.model_id}
        _publish({WIDGET_MIME: view, "text/plain": "…"}, self._id, update=False)

    def status(self, line: str) -> None:
        self._card.status = line

    def text(self, delta: str) -> None:
        self._card.add_text(_legible(delta))

    def reasoning(self, delta: str) -> None:
        self._card.add_reasoning(delta)

    def finish(self, answer: Answer) -> None:
        bundle = answer_to_bundle(answer, self._id)
        if bundle:
            bundle[ANSWER_MIME]["asked"] = self._asked  # which of two answers is the younger one
        _publish(bundle, self._id, update=True)
        self._card.finish(bundle)


def make_display(shell: object, format: Format, model: str, environ: Mapping[str, str] = os.environ) -> Display:
    """What the front end that asks can show, or what `CELLAR_CARD` says."""
    asker = asker_of(shell)
    choice = environ.get("CELLAR_CARD", "")
    if asker == "terminal":
        return PrintedDisplay()
    if choice == "1" or (choice != "0" and asker == "notebook" and draws_cards(environ)):
        return CardDisplay(format, model, cell_of(shell))
    return PrintedDisplay() if asker == "console" else OutputDisplay(format, grows=asker == "notebook")


def draws_cards(environ: Mapping[str, str]) -> bool:
    """Whether the notebook front end of this kernel has our lab extension.

    A kernel cannot ask: it hears the browser only between two cells. So: it was started by a Jupyter server
    (`JPY_SESSION_NAME`, absent under nbconvert and papermill) on which Cellar runs.
    """
    return bool(environ.get("JPY_SESSION_NAME")) and _has_ipywidgets() and server_runs_cellar()


def _has_ipywidgets() -> bool:
    from importlib.util import find_spec

    return find_spec("ipywidgets") is not None


def _publish(bundle: Mapping[str, Any], display_id: str, *, update: bool) -> None:
    from IPython.display import publish_display_data

    publish_display_data(  # type: ignore[no-untyped-call]
        dict(bundle), transient={"display_id": display_id}, update=update
    )


def _legible(text: str) -> str:
    """A model's escape sequences and bidirectional overrides are obeyed by no terminal and no notebook."""
    return _CONTROL.sub(lambda match: "\n" if match[0][0] == "\r" else "�", text)
