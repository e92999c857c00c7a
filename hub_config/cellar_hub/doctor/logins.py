"""Whether log-in is set up so that it can work: the settings are whole, and a provider of OpenID Connect is there and
is believed, as the hub will ask it."""

from __future__ import annotations

import asyncio

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from ..login.discovery import Distrusted, carefully, discover
from ..login.ways import check_login
from ..settings import HubSettings
from .findings import Failed


def settled(settings: HubSettings) -> str:
    """Raises SettingsError, too."""
    check_login(settings)
    if settings.login != "oidc":
        return f"{settings.login}, its settings are whole"
    try:
        return asyncio.run(_provider(settings))
    except Distrusted as problem:
        raise Failed(str(problem)) from None
    except (HTTPClientError, OSError) as error:
        raise Failed(f"the provider cannot be asked: {error}") from None


async def _provider(settings: HubSettings) -> str:
    if settings.oidc_issuer:
        found = await discover(settings.oidc_issuer, settings.oidc_ca)
        return f"{settings.oidc_issuer} says where it is: {found.authorize}"
    for address in (settings.oidc_token_url, settings.oidc_userinfo_url):  # without a token it refuses, and is there
        answer = await AsyncHTTPClient().fetch(carefully(HTTPRequest(address), settings.oidc_ca), raise_error=False)
        if answer.error and answer.code == 599:
            raise answer.error
        if 300 <= answer.code < 400:
            raise Distrusted(f"{address} answers {answer.code}, and the hub goes nowhere else")
    return f"{settings.oidc_token_url} answers"
