"""JupyterHub's API as the command line and the admin's pages ask it: a few calls, one token, plain errors."""

from __future__ import annotations

import hmac
import http.client
import json
import urllib.error
import urllib.request
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import quote, urlsplit

from cellar_hub.resolver import near_url

TOLD = "X-Cellar-Told"
"""A header of calls that the audit was told of before they were made: only the console can make it (`told_mark`)."""
PATIENCE = 20.0  # seconds
PAGE = 200  # users


class HubRefused(Exception):
    """The hub does not answer, or says no. `status` is 0 when it does not answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def told_mark(secret: str, token: str) -> str:
    """`secret`: the console's own token. `token`: with which it asks, its user's: they know that one, and could ask
    with it without the console. Pure."""
    return hmac.new(secret.encode(), b"cellar told\0" + token.encode("utf-8", "replace"), "sha256").hexdigest()


class HubApi:
    """`url` ends in /hub/api. `name`: what it is called where it does not answer; the gateway is asked the same way.
    `pool`: workspaces' networks. The token goes to a container of this stack, or to a whole name. `patience`: seconds
    that it may say nothing. `told_by`: the console's token, where the audit is told before something is asked."""

    def __init__(
        self,
        url: str,
        token: str,
        pool: IPv4Network,
        name: str = "the hub",
        patience: float = PATIENCE,
        told_by: str = "",
    ) -> None:
        self._url, self._token, self._pool, self._name = url.rstrip("/"), token, pool, name
        self._more = {TOLD: told_mark(told_by, token)} if told_by else {}
        self._patience = patience
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON, None when it is empty. Raises HubRefused."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self._token}", "Accept": "application/json"} | self._more
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
