"""What a check is."""

from __future__ import annotations

from collections.abc import Callable


class Failed(Exception):
    """A check that found something wrong; the message says what, and what helps."""


Check = Callable[[], str]
"""What it found; or `Failed`."""
