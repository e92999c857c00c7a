"""The live notebook: whole the first time, then only the cells that changed, came, went or moved.

The copy in the history stays as it was sent. So nothing that changes by itself may be in it: which cell is active
stands in the focus block of the newest message, and a cell that only ran again with the same output is one word in a
line.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from cellar import wire
from cellar.context.cells import MAX_IMAGES, CellState, CellText, abridged, cell_digest, cell_key, halve, render_cell
from cellar.context.clean import attribute
from cellar.context.reasons import reason
from cellar.context.scene import Kind, Rendered, Room, Scene, envelope, part_label
from cellar.context.tokens import estimate


class NotebookItem:
    kind: Kind = "notebook"

    def __init__(self, part: wire.NotebookPart) -> None:
        self.part = part
        self.path = part.path
        self.label = part_label(part)
        self.ids = _unique(part.cells)
        self.names = _short(self.ids)
        self._digests: list[str] | None = None

    def size(self, scene: Scene, outputs: int) -> int:
        shown = _Changes(self, self._known_digests(scene), scene).shown()
        cells = [self.part.cells[index] for index in shown]
        pieces = [cell.source for cell in cells]
        pieces += [output.text[:outputs] for cell in cells for output in cell.outputs]
        return estimate("\n".join(pieces))

    def _known_digests(self, scene: Scene) -> list[str]:
        if self._digests is None:
            self._digests = [cell_digest(cell, scene.redactor) for cell in self.part.cells]
        return self._digests

    def render(self, scene: Scene, room: Room) -> Rendered:
        changes = _Changes(self, self._known_digests(scene), scene)
        shown = changes.shown()
        texts, far, images_lost = self._cells(shown, changes.marks, scene, room)
        body = "\n".join(texts[index].text for index in shown if index in texts)
        body = self._with_gaps(shown, texts) if far else body
        notes = changes.notes()
        focus = self._focus(scene)
        if not shown and not notes and changes.before is not None:
            return Rendered(state="unchanged", focus=focus)
        digests = changes.digests(texts)
        left_out = sum(text.left_out for text in texts.values()) + far
        pictures = [picture for index in shown if index in texts for picture in texts[index].pictures]
        return Rendered(
            text=envelope(
                "notebook",
                "\n".join(piece for piece in (*notes, body) if piece),
                path=scene.redactor.mask(self.path),
                language=self.part.language,
                cells=len(self.ids),
                shows="changes" if changes.before is not None else None,
            ),
            state="cut" if left_out else "changes" if changes.before is not None else "sent",
            reasons=self._reasons(changes, shown, texts, images_lost),
            left_out=left_out,
            digests=digests,
            focus=focus,
            pictures=tuple(pictures[-MAX_IMAGES:]),
        )

    def _cells(
        self, shown: list[int], marks: dict[int, str], scene: Scene, room: Room
    ) -> tuple[dict[int, CellText], int, int]:
        """Texts of the cells that fit (nearest to what the user points at first), characters of those that do not, and
        how many pictures stayed behind."""
        center = self._center(scene, shown)
        budget = room.chars
        texts: dict[int, CellText] = {}
        far = 0
        for index in sorted(shown, key=lambda index: (abs(index - center), index)) if budget is not None else shown:
            cell = self.part.cells[index]
            pinned = cell_key(self.path, self.ids[index]) in scene.pinned
            cap = max(room.outputs, scene.pinned_output) if pinned else room.outputs
            if budget is not None and budget < 40:
                far += _size(cell)
                continue
            text = self._cell(index, scene, cap, marks.get(index, ""))
            if budget is not None and len(text.text) > budget:
                text = self._cell(index, scene, 0, marks.get(index, "")) if cell.outputs else text
                if len(text.text) > budget and not texts:
                    text = halve(text, budget, scene.redactor)
                elif len(text.text) > budget:
                    far += _size(cell)
                    budget = 0 if len(texts) > 4 else budget  # no holes further out than a few cells
                    continue
            texts[index] = text
            budget = budget - len(text.text) if budget is not None else None
        pictures = sum(1 for index in shown for output in self.part.cells[index].outputs if output.image)
        return texts, far, pictures - sum(len(text.pictures) for text in texts.values())

    def _cell(self, index: int, scene: Scene, outputs: int, mark: str) -> CellText:
        return render_cell(
            self.part.cells[index], scene, outputs, number=index + 1, name=self.names[index], mark=mark
        )  # fmt: skip

    def _with_gaps(self, shown: list[int], texts: dict[int, CellText]) -> str:
        pieces: list[str] = []
        gap: list[int] = []
        for index in [*shown, -1]:
            if index >= 0 and index not in texts:
                gap.append(index)
                continue
            if gap:
                size = sum(_size(self.part.cells[missing]) for missing in gap)
                which = f"cell {gap[0] + 1}" if len(gap) == 1 else f"cells {gap[0] + 1} to {gap[-1] + 1}"
                pieces.append(f"[... {which} left out: {size:,} characters ...]")
                gap = []
            if index >= 0:
                pieces.append(texts[index].text)
        return "\n".join(pieces)

    def _center(self, scene: Scene, shown: list[int]) -> int:
        active = self._active()
        if active is not None:
            return active
        pinned = [i for i, cell_id in enumerate(self.ids) if cell_key(self.path, cell_id) in scene.pinned]
        return pinned[-1] if pinned else shown[-1] if shown else 0

    def _active(self) -> int | None:
        wanted = self.part.active_cell
        return self.ids.index(wanted) if wanted is not None and wanted in self.ids else None

    def _focus(self, scene: Scene) -> tuple[str, ...]:
        active = self._active()
        path = attribute(scene.redactor.mask(self.path))
        if active is None:
            return (f"Notebook: {path}",)
        kind = self.part.cells[active].kind
        return (f"Notebook: {path}. Active cell: {active + 1} ({kind}, id {attribute(self.names[active])})",)

    def _reasons(
        self, changes: _Changes, shown: list[int], texts: dict[int, CellText], images: int
    ) -> tuple[wire.Reason, ...]:
        found = []
        if changes.before is not None:
            found.append(reason("cells_changed", len(shown), len(self.ids)))
        if len(texts) < len(shown):
            found.append(reason("cells_left_out", len(shown) - len(texts)))
        cut = sum(1 for text in texts.values() if text.cut)
        if cut:
            found.append(reason("outputs_shortened", cut))
        if images:
            found.append(reason("pictures_left_out", images))
        return tuple(found)


class _Changes:
    """What of the notebook the messages before do not show."""

    def __init__(self, item: NotebookItem, digests: list[str], scene: Scene) -> None:
        self.item = item
        self.now = digests
        self.order_key, self.whole_key = f"order:{item.path}", f"whole:{item.path}"
        known = scene.known if self.whole_key in scene.known else {}
        order = known.get(self.order_key)
        self.before: list[str] | None = msgspec.json.decode(order, type=list[str]) if order is not None else None
        self.marks: dict[int, str] = {}
        self.again: dict[int, int] = {}  # cells that only ran again: index -> level of the copy that was sent
        if self.before is None:
            return
        old = set(self.before)
        for index, cell_id in enumerate(item.ids):
            key = cell_key(item.path, cell_id)
            state = CellState.parse(known.get(key))
            if cell_id not in old:
                self.marks[index] = "new"
            elif state is None or state.digest != digests[index]:
                self.marks[index] = "changed"
            elif state.level > 0 and scene.more and key in scene.pinned and not abridged(item.part.cells[index], scene):
                self.marks[index] = "more"
            elif state.count != _count(item.part.cells[index]):
                self.again[index] = state.level

    def shown(self) -> list[int]:
        return list(range(len(self.item.ids))) if self.before is None else sorted(self.marks)

    def notes(self) -> list[str]:
        if self.before is None:
            return []
        item, here = self.item, set(self.item.ids)
        lines = []
        old_names = dict(zip(self.before, _short(self.before), strict=True))
        removed = [attribute(old_names[cell_id]) for cell_id in self.before if cell_id not in here]
        if removed:
            lines.append(f"[removed cells: {', '.join(removed)}]")
        for index in _moved([c for c in self.before if c in here], item.ids, set(self.before)):
            lines.append(f"[cell {attribute(item.names[index])} moved: it is cell {index + 1} now]")
        added = [index for index, mark in self.marks.items() if mark == "new"]
        if removed or added or lines:
            lines.append(f"[{len(item.ids)} cells now, numbered anew from the top]")
        if self.again:
            which = ", ".join(f"{index + 1} {_run(item.part.cells[index])}" for index in list(self.again)[:20])
            more = f" and {len(self.again) - 20} more" if len(self.again) > 20 else ""
            lines.append(f"[run again, same source and outputs: cells {which}{more}]")
        return lines

    def digests(self, texts: dict[int, CellText]) -> dict[str, str]:
        item = self.item
        digests: dict[str, str] = {}
        for index in [*self.shown(), *self.again]:
            text = texts.get(index)
            level = self.again.get(index, text.level if text is not None else 2)
            state = CellState(self.now[index], _count(item.part.cells[index]), level)
            digests[cell_key(item.path, item.ids[index])] = str(state)
        if self.before != item.ids:
            digests[self.order_key] = msgspec.json.encode(item.ids).decode()
        if self.before is None:
            digests[self.whole_key] = "1"
        return digests


def _count(cell: wire.Cell) -> str:
    return str(cell.execution_count) if cell.execution_count is not None else ""


def _run(cell: wire.Cell) -> str:
    return f"In[{cell.execution_count}]" if cell.execution_count is not None else "(not run)"


def _size(cell: wire.Cell) -> int:
    return len(cell.source) + sum(len(output.text) + output.cut for output in cell.outputs)


def _unique(cells: tuple[wire.Cell, ...]) -> list[str]:
    """Ids of the cells; old notebooks have none, broken ones have an id twice."""
    seen: set[str] = set()
    ids = []
    for index, cell in enumerate(cells):
        cell_id = cell.id if cell.id and cell.id not in seen else f"{cell.id}~{index + 1}"
        seen.add(cell_id)
        ids.append(cell_id)
    return ids


def _short(ids: list[str]) -> list[str]:
    """JupyterLab's ids are UUIDs: their first eight characters say the same for a third of the tokens."""
    heads: dict[str, int] = {}
    for cell_id in ids:
        heads[cell_id[:8]] = heads.get(cell_id[:8], 0) + 1
    return [cell_id[:8] if heads[cell_id[:8]] == 1 else cell_id for cell_id in ids]


def _moved(before: list[str], now: list[str], old: set[str]) -> list[int]:
    """Indexes in `now` of the fewest cells whose move explains the new order (all but a longest rising run)."""
    place = {cell_id: number for number, cell_id in enumerate(before)}
    common = [(index, place[cell_id]) for index, cell_id in enumerate(now) if cell_id in old]
    tails: list[int] = []
    chain: list[int] = []  # position in `common` of the last element of the best run of each length
    previous: list[int] = []
    for position, (_, number) in enumerate(common):
        at = bisect_left(tails, number)
        previous.append(chain[at - 1] if at else -1)
        if at == len(tails):
            tails.append(number)
            chain.append(position)
        else:
            tails[at], chain[at] = number, position
    kept: set[int] = set()
    position = chain[-1] if chain else -1
    while position >= 0:
        kept.add(position)
        position = previous[position]
    return [index for position, (index, _) in enumerate(common) if position not in kept]
