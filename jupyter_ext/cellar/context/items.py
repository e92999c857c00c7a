"""Selection, file, folder and picture as items of a message. Cells and notebooks have modules of their own."""

from __future__ import annotations

from cellar import wire
from cellar.context.clean import attribute, clean, clean_cut, harmless
from cellar.context.reasons import english, reason
from cellar.context.records import Folder
from cellar.context.scene import Kind, Picture, Rendered, Room, Scene, envelope, line_numbers, part_label
from cellar.context.tokens import estimate

CUT = " cut"  # behind the digest of what was sent in part


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
            body = envelope("selection", text, path=path, cell=cell, lines=line_numbers(part), language=part.language)
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


def _lines(part: wire.SelectionPart) -> str:
    numbers = line_numbers(part)
    return f"line{'s' if '-' in numbers else ''} {numbers}" if numbers else "selection"


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
