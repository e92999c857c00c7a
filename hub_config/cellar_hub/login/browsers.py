"""Browsers in which somebody has logged in, told from others at the same address by a cookie.

Behind one router everybody has one address, and whoever sits there could make another wait by guessing at their name. A
browser in which the right password was typed is a place of its own for the throttle: it waits for what was typed in
itself. The cookie opens nothing and says no name: it holds the keyed hash that names are counted by, and a mark.
"""

from __future__ import annotations

import secrets
from typing import Any

from .throttle import BROWSER, DAY, KNOWN_FOR

COOKIE = "cellar-browser"
DAYS = round(KNOWN_FOR / DAY)


def browser_of(handler: Any, key: str) -> str:
    """As the throttle counts it; empty where nobody of that name has logged in with it."""
    found: bytes = handler.get_secure_cookie(COOKIE, max_age_days=DAYS) or b""
    whose, _, mark = found.decode("ascii", "replace").partition(":")
    return BROWSER + mark if mark and whose == key else ""


def keep_browser(handler: Any, key: str) -> None:
    """After a log-in. One that is kept already stays the same place."""
    mark = browser_of(handler, key).removeprefix(BROWSER) or secrets.token_hex(8)
    more = {"path": handler.hub.base_url, "expires_days": DAYS, "samesite": "Lax"}
    handler._set_cookie(COOKIE, f"{key}:{mark}", **more)
