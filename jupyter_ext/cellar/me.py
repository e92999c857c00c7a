"""What the gateway tells a user about themselves: `GET /cellar/v1/me`, beside OpenAI's API. Pure: only structs.

The workspace server makes its `status` and `usage` of it; any client with a hub token may ask. Unknown fields are
ignored on reading, so that gateway and workspaces may be upgraded one after the other.
"""

from __future__ import annotations

from typing import Literal

from cellar.wire import Announcement, Feature, FeatureName, Reachable, Sent


class Spent(Sent):
    """Tokens and requests of one window."""

    prompt: int = 0
    completion: int = 0
    requests: int = 0


class Window(Sent, kw_only=True):
    """A calendar day or month in the site's time zone. `limit`: tokens, prompt and completion together; None: none.
    `reserved`: tokens held by requests under way; they count until these settle. `resets_at`: seconds of the epoch."""

    spent: Spent
    reserved: int = 0
    limit: int | None = None
    resets_at: float


class ServedModel(Sent, kw_only=True):
    """A model that this user may ask. `running` and `waiting`: requests of everybody at its server."""

    id: str
    state: Literal["up", "loading", "down"]
    running: int = 0
    waiting: int = 0
    max_inflight: int | None = None


class Me(Sent, kw_only=True):
    user: str
    groups: tuple[str, ...] = ()
    day: Window
    month: Window
    requests_per_minute: int | None = None
    max_tokens: int | None = None  # of one answer
    modes: tuple[str, ...] = ("ask",)
    features: dict[FeatureName, Feature] = {}  # noqa: RUF012 - msgspec copies it for each
    models: tuple[ServedModel, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    destinations: tuple[Reachable, ...] = ()  # what this user's workspace may reach in the building
