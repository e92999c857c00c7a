"""Status, use, search, preview; and the answer to every other path."""

from __future__ import annotations

from cellar import wire
from cellar.errors import BadRequest, NotFound
from jupyter_server.auth.decorator import authorized
from tornado import web

from .base import Route


class StatusRoute(Route):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.reply(await self.cellar.status())


class UsageRoute(Route):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.reply(await self.cellar.use())


class SearchRoute(Route):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.cellar.config.require("search")
        query = self.get_query_argument("q", "").strip()
        if len(query) > 200:
            raise BadRequest("A search has at most 200 characters")
        self.reply(await self.cellar.search.find(query))


class PreviewRoute(Route):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.reply(await self.cellar.answering.preview(self.body(wire.PreviewRequest)))


class NoRoute(Route):
    """Unknown paths: refused in our own shape, and only to somebody who may ask."""

    async def _refuse(self) -> None:
        raise NotFound("No such route")

    @web.authenticated
    @authorized
    async def get(self, rest: str) -> None:
        await self._refuse()

    @web.authenticated
    @authorized
    async def post(self, rest: str) -> None:
        await self._refuse()
