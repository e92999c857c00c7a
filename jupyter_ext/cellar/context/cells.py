"""Cells in a message: how one is written, what is remembered of it, and single cells as an item."""

from __future__ import annotations

import msgspec

from cellar import wire
from cellar.context.clean import attribute, clean, clean_cut, clean_traceback, note, strip_ansi
from cellar.context.reasons import reason
from cellar.context.redaction import Redactor
from cellar.context.scene import Kind, Picture, Rendered, Room, Scene, envelope, masked_label, part_label

CELL_CAP = 16_000  # characters of all outputs of one cell
_LAST_LINE = 20_000  # characters of it that are looked at: more than the longest secret
MAX_IMAGES = 8  # pictures of outputs in one message, the last ones


def cell_key(path: str, cell_id: str) -> str:
    return f"cell:{path}#{cell_id}"


class CellState(msgspec.Struct, frozen=True):
    """What is remembered of a sent cell: its content's digest, its In[n], and how much of it was sent (0: all that ever
    is; 1: shortened outputs; 2: no source). A cell of level 1 or 2 is sent again when the user points at it."""

    digest: str
    count: str = ""
    level: int = 0

    def __str__(self) -> str:
        return f"{self.digest} {self.count} {self.level}"

    @classmethod
    def parse(cls, text: str | None) -> CellState | None:
        if text is None:
            return None
        digest, count, level = text.split(" ")
        return cls(digest, count, int(level))


def cell_digest(cell: wire.Cell, redactor: Redactor) -> str:
    """Of the kind, the source and the outputs; not of In[n], which changes with every run."""
    pieces = [cell.kind, cell.source]
    for output in cell.outputs:
        pieces += [output.kind, output.mark or output.text, output.image.data if output.image else ""]
    return redactor.digest(*pieces).hex()


def abridged(cell: wire.Cell, scene: Scene) -> bool:
    """Did the browser leave out more than it does when the user points at the cell?"""
    return any(output.cut and len(output.text) < scene.pinned_output for output in cell.outputs)


class CellText(msgspec.Struct, frozen=True):
    text: str
    left_out: int = 0
    cut: bool = False  # something of it is missing
    pictures: tuple[Picture, ...] = ()
    level: int = 0  # see CellState


def render_cell(
    cell: wire.Cell, scene: Scene, outputs: int, *, number: int | None, name: str, mark: str = ""
) -> CellText:
    """`<ctx-cell 3 code id="a1b2c3d4" In[7]>`, the source, then each output behind a `<ctx-out ...>` line. Nothing is
    closed: the next tag or the end of the envelope does that."""
    head = " ".join(
        piece
        for piece in (
            "<ctx-cell",
            str(number) if number is not None else "",
            cell.kind,
            f'id="{attribute(name)}"',
            f"In[{cell.execution_count}]" if cell.execution_count is not None else "",
            mark,
        )
        if piece
    )
    lines = [head + ">", clean(cell.source, scene.redactor)]
    left_out, spent, cut = 0, 0, False
    pictures: list[Picture] = []
    for output in cell.outputs:
        room = min(outputs, CELL_CAP - spent)
        text, lost = _render_output(output, room, scene)
        shortened = lost > output.cut or (room <= 0 and output.image is not None)
        cut, left_out, spent = cut or shortened, left_out + lost, spent + len(text)
        lines.append(f"<ctx-out {output.kind}>\n{text}" if text else f"<ctx-out {output.kind}>")
        if output.image is not None:
            if scene.vision and room > 0:
                pictures.append(Picture(f"(the picture in the output of cell {number or name})", output.image))
            else:
                lines.append("[a picture was left out]")
    more = (cut and outputs < scene.pinned_output) or abridged(cell, scene)
    return CellText("\n".join(lines), left_out, cut, tuple(pictures), 1 if more else 0)


def _render_output(output: wire.Output, room: int, scene: Scene) -> tuple[str, int]:
    if not output.text:
        return "", output.cut
    if output.kind == "error":
        cut = clean_traceback(output.text, max(room, 600), scene.redactor)
    else:
        cut = clean_cut(output.text, room, scene.redactor)
    text = cut.text.strip("\n")
    if output.cut and "left out" not in text:
        text += f"\n{note(output.cut)}"
    return text, cut.left_out + output.cut


def halve(cell: CellText, limit: int, redactor: Redactor) -> CellText:
    """The rendered (masked) cell, its middle cut out."""
    head, _, body = cell.text.partition("\n")
    size = max(0, limit - len(head))
    if len(body) <= size:
        return cell
    start, end = body[: size * 2 // 3], body[len(body) - size // 3 :] if size >= 3 else ""
    lost = len(body) - len(start) - len(end)
    return CellText(f"{head}\n{start}\n{note(lost)}\n{end}", cell.left_out + lost, True, cell.pictures, level=1)


class CellsItem:
    """Single cells, or the one that raised the last error."""

    def __init__(self, part: wire.CellsPart | wire.ErrorPart) -> None:
        self.path = part.path
        self.cells = part.cells if isinstance(part, wire.CellsPart) else (part.cell,)
        self.language = part.language
        self.kind: Kind = "cells" if isinstance(part, wire.CellsPart) else "error"
        if self.kind == "error":
            self.label = _last_line(part.cell) if isinstance(part, wire.ErrorPart) else ""
        else:
            self.label = part_label(part)

    def size(self, scene: Scene, outputs: int) -> int:
        return 0

    def render(self, scene: Scene, room: Room) -> Rendered:
        fresh: list[CellText] = []
        digests: dict[str, str] = {}
        seen: list[str] = []
        each = room.chars // len(self.cells) if room.chars is not None else None
        for cell in self.cells:
            key, digest = cell_key(self.path, cell.id), cell_digest(cell, scene.redactor)
            before = CellState.parse(scene.known.get(key))
            if before is not None and before.digest == digest and (before.level == 0 or not scene.more):
                seen.append(cell.id[:8])
                continue
            text = render_cell(cell, scene, max(room.outputs, scene.pinned_output), number=None, name=cell.id[:8])
            if each is not None and len(text.text) > each:
                text = render_cell(
                    cell,
                    scene,
                    max(0, each - len(cell.source)) // max(1, len(cell.outputs)),
                    number=None,
                    name=cell.id[:8],
                )
            if each is not None and len(text.text) > each:
                text = halve(text, each, scene.redactor)
            fresh.append(text)
            digests[key] = str(CellState(digest, str(cell.execution_count or ""), text.level))
        path = attribute(scene.redactor.mask(self.path))
        word = "Attached cells, shown above:"
        if self.kind == "error":
            word = f"The last error ({attribute(masked_label(self, scene.redactor))}) is in cell"
        focus = (f"{word} {', '.join(attribute(name) for name in seen)} of {path}",) if seen else ()
        if not fresh:
            return Rendered(state="unchanged", focus=focus, reasons=(reason("above"),))
        left_out, size = sum(text.left_out for text in fresh), sum(len(text.text) for text in fresh)
        return Rendered(
            text=envelope(self.kind, "\n".join(text.text for text in fresh), path=path, language=self.language),
            state="cut" if left_out else "sent",
            reasons=(reason("characters_left_out", left_out, left_out + size),) if left_out else (),
            left_out=left_out,
            digests=digests,
            focus=focus,
            pictures=tuple(picture for text in fresh for picture in text.pictures),
        )


def _last_line(cell: wire.Cell) -> str:
    for output in reversed(cell.outputs):
        if output.kind == "error" and output.text:
            return strip_ansi(output.text.rstrip().rpartition("\n")[2][:_LAST_LINE])
    return "error"
