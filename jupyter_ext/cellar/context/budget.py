"""How much fits: the budget of a prompt, and the relief when the newest context is too big.

Relief goes in this order, and each step is a row of the receipt: outputs get shorter; then the biggest items are cut
(notebooks lose the cells farthest from where the user is, files their middle); then items are left out. The question is
never cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cellar import wire
from cellar.context.reasons import reason
from cellar.context.scene import OUTPUT_CAP, Item, Rendered, Room, Scene
from cellar.context.tokens import TokenCounter

DEFAULT_CONTEXT = 8_192  # tokens, when the server does not say
MOST_ANSWER = 4_096  # tokens kept free for the answer, unless someone asks for more
DROP_TO = 0.6  # of the budget: where the history is cut down to when the budget is reached
CONTEXT_SHARE = 0.75  # of the budget: what the newest context may take, so that the next questions fit behind it
BARE_SHARE = 0.2  # of the budget: the last questions and answers, when not even one whole turn can stay
_LEAST = 40  # tokens: an item with less room is left out
_OUTPUT_CAPS = (1_500, 400, 0)  # characters of one output, step by step
_GENTLE = (1_500, 400)  # characters: outputs may get as short as this before earlier turns leave
MESSAGE_TOKENS = 5  # what a chat template puts around a message


class Budget(msgspec.Struct, frozen=True):
    """Tokens: what the model reads in all, what is kept free for the answer, what the prompt may have."""

    context_length: int
    max_tokens: int

    @property
    def prompt(self) -> int:
        return self.context_length - self.max_tokens

    @classmethod
    def of(cls, model: wire.Model, max_tokens: int | None, mode: wire.Mode = "ask") -> Budget:
        """A summary is asked for when the budget is reached: it gets half of the room of an answer, so that its own
        prompt does not push out what it is to keep."""
        length = model.context_length if model.context_length > 0 else DEFAULT_CONTEXT
        wanted = max_tokens if max_tokens and max_tokens > 0 else min(MOST_ANSWER, length // 4)
        if mode == "compact":
            wanted = min(wanted, max(256, min(MOST_ANSWER, length // 4) // 2))
        return cls(length, max(1, min(wanted, length // 2)))


def cost(rendered: Rendered, counter: TokenCounter) -> int:
    """Tokens to hold against the budget."""
    return (
        counter.weigh(rendered.text)
        + sum(counter.weigh(line) + 1 for line in rendered.focus)
        + sum(counter.picture(picture.image) + counter.weigh(picture.caption) for picture in rendered.pictures)
    )


def render_all(items: Sequence[Item], scene: Scene, rooms: Sequence[Room | None]) -> list[Rendered]:
    """Every item in its room (None: left out); an item sees what those before it show."""
    known = dict(scene.known)
    rendered = []
    for item, room in zip(items, rooms, strict=True):
        if room is None:
            whole = item.render(msgspec.structs.replace(scene, known=known), Room())
            rendered.append(
                Rendered(state="left_out", reasons=(reason("no_room"),), left_out=len(whole.text) + whole.left_out)
                if whole.text
                else whole
            )
            continue
        one = item.render(msgspec.structs.replace(scene, known=known), room)
        known.update(one.digests)
        rendered.append(one)
    return rendered


def need(items: Sequence[Item], scene: Scene, room: int, counter: TokenCounter) -> int:
    """Tokens of the items at their natural size; only a lower bound of it when that is already more than `room`."""
    least = _least(items, scene, OUTPUT_CAP, counter)
    if least > room:
        return least
    return total(render_all(items, scene, [Room()] * len(items)), counter)


def fits_gently(items: Sequence[Item], scene: Scene, room: int, counter: TokenCounter) -> bool:
    """Do the items fit, if need be with shorter outputs?"""
    if need(items, scene, room, counter) <= room:
        return True
    return any(
        _least(items, scene, cap, counter) <= room
        and total(render_all(items, scene, [Room(outputs=cap)] * len(items)), counter) <= room
        for cap in _GENTLE
    )


def _least(items: Sequence[Item], scene: Scene, outputs: int, counter: TokenCounter) -> int:
    """A lower bound of the tokens, good enough not to make a big notebook ready for nothing: masking costs more than
    estimating."""
    return int(sum(item.size(scene, outputs) for item in items) * counter.ratio * 0.7)


def fit(items: Sequence[Item], scene: Scene, room: int, counter: TokenCounter) -> list[Rendered]:
    """The items within `room` tokens."""
    rendered: list[Rendered] = []
    for cap in (OUTPUT_CAP, *_OUTPUT_CAPS):
        if cap and _least(items, scene, cap, counter) > room:
            continue
        rendered = render_all(items, scene, [Room(outputs=cap)] * len(items))
        if total(rendered, counter) <= room:
            return rendered
    rooms = _share(rendered, room, counter)
    for _ in range(4):
        rendered = render_all(items, scene, rooms)
        over = total(rendered, counter)
        if over <= room:
            return rendered
        factor = 0.9 * max(room, 0) / over
        rooms = [_smaller(one, factor) for one in rooms]
    return _leave_out(items, scene, rooms, room, counter)


def total(rendered: Sequence[Rendered], counter: TokenCounter) -> int:
    return sum(cost(one, counter) for one in rendered)


def _share(rendered: Sequence[Rendered], room: int, counter: TokenCounter) -> list[Room | None]:
    """Small items stay whole; what they leave is shared equally by the big ones."""
    costs = [cost(one, counter) for one in rendered]
    rooms: list[Room | None] = [None] * len(rendered)
    rest = room
    order = sorted(range(len(rendered)), key=lambda index: costs[index])
    for place, index in enumerate(order):
        share = rest // (len(order) - place)
        if costs[index] <= share:
            rooms[index] = Room(outputs=0)
            rest -= costs[index]
        elif share >= _LEAST and rendered[index].text:
            per_token = len(rendered[index].text) / max(1, counter.weigh(rendered[index].text))
            rooms[index] = Room(outputs=0, chars=max(1, int((share - _LEAST // 2) * per_token)))
            rest -= share
    return rooms


def _smaller(room: Room | None, factor: float) -> Room | None:
    if room is None or room.chars is None:
        return room
    return Room(outputs=0, chars=int(room.chars * factor))


def _leave_out(
    items: Sequence[Item], scene: Scene, rooms: list[Room | None], room: int, counter: TokenCounter
) -> list[Rendered]:
    """The last resort: the biggest item leaves, until the rest fits."""
    while True:
        rendered = render_all(items, scene, rooms)
        if total(rendered, counter) <= room or not any(rooms):
            return rendered
        biggest = max((i for i, one in enumerate(rooms) if one), key=lambda i: cost(rendered[i], counter))
        rooms[biggest] = None
