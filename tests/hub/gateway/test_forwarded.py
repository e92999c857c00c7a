"""What forwarders report becomes events of the audit; and what a user is told of their destinations."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import httpx
import pytest
from cellar_hub.audit import Event
from cellar_hub.forwarder.post import make_client, post_due
from cellar_hub.forwarder.reports import AT_ONCE, Reports

from tests.hub.gateway.conftest import Gateway, MakeGateway
from tests.hub.jupyter import Hub

TOKEN = "forwarder-0123456789abcdef"
REPORT: dict[str, Any] = {
    "id": "1-a-1",
    "at": 1000.0,
    "user": "kim",
    "destination": "warehouse.corp:5432",
    "outcome": "opened",
    "count": 1,
}


async def post(gateway: Gateway, body: Any, token: str = TOKEN) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        headers = {"authorization": f"token {token}"}
        return await http.post(gateway.operations + "/forwarded", json=body, headers=headers)


async def test_a_report_is_an_event_of_the_audit_when_it_is_answered(make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(CELLAR_FORWARDER_TOKEN=TOKEN)
    reports = Reports("1-a")
    for _ in range(3):
        reports.note("kim", "warehouse.corp:5432", "opened", 1000.0)
    reports.note("lee", "wiki.corp:443", "refused", 1001.0)
    async with make_client(TOKEN, IPv4Network("10.213.0.0/16")) as http:
        assert await post_due(http, gateway.operations + "/forwarded", reports, end=True)
    found = [row for row in await gateway.rows() if isinstance(row, Event)]
    assert [(row.actor, row.action, row.subject, row.detail["count"]) for row in found] == [
        ("kim", "destination.opened", "warehouse.corp:5432", 1),
        ("lee", "destination.refused", "wiki.corp:443", 1),
        ("kim", "destination.opened", "warehouse.corp:5432", 2),
    ]
    assert reports.due(1002.0) == []


async def test_only_a_forwarder_may_report(make_gateway: MakeGateway, hub: Hub) -> None:
    gateway = await make_gateway(CELLAR_FORWARDER_TOKEN=TOKEN)
    for token in ("-", "wrong", gateway.token, hub.user("kim")):
        assert (await post(gateway, {"reports": [REPORT]}, token)).status_code == 401
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as users:
        assert (await users.post("/forwarded", json={"reports": [REPORT]})).status_code in (401, 404)
    assert await gateway.rows() == []


async def test_without_a_secret_no_forwarder_is_known(gateway: Gateway) -> None:
    assert (await post(gateway, {"reports": [REPORT]})).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"reports": [REPORT], "more": 1},
        {"reports": [REPORT | {"more": 1}]},
        {"reports": [REPORT | {"outcome": "user.block"}]},
        {"reports": [REPORT | {"count": "1"}]},
        {"reports": [REPORT | {"count": 0}]},
        {"reports": [REPORT | {"user": "k" * 256}]},
        {"reports": [REPORT | {"destination": "a" * 300}]},
        {"reports": [REPORT] * (AT_ONCE + 1)},
    ],
)
async def test_what_is_no_report_is_refused_whole(make_gateway: MakeGateway, body: Any) -> None:
    gateway = await make_gateway(CELLAR_FORWARDER_TOKEN=TOKEN)
    assert (await post(gateway, body)).status_code == 400
    assert await gateway.rows() == []


async def test_a_post_that_is_too_large_is_refused(make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(CELLAR_FORWARDER_TOKEN=TOKEN)
    assert (await post(gateway, {"reports": [REPORT | {"id": "x" * 200_000}]})).status_code == 413


async def test_a_gateway_that_is_away_leaves_the_reports_where_they_are() -> None:
    reports = Reports("1-a")
    reports.note("kim", "warehouse.corp:5432", "opened", 1000.0)
    async with make_client(TOKEN, IPv4Network("10.213.0.0/16")) as http:
        assert not await post_due(http, "http://127.0.0.1:9/forwarded", reports)
    assert len(reports.due(1000.0)) == 1


POLICY = """
[[destinations]]
name = "wiki.corp"
port = 443
[[destinations]]
name = "git.corp"
port = 443
[groups.research]
destinations = ["git.corp:443", "wiki.corp:443"]
"""


async def test_a_user_is_told_what_their_workspace_may_reach_and_what_no_forwarder_serves(
    make_gateway: MakeGateway, hub: Hub
) -> None:
    gateway = await make_gateway(policy=POLICY, CELLAR_FORWARDERS="1")
    tokens = {"kim": hub.user("kim", "research"), "lee": hub.user("lee")}
    told = {name: (await gateway.client(token).get("/cellar/v1/me")).json() for name, token in tokens.items()}
    assert told["kim"]["destinations"] == [
        {"name": "wiki.corp", "port": 443},
        {"name": "git.corp", "port": 443, "ready": False},
    ]
    assert "destinations" not in told["lee"]
