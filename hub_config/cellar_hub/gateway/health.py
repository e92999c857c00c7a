"""How the model servers are: each is asked every few seconds, what it serves more rarely.

`/health` (200 up; 503 loading or dying), `/v1/models` and vLLM's `/metrics`; a server without `/health` is judged by
its list of models. vllm-router says 503 as soon as one of its servers is down, and hands out the metrics of any one of
them: `/readiness` tells whether it has another, and the servers themselves are asked for their metrics. Whatever it
answers, only so much of it is read, and for so long.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any, Literal

import httpx
import msgspec
from cellar.client import TINY_PARAMETERS

from .models import ModelServer, ModelTable
from .relay import read_bounded
from .transport import FAILURES, refused_connection

EVERY = 3.0
LIST_EVERY = 15.0
TIMEOUT = 5.0
"""Seconds for a whole answer."""
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer that are read."""
State = Literal["up", "loading", "down"]

_VALUES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache",
    "vllm:prefix_cache_hits_total": "prefix_cache_hits",
    "vllm:prefix_cache_queries_total": "prefix_cache_queries",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:num_preemptions_total": "preemptions",
}
_SAMPLE = re.compile(rb"^(vllm:[a-z_]+)(?:\{[^\n]*\})? ([-+0-9.eE]+)(?: \d+)?$", re.MULTILINE)
_SHOWN = ("id", "object", "created", "max_model_len", "meta", "architecture")

log = logging.getLogger(__name__)


class _List(msgspec.Struct):
    data: list[dict[str, Any]]


class _Readiness(msgspec.Struct):
    """What vllm-router says."""

    healthy_workers: int


class ServerHealth:
    """What is known of one server. `rows`: of `/v1/models`, by id; `values`: of `/metrics`; `workers`: of those behind
    it, whether they answer."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.state: State = "loading"
        self.why = ""  # it is not well, for the log
        self.rows: dict[str, dict[str, Any]] = {}
        self.values: dict[str, float] = {}
        self.workers: dict[str, bool] = {}
        self.listed_at = 0.0


class Health:
    def __init__(self, table: ModelTable, http: httpx.AsyncClient, *, every: float = EVERY) -> None:
        self.servers = {server.base_url: ServerHealth(server) for server in table.servers}
        self._http = http
        self._every = every
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = {url: asyncio.Event() for url in self.servers}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._watch(each)) for each in self.servers.values()]

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def listed(self) -> dict[str, list[str]]:
        """Base URL -> models it lists."""
        return {url: list(each.rows) for url, each in self.servers.items()}

    def of(self, server: ModelServer) -> ServerHealth:
        return self.servers[server.base_url]

    def row(self, server: ModelServer, model: str) -> dict[str, Any] | None:
        """Of `/v1/models`, for users: no paths, no permissions."""
        row = self.of(server).rows.get(model)
        return None if row is None else {name: row[name] for name in _SHOWN if name in row}

    def context_length(self, server: ModelServer, model: str) -> int | None:
        """Tokens; None: the server does not tell, or has not been asked yet."""
        row = self.of(server).rows.get(model, {})
        length = row.get("max_model_len") or _meta(row).get("n_ctx")
        return length if isinstance(length, int) and length > 0 else None

    def is_tiny(self, server: ModelServer, model: str) -> bool:
        """Whether it is of the embedded model's size, as far as the server tells."""
        size = _meta(self.of(server).rows.get(model, {})).get("n_params")
        return isinstance(size, int) and 0 < size < TINY_PARAMETERS

    def doubt(self, server: ModelServer) -> None:
        """A request saw the server fail: ask now."""
        self._wake[server.base_url].set()

    async def look(self) -> None:
        """Ask every server for its models now, once however many want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_at_all())
        await asyncio.wait([self._looking], timeout=TIMEOUT)

    async def _look_at_all(self) -> None:
        await asyncio.gather(*map(self._look, self.servers.values()))

    async def _watch(self, known: ServerHealth) -> None:
        wake = self._wake[known.server.base_url]
        while True:
            await self._look(known)
            wake.clear()
            try:
                await asyncio.wait_for(wake.wait(), self._every)
            except TimeoutError:
                pass

    async def _look(self, known: ServerHealth) -> None:
        before = known.state, known.why
        known.state, known.why = await self._ask(known)
        if (known.state, known.why) != before:
            log.warning("model server %s is %s%s", known.server.base_url, known.state, known.why and f": {known.why}")
        if known.state == "up" or known.server.workers:
            await self._read_metrics(known)
        else:
            known.values = {}

    async def _ask(self, known: ServerHealth) -> tuple[State, str]:
        """How it is, and why it is not well."""
        server = known.server
        try:
            status, _ = await self._get(server, server.root + "/health")
            if status == 503 and not await self._has_a_worker(server):
                return "loading", "HTTP 503; vLLM says so when its engine has died"
            absent = status in (404, 405, 501)
            if status // 100 != 2 and status != 503 and not absent:
                return "down", _refused(status)
            if absent or not known.rows or time.monotonic() - known.listed_at > LIST_EVERY:
                return await self._list(known)
        except (*FAILURES, TimeoutError) as cause:
            if refused_connection(cause):
                return "down", "nobody answers there"
            return "down", f"no answer within {TIMEOUT:g} s" if isinstance(cause, TimeoutError) else "it hangs up"
        return "up", ""

    async def _list(self, known: ServerHealth) -> tuple[State, str]:
        status, said = await self._get(known.server, known.server.base_url + "/models")
        if status == 503:
            return "loading", "HTTP 503"
        if status // 100 != 2:
            return "down", _refused(status)
        try:
            rows = msgspec.json.decode(said, type=_List).data
        except (msgspec.DecodeError, UnicodeError):
            return "down", "its list of models is none; does the address end in /v1?"
        known.rows = {row["id"]: row for row in rows if isinstance(row.get("id"), str)}
        known.listed_at = time.monotonic()
        return "up", ""

    async def _has_a_worker(self, server: ModelServer) -> bool:
        """Whether it is a vllm-router with a server that answers: vLLM itself has no such path."""
        status, said = await self._get(server, server.root + "/readiness")
        try:
            return status == 200 and msgspec.json.decode(said, type=_Readiness).healthy_workers > 0
        except (msgspec.DecodeError, UnicodeError):
            return False

    async def _read_metrics(self, known: ServerHealth) -> None:
        server = known.server
        if server.workers:
            found = await asyncio.gather(*(self._metrics_of(server, each) for each in server.workers))
            known.workers = {each: said is not None for each, said in zip(server.workers, found, strict=True)}
            known.values = parse_metrics(b"\n".join(said for said in found if said))
        elif (said := await self._metrics_of(server, server.root)) is not None:
            known.values = parse_metrics(said)

    async def _metrics_of(self, server: ModelServer, root: str) -> bytes | None:
        """None: it does not answer."""
        try:
            status, said = await self._get(server, root + "/metrics")
        except (*FAILURES, TimeoutError):
            return None
        return said if status // 100 == 2 else b""

    async def _get(self, server: ModelServer, url: str) -> tuple[int, bytes]:
        """(status, body). Raises `FAILURES` and `TimeoutError`."""
        headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {server.key}"} if server.key else {})
        async with asyncio.timeout(TIMEOUT), self._http.stream("GET", url, headers=headers, timeout=TIMEOUT) as answer:
            return answer.status_code, await read_bounded(answer, MAX_ANSWER)


def _refused(status: int) -> str:
    about = {401: "it does not accept the gateway's key", 403: "it does not accept the gateway's key"}
    return f"HTTP {status}; {about[status]}" if status in about else f"HTTP {status}"


def _meta(row: dict[str, Any]) -> dict[str, Any]:
    """What llama.cpp says of a model beside OpenAI's fields."""
    found = row.get("meta")
    return found if isinstance(found, dict) else {}


def parse_metrics(text: bytes) -> dict[str, float]:
    """The few of vLLM's values that are shown: summed over engines and models, but the KV cache's use as the mean."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        shown = _VALUES.get(name.decode())
        if shown is not None:
            try:
                found.setdefault(shown, []).append(float(value))
            except ValueError:
                continue
    return {name: sum(values) / (len(values) if name == "kv_cache" else 1) for name, values in found.items()}
