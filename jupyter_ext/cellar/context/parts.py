"""From what a browser or a kernel posted to the items of a message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cellar import wire
from cellar.context.cells import CellsItem, cell_key
from cellar.context.clean import strip_ansi
from cellar.context.items import FolderItem, ImageItem, TextItem
from cellar.context.notebook import NotebookItem
from cellar.context.reasons import reason
from cellar.context.records import PromptInput
from cellar.context.redaction import Redactor
from cellar.context.scene import Item


class Unreadable(msgspec.Struct, frozen=True):
    kind: str
    path: str
    reason: wire.Reason
    label: str = ""  # as the pill is called, where the path does not say which one it is


def items_of(given: PromptInput) -> tuple[list[Item], list[Unreadable]]:
    """Items in the order of the message (notebooks first: the others refer to their cells), each only once; and what
    the edge could not read."""
    unreadable = [Unreadable(notice.kind, notice.path, notice.reason) for notice in given.notices]
    told = {notice.path for notice in given.notices}
    items: list[Item] = []
    for part in dict.fromkeys(sorted(given.parts, key=lambda part: not isinstance(part, wire.NotebookPart))):
        match part:
            case wire.NotebookPart():
                items.append(NotebookItem(part))
            case wire.CellsPart() | wire.ErrorPart():
                items.append(CellsItem(part))
            case wire.SelectionPart():
                items.append(TextItem(part))
            case wire.FilePart():
                if part.text is not None:
                    items.append(TextItem(part))
                elif part.path not in told:
                    unreadable.append(Unreadable("file", part.path, reason("not_read")))
            case wire.FolderPart():
                folder = given.folders.get(part.path)
                if folder is not None:
                    items.append(FolderItem(part, folder))
                elif part.path not in told:
                    unreadable.append(Unreadable("folder", part.path, reason("not_read")))
            case wire.ImagePart():
                items.append(ImageItem(part))
            case wire.GonePart():
                unreadable.append(Unreadable(part.kind, part.path, reason("gone"), part.label))
    return items, unreadable


def masked_parts(parts: Sequence[wire.ContextPart], redactor: Redactor) -> tuple[wire.ContextPart, ...]:
    """The parts without their secrets: what of them may be kept on a disk."""
    replace = msgspec.structs.replace

    def mask(text: str) -> str:
        return redactor.mask(strip_ansi(text))

    def masked_cell(cell: wire.Cell) -> wire.Cell:
        outputs = tuple(replace(output, text=mask(output.text)) for output in cell.outputs)
        return replace(cell, source=mask(cell.source), outputs=outputs)

    def masked(part: wire.ContextPart) -> wire.ContextPart:
        match part:
            case wire.NotebookPart() | wire.CellsPart():
                return replace(part, cells=tuple(masked_cell(cell) for cell in part.cells))
            case wire.ErrorPart():
                return replace(part, cell=masked_cell(part.cell))
            case wire.SelectionPart(text=str(text)) | wire.FilePart(text=str(text)):
                return replace(part, text=mask(text))
            case _:
                return part

    return tuple(masked(part) for part in parts)


def pinned_cells(parts: Sequence[wire.ContextPart]) -> frozenset[str]:
    """The cells the user points at."""
    keys: set[str] = set()
    for part in parts:
        match part:
            case wire.NotebookPart(path=path, active_cell=str(cell)):
                keys.add(cell_key(path, cell))
            case wire.SelectionPart(path=path, cell_id=str(cell)):
                keys.add(cell_key(path, cell))
            case wire.CellsPart(path=path, cells=cells):
                keys.update(cell_key(path, one.id) for one in cells)
            case wire.ErrorPart(path=path, cell=error):
                keys.add(cell_key(path, error.id))
            case _:
                pass
    return frozenset(keys)
