"""Context: what travels with a question. Outputs are reduced to text (and images) at the edge that owns them, the
browser or the kernel, and cut there head and tail; `cut` counts the characters left out. An output that may travel
shorter another time has a `mark`, which names its content.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from cellar.wire.terms import MAX_CELLS, MAX_PARTS, Name, Path, Posted, Text


class Image(Posted):
    mime: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: Annotated[str, msgspec.Meta(max_length=8_000_000)]  # base64, no data: prefix


class Output(Posted):
    kind: Literal["stdout", "stderr", "result", "display", "error"]
    text: Text = ""  # for an error: the traceback (ANSI allowed, it is stripped), its last line "Name: message"
    image: Image | None = None
    cut: int = 0
    mark: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Cell(Posted):
    id: Name
    kind: Literal["code", "markdown", "raw"]
    source: Text = ""
    execution_count: int | None = None
    outputs: tuple[Output, ...] = ()


class NotebookPart(Posted, tag="notebook"):
    """The live notebook, unsaved edits included. `path` is relative to the server's root."""

    path: Path
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=MAX_CELLS)]
    language: Name = "python"
    active_cell: Name | None = None
    auto: bool = False


class CellsPart(Posted, tag="cells"):
    """Single cells, added by hand (@cell, drag and drop, the cell toolbar)."""

    path: Path
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(min_length=1, max_length=MAX_CELLS)]
    language: Name = "python"
    auto: bool = False


class SelectionPart(Posted, tag="selection"):
    """Selected text of a cell or a file; lines are 1-based and inclusive."""

    path: Path
    text: Text
    cell_id: Name | None = None
    start_line: int | None = None
    end_line: int | None = None
    language: Name = ""
    auto: bool = False


class FilePart(Posted, tag="file"):
    """A file of the workspace. The server reads it, unless `text` carries the editor's unsaved state."""

    path: Path
    text: Text | None = None
    cut: int = 0  # bytes left out of the middle of `text`
    auto: bool = False


class FolderPart(Posted, tag="folder"):
    """A folder of the workspace: the server lists it (`.gitignore` honoured) and adds the small text files that fit."""

    path: Path
    auto: bool = False


class ErrorPart(Posted, tag="error"):
    """The last error: the cell that raised it, its traceback among its outputs."""

    path: Path
    cell: Cell
    language: Name = "python"
    auto: bool = False


class ImagePart(Posted, tag="image"):
    """A pasted or uploaded picture."""

    name: Name
    image: Image
    auto: bool = False


class GonePart(Posted, tag="gone"):
    """What was attached and was no longer there when the question was sent: nothing of it travels but its name."""

    kind: Literal["cells", "selection", "error"]
    path: Path
    label: Name
    auto: bool = False


ContextPart = NotebookPart | CellsPart | SelectionPart | FilePart | FolderPart | ErrorPart | ImagePart | GonePart
ContextParts = Annotated[tuple[ContextPart, ...], msgspec.Meta(max_length=MAX_PARTS)]
