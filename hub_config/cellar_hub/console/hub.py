"""JupyterHub's API as pages ask it: with the token of whoever looks, so that the hub decides what they may."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from cellar_hub.hubapi import TOLD, told_mark

TIMEOUT = 20.0
GROUPS = "/cellar/groups"
"""Their names and how many members they have: the hub's own list has every member of each."""
LONGEST_NAME = 255
"""Characters that the hub's database keeps of a name."""
PAGES = "application/jupyterhub-pagination+json"


class HubSays(Exception):
    """The hub does not answer (`status` 0), or says no. `reason` is its own words, bounded."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class HubPages:
    """`url` ends in /hub/api. `secret`: the console's own token, by which the hub knows what the audit has heard."""

    def __init__(self, http: httpx.AsyncClient, url: str, secret: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._secret = secret

    async def ask(
        self,
        token: str,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str | int | list[str]] | None = None,
        accept: str = "application/json",
    ) -> Any:
        """The answer's JSON, None when it is empty. Raises HubSays."""
        headers = {"authorization": f"token {token}", "accept": accept, TOLD: told_mark(self._secret, token)}
        try:
            answer = await self._http.request(
                method, self._url + path, headers=headers, json=body, params=params, timeout=TIMEOUT
            )
        except (httpx.HTTPError, OSError) as error:
            raise HubSays(0, type(error).__name__) from None
        if not answer.is_success:
            raise HubSays(answer.status_code, _message(answer))
        return answer.json() if answer.content.strip() else None

    async def users(
        self, token: str, *, offset: int, limit: int, part: str = "", state: str = ""
    ) -> tuple[list[Any], int]:
        """(a page of users, how many there are). `state`: "active" for those whose workspace runs; `part` of a name."""
        params: dict[str, str | int] = {"offset": offset, "limit": limit, "sort": "name"}
        if part:
            params["name_filter"] = part
        if state:
            params["state"] = state
        found = await self.ask(token, "GET", "/users", params=params, accept=PAGES)
        return found["items"], int(found["_pagination"]["total"])


def user_path(name: str, *more: str) -> str:
    """Raises HubSays for what is no name."""
    return "/users/" + "/".join(map(_segment, (name, *more)))


def account_path(name: str) -> str:
    """Raises HubSays for what is no name."""
    return "/cellar/accounts/" + _segment(name)


def group_path(name: str, *more: str) -> str:
    """Raises HubSays for what is no name."""
    return "/groups/" + "/".join(map(_segment, (name, *more)))


def _segment(name: str) -> str:
    """HTTP libraries resolve dots: `tokens/..` would be the user, and deleting the token deletes them. And no database
    has a name with a NUL, or longer ones."""
    if name in ("", ".", "..") or "\0" in name or len(name) > LONGEST_NAME:
        raise HubSays(404, "Not Found")
    return quote(name, safe="")


def epoch(text: str | None) -> float | None:
    """Of a time that the hub writes."""
    try:
        return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
