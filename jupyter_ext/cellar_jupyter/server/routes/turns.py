"""Turns: post, look, edit, remove, stop."""

from __future__ import annotations

from cellar import wire
from jupyter_server.auth.decorator import authorized
from tornado import web

from .base import Route


class TurnsRoute(Route):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.reply(await self.cellar.turns.post(self.body(wire.TurnRequest)), 201)


class TurnRoute(Route):
    @web.authenticated
    @authorized
    async def get(self, identity: str) -> None:
        self.reply(await self.cellar.turns.get(identity))

    @web.authenticated
    @authorized
    async def patch(self, identity: str) -> None:
        change = self.body(wire.TurnPatch)
        self.cellar.answering.check_context(change.context or ())
        self.reply(await self.cellar.turns.patch(identity, change))

    @web.authenticated
    @authorized
    async def delete(self, identity: str) -> None:
        await self.cellar.turns.delete(identity)
        self.set_status(204)
        self.finish()


class StopRoute(Route):
    @web.authenticated
    @authorized
    async def post(self, identity: str) -> None:
        self.reply(await self.cellar.turns.stop(identity))
