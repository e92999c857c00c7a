"""What a vLLM serves beside chats: completions, embeddings, metrics. Shorter than the chat's: no scenario but its text,
its gate and its prefill."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tests.fakes import openai
from tests.fakes.exchange import Exchange
from tests.fakes.http import Request
from tests.fakes.scenarios import Scenario


class CompletionBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    prompt: str
    max_tokens: Annotated[int, Meta(ge=1)] = 16
    stream: bool = False
    stream_options: dict[str, bool] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    stop: str | list[str] | UnsetType = UNSET
    cache_salt: openai.Salt | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    n: int = 1


class EmbeddingsBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    input: str | list[str]
    encoding_format: str = "float"


class Gate(Protocol):
    requests: list[Exchange]

    async def pass_gate(self) -> None: ...
    def notify(self) -> None: ...


async def complete(server: Gate, request: Request, scenario: Scenario) -> None:
    """`/v1/completions`, streamed or whole."""
    try:
        body = msgspec.json.decode(request.body, type=CompletionBody)
    except msgspec.DecodeError as problem:
        return await request.answer_json(openai.validation_error(str(problem), request.body), 400)
    sent = msgspec.json.decode(request.body)
    exchange = Exchange(len(server.requests), sent, request.headers, request.received_ns, request=request)
    server.requests.append(exchange)
    server.notify()
    try:
        if scenario.prefill != "none":
            await server.pass_gate()
        await _complete(server, request, scenario, body, exchange)
        exchange.outcome = "finished"
    except (asyncio.CancelledError, ConnectionError):
        exchange.outcome = "aborted"
        raise
    finally:
        server.notify()


async def _complete(
    server: Gate, request: Request, scenario: Scenario, body: CompletionBody, exchange: Exchange
) -> None:
    tokens = scenario.said(body.prompt[-500:])
    usage = openai.usage(openai.count_text(body.prompt), len(tokens), None)
    head: dict[str, Any] = {"id": f"cmpl-{exchange.id}", "object": "text_completion", "model": body.model}
    if not body.stream:
        choice = {"index": 0, "text": "".join(tokens), "finish_reason": "stop"}
        return await request.answer_json({**head, "choices": [choice], "usage": usage})
    chunks = openai.ChunkWriter(head["id"], body.model, 0, "\n")
    await request.begin({"content-type": "text/event-stream; charset=utf-8"})
    for n, token in enumerate(tokens, 1):
        if scenario.gated:
            await server.pass_gate()
        finish = "stop" if n == len(tokens) else None
        await request.write(chunks.event({**head, "choices": [{"index": 0, "text": token, "finish_reason": finish}]}))
        exchange.sent = n
    if body.stream_options is not UNSET and body.stream_options.get("include_usage"):
        await request.write(chunks.event({**head, "choices": [], "usage": usage}))
    await request.write(chunks.done())
    return await request.end()


async def embed(server: Gate, request: Request) -> None:
    """`/v1/embeddings`."""
    try:
        body = msgspec.json.decode(request.body, type=EmbeddingsBody)
    except msgspec.DecodeError as problem:
        return await request.answer_json(openai.validation_error(str(problem), request.body), 400)
    texts = [body.input] if isinstance(body.input, str) else body.input
    data = [{"object": "embedding", "index": i, "embedding": [0.0, 1.0]} for i in range(len(texts))]
    count = sum(map(openai.count_text, texts))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return await request.answer_json({"object": "list", "model": body.model, "data": data, "usage": usage})


async def metrics(request: Request, model: str, running: int, waiting: int) -> None:
    """`/metrics` in vLLM's names, for two engines."""
    lines = ["# HELP vllm:num_requests_running Number of requests in model execution batches."]
    for engine, (now, later) in enumerate(((running, waiting), (0, 0))):
        labels = f'{{engine="{engine}",model_name="{model}"}}'
        lines += [
            f"vllm:num_requests_running{labels} {float(now)}",
            f"vllm:num_requests_waiting{labels} {float(later)}",
            f"vllm:kv_cache_usage_perc{labels} 0.25",
            f"vllm:generation_tokens_total{labels} 1.5e+03",
        ]
    await request.answer(200, ("\n".join(lines) + "\n").encode(), {"content-type": "text/plain; version=0.0.4"})
