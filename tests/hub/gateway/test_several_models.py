"""Two model servers behind one gateway: one list, a key and a queue for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.vllm import FakeVLLM, ServerOptions, running
from tests.hub.gateway.conftest import MakeGateway, chat, streaming
from tests.hub.jupyter import Hub

KEYS = {"LARGE_KEY": "key-of-the-large-one", "SMALL_KEY": "key-of-the-small-one"}
TABLE = """
[[models]]
model = "large"
base_url = "{large}"
key_variable = "LARGE_KEY"
max_inflight = 1

[[models]]
model = "small"
base_url = "{small}"
key_variable = "SMALL_KEY"
max_inflight = 1
"""


@pytest.fixture
def servers() -> Iterator[tuple[FakeVLLM, FakeVLLM]]:
    """Each refuses whoever has not its own key."""
    with (
        running(ServerOptions(models=["large"], api_key=KEYS["LARGE_KEY"])) as large,
        running(ServerOptions(models=["small"], api_key=KEYS["SMALL_KEY"])) as small,
    ):
        yield large, small


async def test_each_server_is_asked_for_its_model_with_its_own_key_and_both_are_in_one_list(
    hub: Hub, make_gateway: MakeGateway, servers: tuple[FakeVLLM, FakeVLLM]
) -> None:
    large, small = servers
    gateway = await make_gateway(models=TABLE.format(large=large.url, small=small.url), **KEYS)
    client = gateway.client(hub.user("ann"))
    assert [row["id"] for row in (await client.get("/v1/models")).json()["data"]] == ["large", "small"]
    for name, server, other in (("large", large, small), ("small", small, large)):
        before = len(other.requests)
        assert (await client.post("/v1/chat/completions", json=chat(model=name))).status_code == 200
        assert server.requests[-1].body["model"] == name
        assert len(other.requests) == before


async def test_models_that_complete_or_embed_are_listed_and_offered_to_nobody_to_chat_with(
    hub: Hub, make_gateway: MakeGateway, servers: tuple[FakeVLLM, FakeVLLM]
) -> None:
    large, small = servers
    table = TABLE.format(large=large.url, small=small.url)
    gateway = await make_gateway(
        models=table.replace('model = "large"', 'model = "large"\nroles = ["completion"]'), **KEYS
    )
    token = hub.user("ann")
    rows = (await gateway.client(token).get("/v1/models")).json()["data"]
    assert {row["id"]: row["roles"] for row in rows} == {"large": ["completion"], "small": ["chat", "completion"]}
    assert [model.id for model in await gateway.cellar(token).models()] == ["small"]


async def test_who_waits_for_one_server_does_not_keep_others_from_the_other(
    hub: Hub, make_gateway: MakeGateway, servers: tuple[FakeVLLM, FakeVLLM]
) -> None:
    large, small = servers
    large.use("gated")
    gateway = await make_gateway(models=TABLE.format(large=large.url, small=small.url), **KEYS)
    client = gateway.client(hub.user("ann"))
    async with streaming(client, model="large") as held:
        answer = await gateway.client(hub.user("bob")).post("/v1/chat/completions", json=chat(model="small"))
        assert answer.status_code == 200
        assert large.running == 1
        large.release_all()
        await held.aread()
