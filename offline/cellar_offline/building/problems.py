"""The one error of the connected side."""

from __future__ import annotations

from cellar_offline.release import Unusable


class CannotBuild(Unusable):
    """The bundle cannot be made of this; the message is for a person and says the cure. Nothing is called complete."""
