"""Why a workspace did not start, in words for the person who waits for it. Pure.

The hub shows `jupyterhub_message` as text and `jupyterhub_html_message` as HTML, on its pages, in the progress stream
and in its API. What a container wrote is foreign: it is cut, stripped of control characters, and escaped.
"""

from __future__ import annotations

import re
from html import escape

from tornado.web import HTTPError

LINES = 30
LONGEST_LINE = 300  # characters
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def last_lines(log: bytes) -> list[str]:
    """The end of a container's log, without escape sequences, bidirectional controls, or more than a page can hold."""
    text = log[-64 * 1024 :].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [_CONTROL.sub("", line).rstrip() for line in text.split("\n")]
    cut = [line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…" for line in lines if line]
    return cut[-LINES:]


class StartRefused(HTTPError):
    """The workspace does not start, or did not. `log` is the end of what its container wrote."""

    def __init__(self, message: str, log: bytes = b"", status: int = 503) -> None:
        super().__init__(status, "%s", message)
        lines = last_lines(log)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = escape(message)
        if lines:
            # reversed: the box is scrolled to its end, where the reason stands
            self.jupyterhub_html_message += (
                '<div class="mt-3" tabindex="0" role="log" aria-label="End of the log"'
                ' style="max-height: 24em; overflow: auto; display: flex; flex-direction: column-reverse">'
                '<pre class="text-start small mb-0" style="white-space: pre-wrap; overflow: visible">'
                f"{escape(chr(10).join(lines))}</pre></div>"
            )

    def __str__(self) -> str:
        return self.jupyterhub_message
