"""JupyterHub's API as the command line and the admin's pages ask it: a few calls, one token, plain errors."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import quote, urlsplit

from cellar_hub.resolver import near_url

PATIENCE = 20.0  # seconds
PAGE = 200  # users


class HubRefused(Exception):
    """The hub does not answer, or says no. `status` is 0 when it does not answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class HubApi:
    """`url` ends in /hub/api. `name`: what it is called where it does not answer; the gateway is asked the same way.
    `pool`: workspaces' networks. The token goes to a container of this stack, or to a whole name. `patience`: seconds
    that it may say nothing."""

    def __init__(
        self, url: str, token: str, pool: IPv4Network, name: str = "the hub", patience: float = PATIENCE
    ) -> None:
        self._url, self._token, self._pool, self._name = url.rstrip("/"), token, pool, name
        self._patience = patience
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON, None when it is empty. Raises HubRefused."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self._token}", "Accept": "application/json"}
        headers["Host"] = urlsplit(self._url).netloc
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            url = near_url(self._url, self._pool) + path
            request = urllib.request.Request(url, data=data, headers=headers, method=method)
            with self._opener.open(request, timeout=self._patience) as answer:
                content = answer.read()
            return json.loads(content) if content.strip() else None
        except urllib.error.HTTPError as error:
            with error:
                raise HubRefused(error.code, _message(error.read(), f"{self._name} answers {error.code}")) from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # gone, gone half-way, or somebody else
            raise HubRefused(0, f"{self._name} does not answer at {self._url}: {error}") from None

    def users(self) -> list[dict[str, Any]]:
        """All of them, page by page."""
        found: list[dict[str, Any]] = []
        while page := self.ask("GET", f"/users?limit={PAGE}&offset={len(found)}"):
            found += page
            if len(page) < PAGE:
                break
        return found

    def user(self, name: str) -> str:
        """The path of a user."""
        return f"/users/{quote(name, safe='')}"


def _message(content: bytes, otherwise: str) -> str:
    try:
        found = json.loads(content)
        return str(found["error"]["message"] if "error" in found else found["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return otherwise
