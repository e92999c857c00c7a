"""`GET /state`: what the console sees of a gateway."""

from __future__ import annotations

import httpx
import msgspec
from cellar_hub.gateway.state import GatewayState

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway
from tests.hub.jupyter import Hub


async def asked(gateway: Gateway, token: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.get(gateway.operations + "/state", headers={"authorization": f"token {token}"})


async def test_it_tells_servers_models_and_counts_and_names_no_user(
    hub: Hub, gateway: Gateway, model: FakeVLLM
) -> None:
    before = msgspec.json.decode((await asked(gateway, gateway.token)).content, type=GatewayState)
    assert before.requests == {} and before.first_token == ()
    body = {"model": model.options.models[0], "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    answer = await gateway.client(hub.user("visible-name")).post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    await gateway.settled()
    said = await asked(gateway, gateway.token)
    assert b"visible-name" not in said.content
    state = msgspec.json.decode(said.content, type=GatewayState)
    assert state.requests == {"complete": 1} and state.tokens["completion"] > 0
    assert state.first_token[-1].count == 1 and state.first_token[-1].seconds is None
    (server,) = state.servers
    assert (server.state, server.running, server.waiting) == ("up", 0, 0)
    assert [each.id for each in server.models] == model.options.models
    assert state.database_up and state.hub_up and state.users == 0


async def test_only_the_hubs_side_is_told(gateway: Gateway) -> None:
    for token in ("nobody", "x" * 32):
        assert (await asked(gateway, token)).status_code == 401
