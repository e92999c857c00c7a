"""What is open in front of vLLM."""

from __future__ import annotations

from typing import Any

import pytest
from cellar_vllm.door import Door


async def asked(kind: str, path: str) -> list[Any]:
    """What became of it: "served", or what was sent instead."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append("served")

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read of what is refused")

    async def send(message: Any) -> None:
        found.append(message.get("status", message.get("code", message["type"])))

    await Door(app)({"type": kind, "path": path}, receive, send)
    return found


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/health", "/metrics", "/version", "/tokenize"])
async def test_what_gateway_router_and_monitor_ask_is_open(path: str) -> None:
    assert await asked("http", path) == ["served"]


@pytest.mark.parametrize(
    "path",
    ["/invocations", "/generative_scoring", "/scale_elastic_ep", "/detokenize", "/", "/v1", "/v1/../invocations"],
)
async def test_everything_else_is_shut(path: str) -> None:
    assert await asked("http", path) == [404, "http.response.body"]


async def test_a_start_passes_and_a_socket_does_not() -> None:
    assert await asked("lifespan", "") == ["served"]
    assert await asked("websocket", "/v1/realtime") == [1008]
