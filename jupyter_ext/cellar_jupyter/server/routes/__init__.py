"""The routes of the workspace server, all under `<base_url>cellar/api/`."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join

from . import conversations, events, small, turns

_ID = r"(?P<identity>[A-Za-z0-9_-]{1,64})"

ROUTES: tuple[tuple[str, type[Any]], ...] = (
    ("status", small.StatusRoute),
    ("usage", small.UsageRoute),
    ("search", small.SearchRoute),
    ("context/preview", small.PreviewRoute),
    ("turns", turns.TurnsRoute),
    (f"turns/{_ID}", turns.TurnRoute),
    (f"turns/{_ID}/stop", turns.StopRoute),
    (f"turns/{_ID}/events", events.TurnEventsRoute),
    ("events", events.EventsRoute),
    ("conversations", conversations.ConversationsRoute),
    (f"conversations/{_ID}", conversations.ConversationRoute),
    (f"conversations/{_ID}/export", conversations.ExportRoute),
)


def handlers(base_url: str) -> list[tuple[str, type[Any]]]:
    """For `web_app.add_handlers`. What is not listed answers 404 in our own shape, behind the same door."""
    top = url_path_join(base_url, "cellar", "api")
    return [(url_path_join(top, path), route) for path, route in ROUTES] + [
        (url_path_join(top, "(?P<rest>.*)"), small.NoRoute)
    ]
