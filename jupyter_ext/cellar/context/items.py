"""The parts of a question, rendered one by one: selection, file, folder, single cells, error, picture.

An item renders itself for the newest message, given what the messages before it already show (`Scene.known`) and how
much room it has (`Room`). What did not change is not sent again: it becomes a line of the focus block. The rendering
says what was left out, so that the receipt can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from cellar import wire
from cellar.context.clean import attribute, clean, clean_cut, clean_traceback, harmless, note, strip_ansi
from cellar.context.reasons import english, reason
from cellar.context.records import Folder
from cellar.context.redaction import Redactor
from cellar.context.tokens import estimate

OUTPUT_CAP = 6_000  # characters of one output while there is room
CELL_CAP = 16_000  # characters of all outputs of one cell
ERROR_LABEL = 120  # characters of the line that names an error
_LAST_LINE = 20_000  # characters of it that are looked at: more than the longest secret
CUT = " cut"  # behind the digest of what was sent in part
MAX_IMAGES = 8  # pictures of outputs in one message, the last ones

State = Literal["sent", "changes", "unchanged", "cut", "left_out", "unreadable"]
Kind = Literal["notebook", "cells", "selection", "file", "folder", "error", "image"]


class Room(msgspec.Struct, frozen=True):
    """`outputs`: characters per output; `chars`: of the whole item, None without a limit."""

    outputs: int = OUTPUT_CAP
    chars: int | None = None


class Picture(msgspec.Struct, frozen=True):
    caption: str
    image: wire.Image


class Rendered(msgspec.Struct, frozen=True):
    """`text` goes into the message, `focus` are lines for the focus block, `digests` what the message now shows."""

    text: str = ""
    state: State = "sent"
    reasons: tuple[wire.Reason, ...] = ()
    left_out: int = 0  # characters
    digests: dict[str, str] = {}
    focus: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


class Scene(msgspec.Struct, frozen=True):
    """What stands around an item. `pinned` are the cells the user points at (keys): they keep `pinned_output`
    characters of an output when room is short. `more`: send such a cell again when it was only sent shortened."""

    redactor: Redactor
    known: Mapping[str, str]
    vision: bool | None
    pinned: frozenset[str] = frozenset()
    pinned_output: int = 2_000
    more: bool = True
    folders: Mapping[str, Folder] = {}


class Item(Protocol):
    kind: Kind
    label: str
    path: str

    def render(self, scene: Scene, room: Room) -> Rendered: ...

    def size(self, scene: Scene, outputs: int) -> int:
        """Tokens of its texts in such a room, estimated without the work of rendering it; 0 where that is no work."""
        ...


def part_label(part: wire.ContextPart) -> str:
    """How a part is called on the screen, in no language: `a.py`, `a.py:3-9`, `a.ipynb (2)`."""
    if isinstance(part, wire.ImagePart):
        return part.name
    if isinstance(part, wire.GonePart):
        return part.label
    name = part.path.rstrip("/").rpartition("/")[2] or "/"  # of the root
    match part:
        case wire.CellsPart(cells=cells):
            return f"{name} ({len(cells)})"
        case wire.SelectionPart() if numbers := _numbers(part):
            return f"{name}:{numbers}"
        case _:
            return name


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


def envelope(tag: str, body: str, **attributes: str | int | None) -> str:
    """Our tags around a body that cannot forge them."""
    head = "".join(
        f' {name}="{attribute(str(value))}"' for name, value in attributes.items() if value not in (None, "")
    )
    return f"<ctx-{tag}{head}>\n{body.rstrip(chr(10))}\n</ctx-{tag}>"


# ---------------------------------------------------------------------------------------------------------------------


def _above(scene: Scene, key: str, digest: str) -> wire.Reason | None:
    """How the messages above show this content; None: it is to be sent. What they show cut is sent again when it is
    attached again and there is room: it may be whole, or longer, this time."""
    known = scene.known.get(key)
    if known == digest:
        return reason("above")
    return reason("above_in_part") if known == digest + CUT and not scene.more else None


class TextItem:
    """A selection or a file: one text, known by one digest. See `_above` for one that was cut."""

    def __init__(self, part: wire.SelectionPart | wire.FilePart) -> None:
        self.path = part.path
        self.part = part
        self.text = part.text or ""
        self.label = part_label(part)
        if isinstance(part, wire.SelectionPart):
            self.kind: Kind = "selection"
            self.lines = _lines(part)
            self.key = f"selection:{part.path}#{part.cell_id or ''}"
        else:
            self.kind = "file"
            self.lines = self.label
            self.key = f"file:{part.path}"

    def size(self, scene: Scene, outputs: int) -> int:
        return 0 if _above(scene, self.key, self._digest(scene)) else estimate(self.text)

    def _digest(self, scene: Scene) -> str:
        return scene.redactor.digest(self.text, self.lines).hex()

    def render(self, scene: Scene, room: Room) -> Rendered:
        digest = self._digest(scene)
        path = attribute(scene.redactor.mask(self.path))
        where = f"{self.lines} of {path}" if self.kind == "selection" else path
        above = _above(scene, self.key, digest)
        if above is not None:
            shown = english((above,))
            word = f"Selected, {shown}" if self.kind == "selection" else f"Attached again, unchanged, {shown}: file"
            return Rendered(state="unchanged", reasons=(above,), focus=(f"{word}: {where}",))
        if room.chars is None:
            text, left_out = clean(self.text, scene.redactor), 0
        else:
            text, left_out = clean_cut(self.text, room.chars, scene.redactor)
        part = self.part
        size = len(self.text)
        if isinstance(part, wire.FilePart) and part.cut:
            left_out, size = left_out + part.cut, size + part.cut
        if isinstance(part, wire.SelectionPart):
            cell = part.cell_id[:8] if part.cell_id else None
            body = envelope("selection", text, path=path, cell=cell, lines=_numbers(part), language=part.language)
        else:
            body = envelope("file", text, path=path)
        before = scene.known.get(self.key)
        changed = (reason("changed"),) if before not in (None, digest + CUT) else ()
        return Rendered(
            text=body,
            state="cut" if left_out else "sent",
            reasons=(reason("characters_left_out", left_out, size),) if left_out else changed,
            left_out=left_out,
            digests={self.key: digest + CUT if left_out else digest},
            focus=(f"Selected: {where}",) if self.kind == "selection" else (),
        )


def _numbers(part: wire.SelectionPart) -> str | None:
    if part.start_line is None:
        return None
    end = part.end_line if part.end_line is not None else part.start_line
    return f"{part.start_line}-{end}" if end != part.start_line else str(part.start_line)


def _lines(part: wire.SelectionPart) -> str:
    numbers = _numbers(part)
    return f"line{'s' if '-' in numbers else ''} {numbers}" if numbers else "selection"


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


def halve(cell: CellText, limit: int, redactor: Redactor) -> CellText:
    """The rendered (masked) cell, its middle cut out."""
    head, _, body = cell.text.partition("\n")
    size = max(0, limit - len(head))
    if len(body) <= size:
        return cell
    start, end = body[: size * 2 // 3], body[len(body) - size // 3 :] if size >= 3 else ""
    lost = len(body) - len(start) - len(end)
    return CellText(f"{head}\n{start}\n{note(lost)}\n{end}", cell.left_out + lost, True, cell.pictures, level=1)


def _last_line(cell: wire.Cell) -> str:
    for output in reversed(cell.outputs):
        if output.kind == "error" and output.text:
            return strip_ansi(output.text.rstrip().rpartition("\n")[2][:_LAST_LINE])
    return "error"


def masked_label(item: Item, redactor: Redactor) -> str:
    """What a person reads of the item. An error's is the last line of its traceback: masked first, then cut."""
    label = redactor.mask(item.label)
    return label[:ERROR_LABEL] if item.kind == "error" else label


class FolderItem:
    """A folder: its listing, and the small files that fit."""

    kind: Kind = "folder"

    def __init__(self, part: wire.FolderPart, folder: Folder) -> None:
        self.path = part.path
        self.label = part_label(part)
        self.folder = folder

    def size(self, scene: Scene, outputs: int) -> int:
        return 0

    def render(self, scene: Scene, room: Room) -> Rendered:
        folder, key = self.folder, f"folder:{self.path}"
        contents = [piece for file in folder.files for piece in (file.path, file.text or "")]
        digest = scene.redactor.digest(*folder.entries, "", *contents).hex()
        path = attribute(scene.redactor.mask(self.path))
        above = _above(scene, key, digest)
        if above is not None:
            focus = f"Attached again, unchanged, {english((above,))}: folder: {path}"
            return Rendered(state="unchanged", reasons=(above,), focus=(focus,))
        listing = "\n".join(folder.entries) + ("\n[... more entries left out ...]" if folder.truncated else "")
        limit = room.chars if room.chars is not None else len(listing) + 80
        listing, lost = clean_cut(listing, limit, scene.redactor, head=1.0)
        pieces, spent, gone = [listing], len(listing), 0
        for file in folder.files:
            text = envelope("file", clean(file.text or "", scene.redactor), path=scene.redactor.mask(file.path))
            if room.chars is not None and spent + len(text) > room.chars:
                gone, lost = gone + 1, lost + len(text)
                continue
            pieces.append(text)
            spent += len(text)
        if gone:
            pieces.append(f"[... the content of {gone} files was left out ...]")
        shown = len(folder.files) - gone
        return Rendered(
            text=envelope("folder", "\n".join(pieces), path=path),
            state="cut" if lost else "sent",
            reasons=(reason("folder", len(folder.entries), shown, len(folder.files)),),
            left_out=lost,
            digests={key: digest + CUT if lost else digest},
        )


class ImageItem:
    """A pasted picture. Sent unless the server says that the model does not see."""

    kind: Kind = "image"
    path = ""

    def __init__(self, part: wire.ImagePart) -> None:
        self.label = part_label(part)
        self.image = part.image

    def size(self, scene: Scene, outputs: int) -> int:
        return 0

    def render(self, scene: Scene, room: Room) -> Rendered:
        key, name = f"image:{self.label}", attribute(scene.redactor.mask(self.label))
        digest = scene.redactor.digest(self.image.mime, self.image.data).hex()
        if scene.vision is False:
            return Rendered(
                text=f'[the picture "{name}" was left out: this model does not see pictures]',
                state="left_out",
                reasons=(reason("no_vision"),),
            )
        if scene.known.get(key) == digest:
            return Rendered(state="unchanged", focus=(f"Attached again, unchanged, shown above: picture {name}",))
        return Rendered(digests={key: digest}, pictures=(Picture(f'(picture "{harmless(name)}")', self.image),))
