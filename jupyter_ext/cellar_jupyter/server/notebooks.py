"""A notebook file as a context part: what the browser does with a live notebook, for one that only lies on the disk."""

from __future__ import annotations

from typing import Any

import msgspec
from cellar import wire
from cellar.context.clean import raw_edges
from cellar.errors import Unreadable

MAX_OUTPUT = 20_000
"""Characters of one output; head and tail are kept."""
MAX_IMAGE = 4_000_000
_KINDS = frozenset({"code", "markdown", "raw"})
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def notebook_part(path: str, data: bytes, auto: bool = False) -> wire.NotebookPart:
    """Raises `Unreadable` when the file is no notebook."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # the last one: nested deeper than anything sensible
        raise Unreadable("The notebook is not JSON that can be read", detail={"why": "not_json"}) from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("The file is JSON, but no notebook of format 4", detail={"why": "not_a_notebook"})
    made = [_cell(index, cell) for index, cell in enumerate(cells[: wire.MAX_CELLS]) if isinstance(cell, dict)]
    return wire.NotebookPart(path=path, cells=tuple(made), language=_language(document), auto=auto)


def _language(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = info.get("name") if isinstance(info, dict) else None
    return name[:64] if isinstance(name, str) else "python"


def _cell(index: int, cell: dict[str, Any]) -> wire.Cell:
    kind = cell.get("cell_type")
    identity = cell.get("id")
    count = cell.get("execution_count")
    outputs = cell.get("outputs")
    return wire.Cell(
        id=identity[:256] if isinstance(identity, str) and identity else f"cell-{index}",
        kind=kind if kind in _KINDS else "raw",
        source=_source(_text(cell.get("source"))),
        execution_count=count if isinstance(count, int) else None,
        outputs=tuple(_output(o) for o in outputs if isinstance(o, dict)) if isinstance(outputs, list) else (),
    )


def _output(output: dict[str, Any]) -> wire.Output:
    kind = output.get("output_type")
    if kind == "stream":
        text, cut = _cut(_text(output.get("text")))
        return wire.Output(kind="stderr" if output.get("name") == "stderr" else "stdout", text=text, cut=cut)
    if kind == "error":
        lines = _text(output.get("traceback"), "\n")
        text, cut = _cut(lines or f"{output.get('ename', 'Error')}: {output.get('evalue', '')}")
        return wire.Output(kind="error", text=text, cut=cut)
    data = output.get("data")
    bundle = data if isinstance(data, dict) else {}
    text, cut = _cut(_text(bundle.get("text/plain")))
    shown = wire.Output(kind="result" if kind == "execute_result" else "display", text=text, cut=cut)
    image = _image(bundle)
    return msgspec.structs.replace(shown, image=image) if image is not None else shown


def _image(bundle: dict[str, Any]) -> wire.Image | None:
    for mime in _IMAGES:
        data = _text(bundle.get(mime)).replace("\n", "")
        if data and len(data) <= MAX_IMAGE:
            return wire.Image(mime=mime, data=data)  # type: ignore[arg-type]  # one of the four by the loop
    return None


def _text(value: object, between: str = "") -> str:
    """nbformat writes a text as a string or as a list of lines."""
    if isinstance(value, list):
        return between.join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _source(text: str) -> str:
    return text if len(text) <= wire.MAX_TEXT else text[: raw_edges(text, wire.MAX_TEXT, 0)[0]]


def _cut(text: str) -> tuple[str, int]:
    if len(text) <= MAX_OUTPUT:
        return text, 0
    end, start = raw_edges(text, MAX_OUTPUT // 2, MAX_OUTPUT // 2)
    return f"{text[:end]}\n…\n{text[start:]}", start - end
