"""A real gateway on real sockets, in the loop of the test, before a fake vLLM and a real JupyterHub."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from cellar.chat import ChatRequest
from cellar.client import ModelClient
from cellar_hub.audit.rows import Row, Settled, parse_record
from cellar_hub.gateway.house import House
from cellar_hub.gateway.server import bind, serve
from cellar_hub.settings import GatewaySettings
from cellar_hub.store.tables import audit, audit_open, reservation
from sqlalchemy import func, select

from tests.fakes.vllm import FakeVLLM
from tests.hub.jupyter import Hub

QUESTION = [{"role": "user", "content": "hello"}]


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "fake-coder", "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more}


class Gateway:
    """`stop` is a shutdown as by SIGTERM; it returns when everything is settled."""

    def __init__(self, house: House, url: str, operations: str, token: str) -> None:
        self.house = house
        self.url = url
        self.operations = operations
        self.token = token
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._clients: list[httpx.AsyncClient] = []

    @classmethod
    async def start(cls, env: dict[str, str]) -> Gateway:
        settings = GatewaySettings.from_env(env)
        house = await asyncio.to_thread(House.open, settings, env)
        ports = bind(("127.0.0.1", 0)), bind(("127.0.0.1", 0))
        addresses = ["http://{}:{}".format(*port.getsockname()) for port in ports]
        gateway = cls(house, *addresses, settings.token)
        gateway._task = asyncio.create_task(serve(house, *ports, gateway._stop))
        await gateway.get_operations("/healthz")
        return gateway

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None
        for client in self._clients:
            await client.aclose()

    def client(self, token: str, **headers: str) -> httpx.AsyncClient:
        named = {"authorization": f"Bearer {token}", **headers}
        client = httpx.AsyncClient(base_url=self.url, headers=named, timeout=30, trust_env=False)
        self._clients.append(client)
        return client

    def cellar(self, token: str) -> ModelClient:
        """Our own client."""
        http = httpx.AsyncClient(timeout=30, trust_env=False)
        self._clients.append(http)
        return ModelClient(http, self.url + "/v1", token, gateway=True)

    async def get_operations(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            return await http.get(self.operations + path)

    async def revoke(self, token: str | None = None, **who: str) -> httpx.Response:
        headers = {"authorization": f"token {token or self.token}"}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            return await http.post(self.operations + "/revoke", json=who, headers=headers)

    # -- the books --------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Wait until nothing is under way and everything is written."""
        async with asyncio.timeout(20):
            while self.house.running or self.house.books.pending:  # noqa: ASYNC110 - two conditions of one loop
                await asyncio.sleep(0.01)

    async def rows(self) -> list[Row]:
        """The audit, when everything is settled."""
        await self.settled()
        records = await self.house._store.read(lambda c: list(c.scalars(select(audit.c.record).order_by(audit.c.seq))))
        return [parse_record(record) for record in records]

    async def ends(self) -> list[Settled]:
        return [row for row in await self.rows() if isinstance(row, Settled)]

    async def left_open(self) -> tuple[int, int]:
        """(requests without an end, reservations)."""
        await self.settled()

        def count(connection: Any) -> tuple[int, int]:
            tables = (audit_open, reservation)
            opened, reserved = (
                connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
            )
            return opened, reserved

        return await self.house._store.read(count)


MakeGateway = Callable[..., Any]


@pytest.fixture
def gateway_env(hub: Hub, model: FakeVLLM, tmp_path: Path) -> dict[str, str]:
    return {
        "VLLM_BASE_URL": model.url,
        "CELLAR_DATA": str(tmp_path / "data"),
        "CELLAR_HUB_API_URL": hub.api,
        "CELLAR_GATEWAY_TOKEN": hub.gateway_token,
        "CELLAR_STOP_GRACE": "0",
    }


@pytest_asyncio.fixture
async def make_gateway(gateway_env: dict[str, str], tmp_path: Path) -> AsyncIterator[MakeGateway]:
    """`await make_gateway(policy="...", CELLAR_MAX_WAIT="5")`."""
    made: list[Gateway] = []

    async def make(policy: str = "", models: str = "", **env: str) -> Gateway:
        more = dict(env)
        for variable, text in (("CELLAR_POLICY", policy), ("CELLAR_MODELS", models)):
            if text:
                path = tmp_path / f"{variable}.toml"
                path.write_text(text)
                more[variable] = str(path)
        gateway = await Gateway.start({**gateway_env, **more})
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        await gateway.stop()


@pytest_asyncio.fixture
async def gateway(make_gateway: MakeGateway) -> Gateway:
    """No limits; one model server with 32 places."""
    found: Gateway = await make_gateway()
    return found


def events(body: bytes | str) -> list[Any]:
    """The data of each event; [DONE] as it is."""
    text = body.decode() if isinstance(body, bytes) else body
    found = []
    for block in text.split("\n\n"):
        if block.startswith("data: "):
            data = block[6:].strip()
            found.append(data if data == "[DONE]" else msgspec.json.decode(data))
    return found


def said(body: bytes | str) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for event in events(body)
        if isinstance(event, dict)
        for choice in event.get("choices", ())
    )


def question(text: str = "hello", **more: Any) -> ChatRequest:
    return ChatRequest(model="fake-coder", messages=[{"role": "user", "content": text}], max_tokens=64, **more)


@contextlib.asynccontextmanager
async def streaming(client: httpx.AsyncClient, **more: Any) -> AsyncIterator[httpx.Response]:
    async with client.stream("POST", "/v1/chat/completions", json=chat(stream=True, **more)) as response:
        yield response
