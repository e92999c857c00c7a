"""Hub tokens, asked at a real JupyterHub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Network

import httpx
import pytest
import pytest_asyncio
from cellar_hub import identity
from cellar_hub.gateway.transport import make_http, make_transport, make_verify
from cellar_hub.identity import HubDown, Identities, InvalidToken, MissingScope

from tests.hub.jupyter import Hub


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asking:
    """`Identities` with a clock of its own, which counts its questions to the hub."""

    def __init__(self, hub: Hub, http: httpx.AsyncClient) -> None:
        self.asked = 0
        self.answered = asyncio.Event()
        self.gate = asyncio.Event()  # answers wait for it
        self.gate.set()
        self.held = ""  # only those for tokens that hold this text
        self.clock = Clock()
        http.event_hooks = {"request": [self._count], "response": [self._wait]}
        self.identities = Identities(http, hub.api, clock=self.clock)

    async def _count(self, _: httpx.Request) -> None:
        self.asked += 1

    async def _wait(self, response: httpx.Response) -> None:
        self.answered.set()
        if self.held in response.request.headers["authorization"]:
            await self.gate.wait()

    async def of(self, token: str) -> str:
        return (await self.identities.of(token)).user


@pytest_asyncio.fixture
async def asking(hub: Hub) -> AsyncIterator[Asking]:
    async with make_http(make_transport(make_verify(), IPv4Network("10.213.0.0/16"))) as http:
        found = Asking(hub, http)
        yield found
        await found.identities.close()


async def test_a_token_tells_user_groups_and_scopes(hub: Hub, asking: Asking) -> None:
    ida = await asking.identities.of(hub.user("ida", "research"))
    assert (ida.user, ida.groups, ida.kind, ida.admin) == ("ida", ("llm", "research"), "user", False)
    assert "custom:llm:chat" in ida.scopes and ida.token_id


async def test_a_known_token_is_asked_once_in_thirty_seconds(hub: Hub, asking: Asking) -> None:
    token = hub.user("ida")
    for _ in range(5):
        assert await asking.of(token) == "ida"
    assert asking.asked == 1
    asking.clock.now += 30.1
    await asking.of(token)
    assert asking.asked == 2


async def test_whoever_works_never_waits_for_the_hub_again(hub: Hub, asking: Asking) -> None:
    token = hub.user("ida")
    await asking.of(token)
    asking.clock.now += 21
    await asking.of(token)  # answered at once, and asked behind it
    await asyncio.gather(*asking.identities._asking.values())
    assert asking.asked == 2
    asking.clock.now += 15
    await asking.of(token)
    assert asking.asked == 2


async def test_many_requests_with_one_new_token_ask_once(hub: Hub, asking: Asking) -> None:
    token = hub.user("ida")
    assert await asyncio.gather(*(asking.of(token) for _ in range(50))) == ["ida"] * 50
    assert asking.asked == 1


@pytest.mark.parametrize("token", ["", "forged", "0" * 32, "x" * 513, "with blank", "ümlaut", "a\r\nb"])
async def test_a_forged_token_is_refused(asking: Asking, token: str) -> None:
    with pytest.raises(InvalidToken):
        await asking.of(token)


async def test_a_refused_token_is_asked_again_after_five_seconds(hub: Hub, asking: Asking) -> None:
    for wait, asked in ((0, 1), (4.9, 1), (0.2, 2)):
        asking.clock.now += wait
        with pytest.raises(InvalidToken):
            await asking.of("forged-token")
        assert asking.asked == asked


async def test_a_flood_of_invented_tokens_keeps_nobody_waiting_who_works(hub: Hub, asking: Asking) -> None:
    token = hub.user("ida")
    await asking.of(token)
    asking.held = "invented"
    asking.gate.clear()
    flood = [asyncio.create_task(asking.of(f"invented-{number}")) for number in range(identity.MAX_ASKING + 8)]
    async with asyncio.timeout(20):
        while asking.asked < 1 + identity.MAX_ASKING:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0)
        asking.clock.now += 30.1
        assert await asking.of(token) == "ida"
    asking.gate.set()
    assert {type(each) for each in await asyncio.gather(*flood, return_exceptions=True)} == {InvalidToken}


async def test_a_flood_of_invented_tokens_makes_nobody_forgotten(
    hub: Hub, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "MAX_REFUSED", 5)
    token = hub.user("ida")
    await asking.of(token)
    for number in range(10):
        with pytest.raises(InvalidToken):
            await asking.of(f"invented-{number}")
    await asking.of(token)
    assert asking.asked == 11 and len(asking.identities._refused) == 5


async def test_a_token_without_the_scope_is_no_way_in_although_the_hub_says_200(hub: Hub, asking: Asking) -> None:
    with pytest.raises(MissingScope) as refused:
        await asking.of(hub.outsider("otto"))
    assert refused.value.user == "otto"
    hub.user("ida")
    with pytest.raises(MissingScope):
        await asking.of(hub.token("ida", scopes=["read:users:name!user"]))


async def test_an_expired_token_is_refused(hub: Hub, asking: Asking) -> None:
    hub.user("ida")
    token = hub.token("ida", expires_in=1)
    await asking.of(token)
    async with asyncio.timeout(20):
        while True:  # the hub's own clock decides
            asking.clock.now += 31
            try:
                await asking.of(token)
            except InvalidToken:
                break
            await asyncio.sleep(0.05)


async def test_a_stopped_servers_token_is_refused_within_thirty_seconds_or_at_once_when_told(
    hub: Hub, asking: Asking
) -> None:
    token = await asyncio.to_thread(hub.start_server, "stan")
    assert await asking.of(token) == "stan"
    await asyncio.to_thread(hub.stop_server, "stan")
    assert await asking.of(token) == "stan"
    assert asking.identities.revoke(server="stan/") == 1
    with pytest.raises(InvalidToken):
        await asking.of(token)


async def test_a_deleted_token_ends_with_its_cached_answer(hub: Hub, asking: Asking) -> None:
    hub.user("ida")
    token = hub.token("ida")
    await asking.of(token)
    hub.delete_token("ida", token)
    asking.clock.now += 30.1
    with pytest.raises(InvalidToken):
        await asking.of(token)


async def test_a_revocation_forgets_the_user_or_the_token(hub: Hub, asking: Asking) -> None:
    first, second = hub.user("ida"), hub.token("ida")
    other = hub.user("otto2")
    ids = [(await asking.identities.of(token)).token_id for token in (first, second, other)]
    assert asking.identities.revoke(token_id=ids[1]) == 1
    assert asking.identities.revoke(user="ida") == 1
    assert asking.identities.revoke(user="ida") == 0
    await asking.of(other)
    assert asking.asked == 3


async def test_an_answer_from_before_a_revocation_is_not_believed(hub: Hub, asking: Asking) -> None:
    hub.user("ida")
    token = hub.token("ida")
    asking.gate.clear()
    question = asyncio.create_task(asking.of(token))
    await asking.answered.wait()
    hub.delete_token("ida", token)
    asking.identities.revoke(user="ida")
    asking.gate.set()
    with pytest.raises(InvalidToken):
        await question


async def test_when_the_hub_is_down_known_tokens_go_on_for_their_time_and_unknown_ones_do_not(
    hub: Hub, asking: Asking
) -> None:
    known, unknown = hub.user("ida"), hub.user("otto2")
    await asking.of(known)
    await asyncio.to_thread(hub.stop)
    try:
        with pytest.raises(HubDown):
            await asking.of(unknown)
        asking.clock.now += 29
        assert await asking.of(known) == "ida"
        assert not asking.identities.hub_up
        await asyncio.gather(*asking.identities._asking.values())
        asking.clock.now += 2
        with pytest.raises(HubDown):
            await asking.of(known)
    finally:
        await asyncio.to_thread(hub.start)
    assert await asking.of(unknown) == "otto2"  # what failed was not remembered


async def test_a_service_is_no_user_of_its_name(hub: Hub, asking: Asking) -> None:
    assert await asking.of(hub.admin_token) == "service:tests"
