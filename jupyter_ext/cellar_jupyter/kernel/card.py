"""The ipywidgets model behind the card; its view is drawn by the lab extension (`@cellar/lab`, plugins/card).

Text travels as custom messages, each piece once; a synced trait would send the whole answer with every piece. The
widget lives while the answer streams: a browser reads a kernel's traits only between two cells, so nothing here waits
for a click. At the end the output is replaced by one that needs no kernel (see `display.py`).

Replacing it reaches only a page that has seen the cell begin. One that was loaded anew meanwhile, or whose notebook was
closed and opened, still shows the widget: so the last few widgets stay, know the output that replaces them (`final`),
and the view puts it into the notebook. A notebook that was not saved meanwhile has no view: there the cell still shows
the answer before, if it had one. So a card knows its cell (`cell_id`), and the younger answer takes the place of the
older one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from ipywidgets import DOMWidget
from traitlets import Dict, Unicode

KEPT = 8
"""So many finished cards can still be asked for by a page; each holds its answer."""


class AnswerCard(DOMWidget):  # type: ignore[misc]  # ipywidgets ships no types
    """`format`: as in `-f`; `model`: who answers; `answer_id`: the card that replaces this one has the same."""

    _model_name = Unicode("AnswerModel").tag(sync=True)
    _model_module = Unicode("@cellar/lab").tag(sync=True)
    _model_module_version = Unicode("^0.1.0").tag(sync=True)
    _view_name = Unicode("AnswerView").tag(sync=True)
    _view_module = Unicode("@cellar/lab").tag(sync=True)
    _view_module_version = Unicode("^0.1.0").tag(sync=True)

    answer_id = Unicode().tag(sync=True)
    cell_id = Unicode().tag(sync=True)  # the notebook's cell that asks; empty: not told
    model = Unicode().tag(sync=True)
    format = Unicode("markdown").tag(sync=True)
    status = Unicode().tag(sync=True)  # a line in place of the text that has not come yet: "2 ahead"
    final = Dict(default_value=None, allow_none=True).tag(sync=True)  # the output's mime bundle; None: still streaming

    _finished: ClassVar[deque[AnswerCard]] = deque()

    def add_text(self, delta: str) -> None:
        self.send({"type": "text", "delta": delta})

    def add_reasoning(self, delta: str) -> None:
        self.send({"type": "reasoning", "delta": delta})

    def finish(self, bundle: Mapping[str, Any]) -> None:
        self.final = dict(bundle)
        self._finished.append(self)
        if len(self._finished) > KEPT:
            oldest = self._finished.popleft()
            oldest.layout.close()  # a widget of its own, made by ipywidgets
            oldest.close()
