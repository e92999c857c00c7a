"""The parts of a question are items of its message, rendered one by one.

An item renders itself for the newest message, given what the messages before it already show (`Scene.known`) and how
much room it has (`Room`). What did not change is not sent again: it becomes a line of the focus block. The rendering
says what was left out, so that the receipt can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from cellar import wire
from cellar.context.clean import attribute
from cellar.context.records import Folder
from cellar.context.redaction import Redactor

OUTPUT_CAP = 6_000  # characters of one output while there is room
ERROR_LABEL = 120  # characters of the line that names an error

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
        case wire.SelectionPart() if numbers := line_numbers(part):
            return f"{name}:{numbers}"
        case _:
            return name


def line_numbers(part: wire.SelectionPart) -> str | None:
    if part.start_line is None:
        return None
    end = part.end_line if part.end_line is not None else part.start_line
    return f"{part.start_line}-{end}" if end != part.start_line else str(part.start_line)


def masked_label(item: Item, redactor: Redactor) -> str:
    """What a person reads of the item. An error's is the last line of its traceback: masked first, then cut."""
    label = redactor.mask(item.label)
    return label[:ERROR_LABEL] if item.kind == "error" else label


def envelope(tag: str, body: str, **attributes: str | int | None) -> str:
    """Our tags around a body that cannot forge them."""
    head = "".join(
        f' {name}="{attribute(str(value))}"' for name, value in attributes.items() if value not in (None, "")
    )
    return f"<ctx-{tag}{head}>\n{body.rstrip(chr(10))}\n</ctx-{tag}>"
