"""What a browser posts: bodies that must decode, and bodies that must be refused with the path of what is wrong."""

from __future__ import annotations

from typing import Any

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
CELL: dict[str, Any] = {
    "id": "c1",
    "kind": "code",
    "source": "print(1 / 0)\n",
    "execution_count": 4,
    "outputs": [
        {"kind": "stdout", "text": "before\n"},
        {"kind": "stderr", "text": "warn\n", "cut": 12000, "mark": "811c9dc59e3779b9"},
        {"kind": "error", "text": "Traceback\n\u001b[31mZeroDivisionError\u001b[0m: division by zero"},
        {"kind": "display", "image": {"mime": "image/png", "data": PNG}},
        {"kind": "result", "text": "42"},
    ],
}
CONTEXT: dict[str, dict[str, Any]] = {
    "notebook": {
        "type": "notebook",
        "path": "work/분석.ipynb",
        "cells": [CELL, {"id": "c2", "kind": "markdown", "source": "# Title"}, {"id": "c3", "kind": "raw"}],
        "active_cell": "c1",
        "auto": True,
    },
    "cells": {"type": "cells", "path": "a.ipynb", "cells": [CELL], "language": "R"},
    "selection": {
        "type": "selection",
        "path": "src/a.py",
        "text": "def f():\n    return 1",
        "start_line": 3,
        "end_line": 4,
        "language": "python",
        "auto": True,
    },
    "selection_in_cell": {"type": "selection", "path": "a.ipynb", "text": "x = 1", "cell_id": "c1"},
    "file": {"type": "file", "path": "data/readme.txt"},
    "file_unsaved": {"type": "file", "path": "src/a.py", "text": "x = 2\n"},
    "folder": {"type": "folder", "path": "src"},
    "error": {"type": "error", "path": "a.ipynb", "cell": CELL},
    "gone": {"type": "gone", "kind": "cells", "path": "a.ipynb", "label": "Cell 3"},
    "image": {"type": "image", "name": "plot.png", "image": {"mime": "image/png", "data": PNG}},
}
KEY = "k0123456789abcdef"

ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "smallest": ("TurnRequest", {"request_key": KEY, "text": "Hello"}),
    "everything": (
        "TurnRequest",
        {
            "request_key": KEY,
            "mode": "compact",
            "conversation_id": "conv_1",
            "parent_id": "turn-1",
            "model": "coder",
            "text": "무엇을 하나요?\u2028 data:",
            "context": list(CONTEXT.values()),
        },
    ),
    "new_root_branch": (
        "TurnRequest",
        {"request_key": KEY, "conversation_id": "c", "parent_id": None, "text": "again"},
    ),
    "regenerate": ("TurnRequest", {"request_key": KEY, "conversation_id": "c", "parent_id": "t0", "copy_of": "t1"}),
    "continue": ("TurnRequest", {"request_key": KEY, "conversation_id": "c", "continue_of": "t1"}),
    **{
        f"with_{name}": ("TurnRequest", {"request_key": KEY, "text": "Why?", "context": [part]})
        for name, part in CONTEXT.items()
    },
    "edit_pending": ("TurnPatch", {"text": "Rather this", "context": [CONTEXT["file"]]}),
    "edit_begins": ("TurnPatch", {"held": True}),
    "edit_ends": ("TurnPatch", {"text": "Rather this", "held": False}),
    "let_go": ("TurnPatch", {"release": True}),
    "preview": ("PreviewRequest", {"text": "Why?", "context": [CONTEXT["notebook"]], "parent_id": None}),
    "summary": ("ConversationRequest", {"from_turn": "t9"}),
    "rename": ("ConversationPatch", {"title": "Plots"}),
    "show_branch": ("ConversationPatch", {"head_id": "t3"}),
}

REFUSED: dict[str, tuple[str, Any, str]] = {
    "unknown_field": ("TurnRequest", {"request_key": KEY, "text": "x", "temprature": 1}, "temprature"),
    "no_key": ("TurnRequest", {"text": "x"}, "request_key"),
    "short_key": ("TurnRequest", {"request_key": "k", "text": "x"}, "$.request_key"),
    "text_is_a_number": ("TurnRequest", {"request_key": KEY, "text": 7}, "$.text"),
    "unknown_mode": ("TurnRequest", {"request_key": KEY, "text": "x", "mode": "root"}, "$.mode"),
    "id_with_a_path": ("TurnRequest", {"request_key": KEY, "conversation_id": "../c"}, "$.conversation_id"),
    "unknown_part": ("TurnRequest", {"request_key": KEY, "context": [{"type": "shell", "command": "ls"}]}, "$.context"),
    "part_without_type": ("TurnRequest", {"request_key": KEY, "context": [{"path": "a"}]}, "$.context"),
    "too_many_parts": ("TurnRequest", {"request_key": KEY, "context": [CONTEXT["file"]] * 65}, "$.context"),
    "unknown_image_type": (
        "TurnRequest",
        {
            "request_key": KEY,
            "context": [{"type": "image", "name": "x.svg", "image": {"mime": "image/svg+xml", "data": ""}}],
        },
        "mime",
    ),
    "unknown_field_in_a_cell": (
        "TurnRequest",
        {"request_key": KEY, "context": [{"type": "cells", "path": "a", "cells": [{**CELL, "metadata": {}}]}]},
        "metadata",
    ),
    "no_cells": (
        "TurnRequest",
        {"request_key": KEY, "context": [{"type": "cells", "path": "a", "cells": []}]},
        "cells",
    ),
    "empty_title": ("ConversationPatch", {"title": ""}, "$.title"),
    "a_list": ("TurnRequest", [], "array"),
}
