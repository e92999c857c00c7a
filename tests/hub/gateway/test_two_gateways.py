"""Two gateways of one site: one PostgreSQL, one Redis, one audit of two chains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import redis
from cellar_hub.audit import Keys, verify
from cellar_hub.gateway.revocations import CHANNEL, LATE, Others, Revocation, Said

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, MakeGateway, chat
from tests.hub.gateway.process import GatewayProcess, running
from tests.hub.gateway.test_limits import POOL, Redis, a_redis
from tests.hub.jupyter import Hub
from tests.hub.postgres import Cluster
from tests.ui.lab import wait_until

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
    for gateway in both:  # what the other one has answered counts when it is booked
        await gateway.settled()
    for gateway in both:
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


@pytest.fixture
def two_processes(
    gateway_env: dict[str, str], postgresql: Cluster, a_redis: Redis, tmp_path: Path
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Both hear each other."""
    env = gateway_env | {
        "CELLAR_DATABASE_URL": postgresql.create_database(),
        "CELLAR_REDIS_URL": a_redis.url,
        "CELLAR_GATEWAYS": "2",
        "CELLAR_LOG_LEVEL": "info",
    }
    with (
        running(env | {"CELLAR_GATEWAY_NAME": "gateway-1"}, tmp_path / "1.log") as first,
        running(env | {"CELLAR_GATEWAY_NAME": "gateway-2"}, tmp_path / "2.log") as second,
    ):
        for each in (first, second):
            wait_until(lambda each=each: HEARING in each.log, "each to hear the other")
        yield first, second


HEARING = "revocations told to other gateways are heard"


def ask_process(gateway: GatewayProcess, token: str) -> int:
    body = chat(max_tokens=5)
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, trust_env=False).status_code


def revoke(hub: Hub, gateway: GatewayProcess, **who: str) -> dict[str, int]:
    headers = {"authorization": f"token {hub.gateway_token}"}
    answer = httpx.post(f"{gateway.operations}/revoke", json=who, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: dict[str, int] = answer.json()
    return found


def test_both_forget_at_once_what_the_hub_tells_one(
    hub: Hub, two_processes: tuple[GatewayProcess, GatewayProcess], model: FakeVLLM
) -> None:
    first, second = two_processes
    token = hub.start_server("tess")
    assert [ask_process(each, token) for each in two_processes] == [200, 200]
    hub.stop_server("tess")
    assert ask_process(second, token) == 200, "it remembers"
    assert revoke(hub, first, user="tess", server="") == {"forgotten": 1, "stopped": 0, "unheard": 0}
    wait_until(lambda: ask_process(second, token) == 401, "the other one to hear", 5)
    assert ask_process(first, token) == 401


def test_a_blocked_users_answer_ends_at_the_other_gateway_too(
    hub: Hub, two_processes: tuple[GatewayProcess, GatewayProcess], gated_model: FakeVLLM
) -> None:
    first, second = two_processes
    headers = {"authorization": f"Bearer {hub.user('theo')}"}
    body = chat(stream=True)
    with httpx.stream(
        "POST", f"{second.url}/v1/chat/completions", json=body, headers=headers, trust_env=False
    ) as answer:
        gated_model.release(1)
        pieces = answer.iter_text()
        next(pieces)
        assert revoke(hub, first, user="theo")["unheard"] == 0
        assert "The token was revoked" in "".join(pieces)


def test_nobody_but_a_gateway_of_the_site_revokes_through_redis(
    hub: Hub, two_processes: tuple[GatewayProcess, GatewayProcess], a_redis: Redis, model: FakeVLLM
) -> None:
    token, about = hub.user("tom"), Revocation(user="tom")
    forged = Said("gateway-9", time.time(), about)
    old = Said("gateway-9", time.time() - 2 * LATE, about).signed(hub.gateway_token)
    assert [ask_process(each, token) for each in two_processes] == [200, 200]
    with redis.Redis.from_url(a_redis.url) as anybody:
        for said in (forged, forged.signed("another secret"), msgspec.structs.replace(forged, mac="é"), old):
            assert anybody.publish(CHANNEL, msgspec.json.encode(said)) == 2
    for each in two_processes:
        wait_until(lambda each=each: each.log.count("who is no gateway of this site") == 4, "it to be refused")
        assert "revoked" not in each.log.replace(HEARING, "")


def test_without_redis_the_hub_is_told_who_did_not_hear_and_what_was_missed_is_asked_for_when_it_is_back(
    hub: Hub, two_processes: tuple[GatewayProcess, GatewayProcess], a_redis: Redis, model: FakeVLLM
) -> None:
    first, second = two_processes
    token = hub.start_server("tina")
    assert [ask_process(each, token) for each in two_processes] == [200, 200]
    a_redis.stop()
    hub.stop_server("tina")
    assert revoke(hub, first, user="tina", server="")["unheard"] == 1
    assert [ask_process(each, token) for each in two_processes] == [401, 200], "for its age, and no longer"
    a_redis.start()
    wait_until(lambda: second.log.count(HEARING) == 2, "it to hear again")
    assert ask_process(second, token) == 401
    wait_until(lambda: revoke(hub, first, user="tina")["unheard"] == 0, "both to hear again")
    second.kill()
    wait_until(lambda: revoke(hub, first, user="tina")["unheard"] == 1, "its place to be seen empty")


async def test_whatever_goes_wrong_with_one_revocation_everybody_is_asked_anew_and_the_next_is_heard(
    a_redis: Redis,
) -> None:
    asked_anew, heard = asyncio.Queue[str](), asyncio.Queue[str | None]()

    def hear(said: Revocation) -> None:
        heard.put_nowait(said.user)
        if said.user == "ada":
            raise RuntimeError("of this test")

    def deaf() -> None:
        asked_anew.put_nowait("everybody")

    others = Others(a_redis.url, POOL, name="gateway-1", secret="s", gateways=2, heard=hear, deaf=deaf)
    others.start()
    async with asyncio.timeout(20):
        for name in ("ada", "ben"):
            await asked_anew.get()
            with redis.Redis.from_url(a_redis.url) as other:
                said = Said("gateway-2", time.time(), Revocation(user=name)).signed("s")
                other.publish(CHANNEL, msgspec.json.encode(said))
            assert await heard.get() == name
    await others.close()
