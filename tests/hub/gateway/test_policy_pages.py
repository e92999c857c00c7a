"""What an administrator saves counts in the running gateway, within seconds and without a restart: each field."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
from cellar_hub.audit import Event
from cellar_hub.policybook import PolicyBook
from cellar_hub.policyedit import Change, PutAnnouncement, PutDestination, RemoveAnnouncement, SetField, change

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat
from tests.hub.jupyter import Hub

SECONDS = 5.0  # in which a change counts; the gateway looks once a second


class Site:
    """A running gateway, and an administrator's book of its policy."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        assert gateway.house.settings.policy is not None
        self.gateway = gateway
        self.book = PolicyBook(gateway.house.settings.policy)
        self.http = gateway.client(token)

    def save(self, *changes: Change) -> None:
        seen = self.book.read()
        self.book.save(change(seen.text, *changes), based_on=seen.id, by="admin")

    def set(self, field: str, value: Any, table: str = "default") -> None:
        self.save(SetField(table=table, field=field, value=value))

    async def ask(self, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        return await self.http.post("/v1/chat/completions", json=chat(**more), headers=headers)

    async def status(self, **more: Any) -> int:
        return (await self.ask(**more)).status_code

    async def me(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/cellar/v1/me")).json()
        return found

    async def until(self, ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
        """Ask again until this is the answer; the last one otherwise."""
        end = time.monotonic() + SECONDS
        while (found := await ask()) != wanted:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)


async def a_site(make_gateway: MakeGateway, token: str, **env: str) -> Site:
    return Site(await make_gateway(policy="# ours\n[default]\n", **env), token)


async def test_models_modes_tools_and_length(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    model.options.models = ["fake-coder", "other"]
    site = await a_site(make_gateway, hub.user("ann"))
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert await site.status(model="other", headers={"x-cellar-mode": "agent"}) == 200
    assert await site.status(tools=tools) == 400, "the gateway lets it through, and the fake model server has no tools"
    site.set("models", ["fake-coder"])
    await site.until(lambda: site.status(model="other"), 404)
    site.set("models", ["fake-coder", "other"], "users.ann")
    await site.until(lambda: site.status(model="other"), 200)
    site.set("modes", ["ask"])
    await site.until(lambda: site.status(headers={"x-cellar-mode": "agent"}), 403)
    site.set("tools", False)
    await site.until(lambda: site.status(tools=tools), 403)
    site.set("max_tokens", 7)

    async def cap() -> Any:
        await site.ask(max_tokens=100)
        return model.requests[-1].body["max_tokens"]

    await site.until(cap, 7)


async def test_quota_and_rate(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    site = await a_site(make_gateway, hub.user("vera"))
    assert await site.status(max_tokens=40) == 200
    site.set("tokens_per_day", 10, "users.vera")
    await site.until(lambda: site.status(max_tokens=40), 429)
    site.set("tokens_per_day", 0, "users.vera")
    await site.until(lambda: site.status(max_tokens=40), 200)
    site.set("tokens_per_month", 10)
    await site.until(lambda: site.status(max_tokens=40), 429)
    site.set("tokens_per_month", 1_000_000)
    await site.until(lambda: site.status(max_tokens=40), 200)
    site.set("requests_per_minute", 1)
    await site.until(lambda: site.status(max_tokens=40), 429)


async def test_features_destinations_and_announcements(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    site = await a_site(make_gateway, hub.user("dora", "research"), CELLAR_FORWARDERS="1")
    html = '<img src=x onerror="alert(1)">'
    site.set("features.export", {"enabled": False, "reason": html})

    async def told(key: str) -> Any:
        return (await site.me()).get(key)

    await site.until(lambda: told("features"), {"export": {"enabled": False, "reason": html}})
    site.save(
        PutDestination(name="wiki.corp", port=443),
        SetField(table="groups.research", field="destinations", value=["wiki.corp:443"]),
    )
    await site.until(lambda: told("destinations"), [{"name": "wiki.corp", "port": 443}])
    site.set("destinations", [], "users.dora")
    await site.until(lambda: told("destinations"), None)

    now = datetime.now(UTC)
    ends = now + timedelta(days=1)
    site.save(
        PutAnnouncement(id="now", level="error", text=html, dismissible=False, ends=ends),
        PutAnnouncement(id="later", level="info", text="later", starts=now + timedelta(hours=1)),
        PutAnnouncement(id="over", level="info", text="over", ends=now - timedelta(hours=1)),
    )
    shown = {"id": "now", "level": "error", "text": html, "dismissible": False, "ends": ends.timestamp()}
    await site.until(lambda: told("announcements"), [shown])
    site.save(RemoveAnnouncement(id="now"))
    await site.until(lambda: told("announcements"), None)


async def test_an_announcement_begins_and_ends_by_itself(hub: Hub, make_gateway: MakeGateway, model: FakeVLLM) -> None:
    site = await a_site(make_gateway, hub.user("ann"))
    now = datetime.now(UTC)
    put = PutAnnouncement(
        id="a", level="info", text="x", starts=now + timedelta(seconds=1.5), ends=now + timedelta(seconds=3)
    )
    site.save(put)

    async def ids() -> list[str]:
        return [each["id"] for each in (await site.me()).get("announcements", [])]

    await site.until(ids, ["a"])
    await site.until(ids, [])
    assert put.text in site.book.read().text


async def test_a_policy_that_no_page_wrote_is_in_the_audit_when_it_is_read(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM
) -> None:
    site = await a_site(make_gateway, hub.user("ann"))

    async def read() -> list[Event]:
        rows = await site.gateway.rows()
        return [each for each in rows if isinstance(each, Event) and each.action == "policy.read"]

    await site.until(lambda: _count(read), 1)
    site.set("max_tokens", 8)
    await site.until(lambda: _policy(site, "max_tokens"), 8)
    assert await _count(read) == 1
    path = site.book.path
    path.write_text(path.read_text().replace("8", "9"))
    await site.until(lambda: _count(read), 2)
    first, second = await read()
    assert first.detail == {"sha256": sha256(b"# ours\n[default]\n").hexdigest()}, "the one of the start"
    assert (second.actor, second.detail["fields"]) == ("gateway-1", "default.max_tokens")
    assert second.detail["sha256"] == sha256(path.read_bytes()).hexdigest() != second.detail["sha256_before"]


async def _count(read: Callable[[], Awaitable[list[Event]]]) -> int:
    return len(await read())


async def _policy(site: Site, field: str) -> Any:
    return (await site.me()).get(field)
