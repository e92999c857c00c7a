"""The ipywidgets model behind the card; its view is drawn by the lab extension (`@cellar/lab`, plugins/card).

Text travels as custom messages, each piece once; a synced trait would send the whole answer with every piece. The
widget lives while the answer streams: a browser reads a kernel's traits only between two cells, so nothing here waits
for a click. At the end the output is replaced by one that needs no kernel (see `display.py`) and the widget is closed.
"""

from __future__ import annotations

from ipywidgets import DOMWidget
from traitlets import Unicode


class AnswerCard(DOMWidget):  # type: ignore[misc]  # ipywidgets ships no types
    """`format`: as in `-f`; `model`: who answers; `answer_id`: the card that replaces this one has the same."""

    _model_name = Unicode("AnswerModel").tag(sync=True)
    _model_module = Unicode("@cellar/lab").tag(sync=True)
    _model_module_version = Unicode("^0.1.0").tag(sync=True)
    _view_name = Unicode("AnswerView").tag(sync=True)
    _view_module = Unicode("@cellar/lab").tag(sync=True)
    _view_module_version = Unicode("^0.1.0").tag(sync=True)

    answer_id = Unicode().tag(sync=True)
    model = Unicode().tag(sync=True)
    format = Unicode("markdown").tag(sync=True)
    status = Unicode().tag(sync=True)  # a line in place of the text that has not come yet: "2 ahead"

    def add_text(self, delta: str) -> None:
        self.send({"type": "text", "delta": delta})

    def add_reasoning(self, delta: str) -> None:
        self.send({"type": "reasoning", "delta": delta})
