"""Somebody's tokens as their page shows them: what each is for, and which of them are of the browser in front of one.
Pure.

Each page that somebody opens in a browser has a token of its own, and gets a new one with each log-in. Those of one
browser have the same session at the hub, and are shown as one: a list of equal lines tells nobody which to revoke.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from .hub import epoch

OWN = "JupyterHub"
"""The client of tokens that no page has asked for."""
Kind = Literal["browser", "workspace", "own"]
_ORDER = {"browser": 0, "workspace": 1, "own": 2}


class Shown(msgspec.Struct, kw_only=True):
    """One line. `ids`: of the hub's tokens, in it together. `pages`: how many tokens each page has. Times: seconds of
    the epoch; `expires` is None for those that end with the workspace."""

    kind: Kind
    ids: list[str]
    note: str = ""
    pages: Counter[str] = msgspec.field(default_factory=Counter)
    created: float | None
    used: float | None
    expires: float | None
    is_here: bool = False


def shown_tokens(tokens: Iterable[Mapping[str, Any]], who: Mapping[str, Any]) -> list[Shown]:
    """`who`: whoever looks, as the hub knows them: with the token and the session by which it does. This browser
    first, then the others, then what belongs to no browser; the newest first."""
    lines: dict[tuple[Kind, str], Shown] = {}
    for each in tokens:
        client, note = str(each.get("oauth_client") or OWN), str(each.get("note") or "")
        kind: Kind = "browser" if client != OWN else "workspace" if note.startswith("Server at ") else "own"
        token = str(each["id"])
        session = str(each.get("session_id") or "") if kind == "browser" else ""
        found = Shown(
            kind=kind,
            ids=[token],
            note=note,
            created=epoch(each.get("created")),
            used=epoch(each.get("last_activity")),
            expires=epoch(each.get("expires_at")),
            is_here=token == who.get("token_id") or bool(session and session == who.get("session_id")),
        )
        line = lines.setdefault((kind, session or token), found)
        if line is not found:
            line.ids += found.ids
            line.created = min(filter(None, (line.created, found.created)), default=None)
            line.used = max(filter(None, (line.used, found.used)), default=None)
            line.expires = max(filter(None, (line.expires, found.expires)), default=None)
            line.is_here = line.is_here or found.is_here
        if kind == "browser":
            line.pages[client] += 1
    return sorted(lines.values(), key=lambda each: (not each.is_here, _ORDER[each.kind], -(each.created or 0)))
