"""Which turn each `request_key` made, so that a question posted twice is asked once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from cellar import wire
from cellar.errors import CellarError, NotFound

REMEMBERED = 20_000


class RequestKeys:
    """The newest keys, with their turns or with who is about to take them."""

    def __init__(self) -> None:
        self._taken: OrderedDict[str, asyncio.Future[wire.TurnCreated]] = OrderedDict()

    async def known(self, key: str) -> wire.TurnCreated | None:
        """The turn that `key` made; waits while it is being taken, and raises what refused it."""
        taken = self._taken.get(key)
        return None if taken is None else await asyncio.shield(taken)

    @contextmanager
    def taking(self, key: str) -> Iterator[Callable[[wire.TurnCreated], None]]:
        """Take a question with a new key: the block calls what it gets with the turn.

        Failing before that frees the key; failing after it does not, since the turn is there.
        """
        taken: asyncio.Future[wire.TurnCreated] = asyncio.get_running_loop().create_future()
        self._taken[key] = taken
        try:
            yield taken.set_result
        except BaseException as error:
            if not taken.done():
                del self._taken[key]
                taken.set_exception(error if isinstance(error, CellarError) else NotFound("The turn was not taken"))
                taken.exception()  # whoever waited has it; nobody has to
            raise
        while len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)

    def learn(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """(request_key, turn id, conversation id) of earlier servers."""
        for key, turn_id, conversation_id in keys:
            if key and key not in self._taken:
                with self.taking(key) as took:
                    took(wire.TurnCreated(turn_id=turn_id, conversation_id=conversation_id, state="interrupted"))
