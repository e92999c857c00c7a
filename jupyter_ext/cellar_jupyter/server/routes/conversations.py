"""Conversations: list and search, look, rename, show another branch, delete, export, begin from a summary."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

from cellar import wire
from cellar.errors import BadRequest
from jupyter_server.auth.decorator import authorized
from tornado import web

from .base import Route

MAX_QUERY = 200
_FORMATS = {"md": "text/markdown; charset=utf-8", "ipynb": "application/x-ipynb+json", "json": "application/json"}


class ConversationsRoute(Route):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        query = self.get_query_argument("q", "").strip()
        if len(query) > MAX_QUERY:
            raise BadRequest(f"A search has at most {MAX_QUERY} characters")
        await self.cellar.turns.ready.wait()
        self.reply(await self.cellar.shelf.summaries(query))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        request = self.body(wire.ConversationRequest)
        self.reply(await self.cellar.conversations.begin_from(request.from_turn), 201)


class ConversationRoute(Route):
    @web.authenticated
    @authorized
    async def get(self, identity: str) -> None:
        self.reply(await self.cellar.conversations.show(identity))

    @web.authenticated
    @authorized
    async def patch(self, identity: str) -> None:
        self.reply(await self.cellar.conversations.change(identity, self.body(wire.ConversationPatch)))

    @web.authenticated
    @authorized
    async def delete(self, identity: str) -> None:
        await self.cellar.conversations.delete(identity)
        self.set_status(204)
        self.finish()


class ExportRoute(Route):
    @web.authenticated
    @authorized
    async def get(self, identity: str) -> None:
        self.cellar.config.require("export")
        kind = self.get_query_argument("format", "md")
        if kind not in _FORMATS:
            raise BadRequest("format is md, ipynb or json")
        record = await self.cellar.conversations.whole(identity)
        content = await asyncio.to_thread(self.cellar.conversations.export, record, kind)
        self.set_header("Content-Disposition", disposition(record.title, kind))
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(content, set_content_type=_FORMATS[kind])


def disposition(title: str, extension: str) -> str:
    """`Content-Disposition` with a name every file system takes, and the real one beside it (RFC 6266, RFC 5987)."""
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', " ", title).strip(" .")[:80].strip() or "conversation"
    plain = re.sub(r"[^A-Za-z0-9._ -]+", "_", name).strip("_ ") or "conversation"
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{quote(f'{name}.{extension}', safe='')}"
