"""vllm-router before two real servers, started with the options of docker-compose.router.yml, behind our gateway: the
address changes, nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cellar.chat import ChatRequest, Delta, Finish, UsageSeen
from cellar.client import ModelClient
from cellar.errors import CellarError, ContextTooLong

from tests.conftest import PROXIES
from tests.fakes.fixtures import unused_port
from tests.fakes.http import HTTPServer, Request
from tests.hub.compose.test_compose import overlay, services
from tests.hub.conftest import hub
from tests.hub.gateway.conftest import Gateway, MakeGateway, gateway_env, make_gateway
from tests.hub.jupyter import Hub
from tests.ui.lab import wait_until
from tests.vllm.contract.conftest import CONTEXT, KEY, Served
from tests.vllm.contract.test_vllm import RUNNING, TALE
from tools import vllm_cpu

__all__ = ["gateway_env", "hub", "make_gateway"]  # fixtures
pytestmark = pytest.mark.timeout(300)

ADDED = {
    "stream": False,
    "logprobs": False,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "include_reasoning": True,
    "continue_final_message": False,
    "no_stop_trim": False,
    "separate_reasoning": True,
    "stream_reasoning": True,
    "return_hidden_states": False,
}
"""What the router adds: vLLM's own defaults, and names that it does not know and ignores."""


@contextmanager
def routing(folder: Path, *workers: str, model: str = "") -> Iterator[Served]:
    """The overlay's command, with addresses and ports of this machine."""
    if not vllm_cpu.router_there():
        pytest.skip("vllm-router is missing: `python -m tools.vllm_cpu` makes it")
    port, metrics = unused_port(), unused_port()
    words = re.sub(
        r"\$\{VLLM_ROUTER_WORKERS[^}]*\}", " ".join(workers), services(overlay("router"))["router"]["command"]
    )
    _, *options = shlex.split(words.replace("0.0.0.0", "127.0.0.1").replace("--port=8001", f"--port={port}"))
    log = folder / f"router-{port}.log"
    env = {name: value for name, value in os.environ.items() if name.upper() not in PROXIES}
    with log.open("wb") as out:
        command = [str(vllm_cpu.router()), f"--prometheus-port={metrics}", *options]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
    served = Served(f"http://127.0.0.1:{port}", model, CONTEXT, KEY, log)

    def ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"vllm-router ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            return httpx.get(served.root + "/readiness", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, f"vllm-router (log: {log})", timeout=60)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def router(vllm: Served, plain_vllm: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with routing(tmp_path_factory.mktemp("router"), vllm.root, plain_vllm.root, model=vllm.model) as served:
        yield served


@pytest.fixture
async def gateway(make_gateway: MakeGateway, router: Served, vllm: Served, plain_vllm: Served) -> Gateway:
    found: Gateway = await make_gateway(
        VLLM_BASE_URL=router.url,
        VLLM_API_KEY=KEY,
        VLLM_ROUTER_WORKERS=f"{vllm.root} {plain_vllm.root}",
        CELLAR_PRIORITY="on",
    )
    await found.house.health.look()
    return found


def request(model: str, *said: str, **more: Any) -> ChatRequest:
    """`said` by user and model in turn."""
    messages: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(said)
    ]
    return ChatRequest(model=model, messages=messages, **{"max_tokens": 4, "temperature": 0.0, **more})


def in_conversation(name: str) -> dict[str, str]:
    """As the workspace's server says it."""
    return {"X-Cellar-Conversation": name}


async def ask(client: ModelClient, asked: ChatRequest, conversation: str) -> tuple[str, UsageSeen]:
    events = [event async for event in client.stream_chat(asked, headers=in_conversation(conversation))]
    assert isinstance(events[-1], Finish)
    text = "".join(event.text for event in events if isinstance(event, Delta))
    return text, next(event for event in events if isinstance(event, UsageSeen))


@asynccontextmanager
async def writing(client: ModelClient, model: str, conversation: str) -> AsyncIterator[Any]:
    """A long answer of which some is there."""
    asked = request(model, TALE, max_tokens=3000, extra={"ignore_eos": True})
    stream = client.stream_chat(asked, headers=in_conversation(conversation))
    try:
        while not isinstance(await anext(stream), Delta):
            pass
        yield stream
    finally:
        await stream.aclose()


async def one_at_each(client: ModelClient, servers: tuple[Served, Served]) -> list[str]:
    """A conversation at the first server and one at the second; each stops as soon as it is seen there."""
    found: dict[int, str] = {}
    for number in range(40):
        name = f"conversation-{number}"
        async with writing(client, servers[0].model, name):
            busy = await asyncio.to_thread(_who_is_busy, servers)
        for server in servers:
            await asyncio.to_thread(server.wait_for, RUNNING, 0, 5)
        found.setdefault(busy, name)
        if len(found) == 2:
            return [found[0], found[1]]
    raise AssertionError("forty conversations came to one of two servers")


def _who_is_busy(servers: tuple[Served, Served]) -> int:
    wait_until(lambda: sum(each.metric(RUNNING) for each in servers) == 1, "one server at work", timeout=10)
    return [each.metric(RUNNING) for each in servers].index(1)


async def test_a_conversation_stays_where_it_was_read_and_others_go_to_the_other_server(
    hub: Hub, gateway: Gateway, router: Served, vllm: Served, plain_vllm: Served
) -> None:
    client = gateway.cellar(hub.user("ann"))
    for conversation in await one_at_each(client, (vllm, plain_vllm)):
        said, before = [f"We speak of sesame in {conversation}. " * 30], 0
        for turn in range(3):
            text, usage = await ask(client, request(router.model, *said), conversation)
            assert (usage.cached or 0) >= before // 32 * 32, "all of the turns before, in whole blocks"
            assert turn == 0 or usage.cached
            before, said = usage.prompt, [*said, text, f"And what is question {turn} about?"]
    assert router.log is not None and "sesame" not in router.log.read_text()


async def test_stop_frees_the_server_behind_the_router_within_a_second(
    hub: Hub, gateway: Gateway, vllm: Served, plain_vllm: Served
) -> None:
    client = gateway.cellar(hub.user("ann"))
    async with writing(client, vllm.model, "to be stopped"):
        server = (vllm, plain_vllm)[await asyncio.to_thread(_who_is_busy, (vllm, plain_vllm))]
    assert await asyncio.to_thread(server.wait_for, RUNNING, 0, 5) <= 1
    (end,) = await gateway.ends()
    assert (end.outcome, end.estimated) == ("stopped", True)


async def test_models_counts_refusals_and_metrics_are_those_of_the_servers(
    hub: Hub, gateway: Gateway, router: Served, vllm: Served, plain_vllm: Served
) -> None:
    client = gateway.cellar(hub.user("ann"))
    (model,) = await client.models()
    assert (model.id, model.context_length, model.tokenizer) == (vllm.model, CONTEXT, True)
    with pytest.raises(ContextTooLong):
        await ask(client, request(vllm.model, "word " * 6000), "too long")
    async with writing(client, vllm.model, "seen"):
        await asyncio.to_thread(_who_is_busy, (vllm, plain_vllm))
        (known,) = gateway.house.health.servers.values()
        async with asyncio.timeout(30):  # a busy server's metrics may come too late for one look
            while (known.state, known.values.get("running")) != ("up", 1):  # of both together
                await gateway.house.health.look()
    for server in (vllm, plain_vllm):
        await asyncio.to_thread(server.wait_for, RUNNING, 0, 5)
    await gateway.house.health.look()
    text = (await gateway.get_operations("/metrics")).text
    up = dict(re.findall(r'^cellar_model_server_up\{server="([^"]+)"\} (\S+)$', text, re.MULTILINE))
    assert up == {router.url: "1.0", vllm.root: "1.0", plain_vllm.root: "1.0"}
    told = sum(each.metric("vllm:prompt_tokens_total") for each in (vllm, plain_vllm))
    assert f'value="prompt_tokens"}} {told}' in text


class Cable:
    """To a server; cut, nobody answers at its end any more, as on a machine without power."""

    def __init__(self, root: str) -> None:
        self._to = int(root.rpartition(":")[2])
        self._server: asyncio.Server | None = None
        self._joined: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._joined:
            task.cancel()
        await asyncio.gather(*self._joined, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._joined.add(task)
        ends = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends.append(far_writer)
            await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        except asyncio.CancelledError:
            pass  # cut, perhaps before the far end was there
        finally:
            self._joined.discard(task)
            for end in ends:
                end.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def test_when_a_server_dies_its_conversations_go_on_at_the_other_one_and_come_back(
    hub: Hub, make_gateway: MakeGateway, vllm: Served, plain_vllm: Served, tmp_path: Path
) -> None:
    servers = (vllm, plain_vllm)
    async with contextlib.AsyncExitStack() as stack:
        cables = [Cable(each.root) for each in servers]
        for cable in cables:
            stack.push_async_callback(cable.cut)
            await cable.mend()
        workers = [each.root for each in cables]
        router = await asyncio.to_thread(stack.enter_context, routing(tmp_path, *workers, model=vllm.model))
        gateway = await make_gateway(VLLM_BASE_URL=router.url, VLLM_API_KEY=KEY, VLLM_ROUTER_WORKERS=" ".join(workers))
        health = gateway.house.health
        await health.look()
        (known,) = health.servers.values()
        client = gateway.cellar(hub.user("ann"))

        async with writing(client, vllm.model, "one") as stream:
            home = await asyncio.to_thread(_who_is_busy, servers)
            await cables[home].cut()
            *_, last = [event async for event in stream]
            assert last == Finish(reason=None), "cut"
        refused, cut = 0, time.monotonic()
        while True:
            try:
                await ask(client, request(vllm.model, "Anybody there?"), "one")
                break
            except CellarError as error:
                refused += 1
                assert "127.0.0.1" not in str(error), "users are not told where model servers are"
                assert time.monotonic() - cut < 20
        async with asyncio.timeout(20):
            while known.workers != {workers[home]: False, workers[1 - home]: True} or known.state != "up":
                await health.look()
        outcomes = [end.outcome for end in await gateway.ends()]
        assert outcomes == ["interrupted", *["error"] * refused, "length"]
        assert await gateway.left_open() == (0, 0)

        await cables[home].mend()
        busy = 1 - home
        async with asyncio.timeout(30):
            while busy != home:
                async with writing(client, vllm.model, "one"):
                    busy = await asyncio.to_thread(_who_is_busy, servers)
                for server in servers:
                    await asyncio.to_thread(server.wait_for, RUNNING, 0, 5)


@pytest.mark.parametrize("status", [200, 503])
async def test_what_the_gateway_sets_arrives_as_it_was_set_and_is_asked_once(
    hub: Hub, make_gateway: MakeGateway, tmp_path: Path, status: int
) -> None:
    """A server that only writes down what comes to it."""
    seen: list[Request] = []

    async def answer(asked: Request) -> None:
        refusal = {"error": {"message": "The queue is full", "type": "ServiceUnavailable", "code": 503}}
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
        if asked.method == "GET":
            await asked.answer_json({"data": [{"id": "coder", "max_model_len": CONTEXT}]})
        else:
            seen.append(asked)
            await asked.answer_json({"choices": [choice]} if status == 200 else refusal, status)

    server = HTTPServer(answer)
    root = f"http://127.0.0.1:{await server.start()}"
    try:
        with contextlib.ExitStack() as stack:
            router = await asyncio.to_thread(stack.enter_context, routing(tmp_path, root))
            gateway = await make_gateway(VLLM_BASE_URL=router.url, VLLM_API_KEY=KEY, CELLAR_PRIORITY="on")
            await gateway.house.health.look()
            http = gateway.client(hub.user("ann"), **in_conversation("one"))
            body = {
                "model": "coder",
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 8,
                "top_k": 5,
                "chat_template_kwargs": {"enable_thinking": False},
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
                "learned_tomorrow": {"kept": [1, 2.5, None]},
            }
            said = await http.post("/v1/chat/completions", json=body)
    finally:
        await server.stop()
    assert said.status_code == status
    assert status == 200 or said.json()["error"]["message"] == "The queue is full"
    (asked,) = seen
    sent = json.loads(asked.body)
    assert {name: sent.get(name) for name in body} == body
    assert sent["priority"] == 1 and len(sent["cache_salt"]) >= 32
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-session-id"] and asked.headers["x-vllm-priority"] == "1"
    assert {name: sent[name] for name in set(sent) - set(body) - {"priority", "cache_salt"}} == ADDED
