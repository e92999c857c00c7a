"""Who asks: what the request says about the front end that sent it.

A kernel cannot ask its front end anything while a cell runs, and several may be connected to one kernel (JupyterLab and
`jupyter console --existing`). But each request says whether it stands for a notebook cell, and whether somebody could
answer a prompt. A front end that says neither is treated as the least able one: it only prints.
"""

from __future__ import annotations

from typing import Any, Literal

Asker = Literal["terminal", "console", "runner", "notebook"]
"""
terminal   IPython itself: no kernel, no messages
console    jupyter console, Qt console, Spyder: prints, and replaces nothing that it has printed
runner     nbconvert, papermill: nobody looks on, the outputs are kept
notebook   JupyterLab, Notebook 7, VS Code: an output can be replaced by a later one
"""


def asker_of(shell: Any) -> Asker:
    if not hasattr(shell, "kernel"):
        return "terminal"
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    if request.get("content", {}).get("allow_stdin") is False:
        return "runner"
    return "notebook" if request.get("metadata", {}).get("cellId") else "console"


def cell_of(shell: Any) -> str:
    """The id of the notebook's cell that asks; empty where the front end does not tell."""
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = request.get("metadata", {}).get("cellId")
    return cell if isinstance(cell, str) else ""
