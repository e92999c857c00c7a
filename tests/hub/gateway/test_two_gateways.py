"""Two gateways of one site: one PostgreSQL, one Redis, one audit of two chains."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from cellar_hub.audit import Keys, verify

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat
from tests.hub.gateway.test_limits import Redis, a_redis
from tests.hub.jupyter import Hub
from tests.hub.postgres import Cluster

__all__ = ["a_redis"]  # a fixture

POLICY = "[default]\ntokens_per_day = 200\nmax_waiting = 100\nmax_running = 100"


async def pair(make_gateway: MakeGateway, database: str, policy: str, **more: str) -> list[Gateway]:
    names = ("gateway-1", "gateway-2")
    env = {"CELLAR_DATABASE_URL": database, "CELLAR_GATEWAYS": "2", **more}
    return [await make_gateway(policy=policy, CELLAR_GATEWAY_NAME=name, **env) for name in names]


async def ask(gateway: Gateway, token: str) -> httpx.Response:
    return await gateway.client(token).post("/v1/chat/completions", json=chat(max_tokens=20))


async def test_a_quota_is_one_for_both_and_their_chains_hold(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, postgresql: Cluster
) -> None:
    both = await pair(make_gateway, postgresql.create_database(), POLICY)
    token = hub.user("tess")
    answers = await asyncio.gather(*(ask(both[n % 2], token) for n in range(60)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    for gateway in both:
        await gateway.settled()
        me = (await gateway.client(token).get("/cellar/v1/me")).json()
        assert me["day"]["spent"]["prompt"] + me["day"]["spent"]["completion"] <= 200
    assert await both[0].left_open() == (0, 0)
    keys = Keys.open(Path(both[0].house.settings.data) / "audit-keys")
    with both[0].house._store.reading() as connection:
        report = verify(connection, keys, None)
    assert report.ok and {chain.chain for chain in report.chains} == {"gateway-1", "gateway-2"}


async def test_each_has_its_share_of_the_places_and_requests_per_minute_are_counted_together(
    hub: Hub, make_gateway: MakeGateway, model: FakeVLLM, postgresql: Cluster, a_redis: Redis
) -> None:
    policy = "[default]\nrequests_per_minute = 6"
    more = {"CELLAR_REDIS_URL": a_redis.url, "CELLAR_MAX_INFLIGHT": "8"}
    both = await pair(make_gateway, postgresql.create_database(), policy, **more)
    assert [queue.max_inflight for gateway in both for queue in gateway.house._queues.values()] == [4, 4]
    statuses = [(await ask(both[n % 2], hub.user("tess"))).status_code for n in range(10)]
    assert statuses == [200] * 6 + [429] * 4
