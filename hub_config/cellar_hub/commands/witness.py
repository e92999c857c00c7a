"""What an administrator does by this program is told to the gateway, whose audit keeps it.

The person is whoever started the command: CELLAR_OPERATOR where a wrapper outside of the container knows them, else the
account it runs under. It is what they claim; whoever may run this program may also lie to it.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ..hubapi import HubApi, HubRefused
from ..people import Unseen

PATIENCE = 30.0
"""Seconds that a gateway may take to answer: it starts beside the hub."""
PAUSE = 0.5


class Witness:
    """`gateway` is its second port."""

    def __init__(self, gateway: HubApi, env: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._actor = operator(env)

    def tell(self, action: str, subject: str, detail: dict[str, str], patience: float | None = None) -> None:
        """Returns when it is durable. `patience` in seconds. Raises Unseen."""
        event = {"action": action, "actor": self._actor, "subject": subject, "detail": detail}
        deadline = time.monotonic() + (PATIENCE if patience is None else patience)
        while True:
            try:
                self._gateway.ask("POST", "/events", event)
                return
            except HubRefused as refused:
                if refused.status not in (0, 503) or time.monotonic() > deadline:
                    raise Unseen(refused.status, f"the gateway keeps the audit, and takes nothing: {refused}") from None
            time.sleep(PAUSE)

    @contextmanager
    def watching(self, action: str, subject: str, **detail: str) -> Iterator[None]:
        """Tell it before it is done: nothing is done unseen. A failure is told after it. Raises Unseen."""
        self.tell(action, subject, detail)
        try:
            yield
        except Exception as error:
            with suppress(Unseen):
                self.tell(f"{action}.failed", subject, {"error": type(error).__name__}, patience=0)
            raise


def operator(env: Mapping[str, str]) -> str:
    """Who acts, as the audit names them."""
    return f"{env.get('CELLAR_OPERATOR', '').strip() or _account()} (command line)"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return "somebody"
