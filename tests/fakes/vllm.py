"""A strict fake vLLM on a real socket, in a thread of its own.

In Python::

    with running() as model:
        model.use(Scenario(text="one two", gated=True))      # or model.use("gated"): a name of scenarios.PRESETS
        ...                                                  # somebody asks model.url
        model.wait_for(lambda m: m.waiting == 1)             # it waits at the gate
        model.release()                                      # one token; model.release_all(): the rest
        assert model.requests[0].body["max_tokens"] == 64

By hand, for browsers and benchmarks: `python -m tests.fakes.vllm --port 8001 --scenario markdown --rate 50`. Then

    POST /control          {"use": "gated"} or {"use": [{"text": "hi"}]}; {"server": {"tokenizer": false, ...}}
    POST /control/release  {"n": 1} or {"all": true}
    POST /control/reset
    GET  /control/state    counts, and every request with its body and times (monotonic ns)
    GET  /control/wait?requests=1&running=1&waiting=1&aborted=1&finished=1     answers when all are reached
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

import msgspec

from tests.fakes import openai, rest
from tests.fakes.exchange import Answer, Exchange
from tests.fakes.http import HTTPServer, Request
from tests.fakes.scenarios import PRESETS, Scenario

T = TypeVar("T")
PATIENCE = 20.0  # seconds that wait_for waits before it says what it saw


class ServerOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the server is, whatever a scenario says."""

    models: list[str] = msgspec.field(default_factory=lambda: ["fake-coder"])
    max_model_len: int = 32768
    tokenizer: bool = True  # false: /tokenize answers {"tokens": []} as llama.cpp does
    chat_template: bool = True  # false: a base model, which refuses to chat
    stopping: bool = False  # told to stop: answers under way end, new questions get 500, /health goes on saying 200
    slow_tokenizer: bool = False  # each count waits for a release
    api_key: str = ""  # checked under /v1 only, as vLLM does
    health: int = 200
    cuts_health: int = 0  # so many requests of /health find their connection closed
    me: dict[str, Any] | None = None  # what a gateway tells its user; None: it is no gateway
    llama: bool = (
        False  # answers /v1/models, /health and /tokenize as llama.cpp does; `health` 503 is its "Loading model"
    )


class FakeVLLM:
    """Everything public may be called from any thread."""

    def __init__(self, options: ServerOptions | None = None) -> None:
        self._first_options = options or ServerOptions()
        self.options = msgspec.structs.replace(self._first_options)
        self.requests: list[Exchange] = []
        self.counted: list[dict[str, Any]] = []  # bodies of /tokenize
        self.waiting = 0  # requests at a gate
        self.port = 0
        self._scenarios: list[Scenario] = [Scenario()]
        self._permits = 0
        self._open = False
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Condition()
        self._http = HTTPServer(self._handle)
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-vllm", daemon=True)

    # -- what tests use ------------------------------------------------------------------------------------------------

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, as in VLLM_BASE_URL."""
        return self.root + "/v1"

    @property
    def running(self) -> int:
        return self._count("running")

    @property
    def aborted(self) -> int:
        """Requests whose client hung up before the answer's end."""
        return self._count("aborted")

    @property
    def finished(self) -> int:
        return self._count("finished")

    @property
    def connections(self) -> int:
        return self._http.connections

    def use(self, *scenarios: Scenario | str) -> None:
        """From now on; a scenario with `times` gives way to the next one. Closes the gate again."""
        plan = [one for each in scenarios for one in (PRESETS[each] if isinstance(each, str) else [each])]
        self._call(self._set(plan))

    def release(self, n: int = 1) -> None:
        """Let `n` tokens (or prefills, or queue comments) through the gate, in the order they wait."""
        self._call(self._let(n, everything=False))

    def release_all(self) -> None:
        """Open the gate until the next `use`."""
        self._call(self._let(0, everything=True))

    def reset(self) -> None:
        """As new: hang up on everybody, forget all requests, repeat questions."""
        self._call(self._reset())

    def wait_for(self, met: Callable[[Self], bool], timeout: float = PATIENCE) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: met(self), timeout):
                raise AssertionError(f"The fake model did not get there within {timeout} s: {self.state()}")

    async def until(self, met: Callable[[Self], bool], timeout: float = PATIENCE) -> None:
        """`wait_for`, for tests with a loop of their own."""
        await asyncio.to_thread(self.wait_for, met, timeout)

    def state(self) -> dict[str, Any]:
        names = ("running", "aborted", "finished", "waiting", "connections")
        requests = [exchange.to_json() for exchange in list(self.requests)]
        return {**{name: getattr(self, name) for name in names}, "requests": requests, "counted": len(self.counted)}

    def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._thread.start()
        self.port = self._call(self._http.start(port, tls))

    def stop(self) -> None:
        """Close the port and every connection; the fixture calls it, and tests of a server that goes down."""
        if self._loop.is_closed():
            return
        self._call(self._http.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- its own thread ------------------------------------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _count(self, outcome: str) -> int:
        return sum(exchange.outcome == outcome for exchange in list(self.requests))

    def notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _set(self, plan: list[Scenario]) -> None:
        self._scenarios = [msgspec.structs.replace(scenario) for scenario in plan]
        self._permits = 0
        self._open = False

    async def _let(self, n: int, everything: bool) -> None:
        async with self._gate:
            self._permits += n
            self._open = self._open or everything
            self._gate.notify_all()

    async def _reset(self, spare: Request | None = None) -> None:
        await self._http.hang_up(spare)
        self.requests.clear()
        self.counted.clear()
        self.options = msgspec.structs.replace(self._first_options)
        await self._set([Scenario()])

    async def pass_gate(self) -> None:
        self.waiting += 1
        self.notify()
        try:
            async with self._gate:
                await self._gate.wait_for(lambda: self._open or self._permits > 0)
                self._permits -= not self._open
        finally:
            self.waiting -= 1
            self.notify()

    def _next_scenario(self) -> Scenario:
        scenario = self._scenarios[0]
        if scenario.times:
            scenario.times -= 1
            if not scenario.times and len(self._scenarios) > 1:
                self._scenarios.pop(0)
        return scenario

    # -- routes --------------------------------------------------------------------------------------------------------

    async def _handle(self, request: Request) -> None:
        path = request.path
        key = self.options.api_key
        if key and path.startswith("/v1/") and request.headers.get("authorization") != f"Bearer {key}":
            return await request.answer_json({"error": "Unauthorized"}, 401)
        route = self._routes().get((request.method, path))
        if route is None:
            return await request.answer_json({"detail": "Not Found"}, 404)
        return await route(request)

    def _routes(self) -> dict[tuple[str, str], Callable[[Request], Coroutine[Any, Any, None]]]:
        return {
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._models,
            ("POST", "/tokenize"): self._tokenize,
            ("GET", "/cellar/v1/me"): self._me,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): lambda request: rest.complete(self, request, self._next_scenario()),
            ("POST", "/v1/embeddings"): lambda request: rest.embed(self, request),
            ("GET", "/metrics"): lambda request: rest.metrics(
                request, self.options.models[0], self.running, self.waiting
            ),
            ("POST", "/control"): self._control,
            ("POST", "/control/release"): self._control_release,
            ("POST", "/control/reset"): self._control_reset,
            ("GET", "/control/state"): self._control_state,
            ("GET", "/control/wait"): self._control_wait,
        }

    async def _health(self, request: Request) -> None:
        if self.options.cuts_health:
            self.options.cuts_health -= 1
            return request.cut()
        if not self.options.llama:
            return await request.answer(self.options.health, b"")
        loading = openai.error_body("Loading model", "unavailable_error", 503)
        return await request.answer_json(
            {"status": "ok"} if self.options.health == 200 else loading, self.options.health
        )

    async def _models(self, request: Request) -> None:
        if self.options.llama:
            return await request.answer_json(openai.llama_models(self.options.models, self.options.max_model_len))
        rows: list[dict[str, Any]] = [
            {
                "id": model,
                "object": "model",
                "created": 1764000000,
                "owned_by": "vllm",
                "root": f"/models/{model}",
                "parent": None,
                "max_model_len": self.options.max_model_len,
                "permission": [],
            }
            for model in self.options.models
        ]
        return await request.answer_json({"object": "list", "data": rows})

    async def _me(self, request: Request) -> None:
        if self.options.me is None:
            return await request.answer_json({"detail": "Not Found"}, 404)
        return await request.answer_json(self.options.me)

    async def _tokenize(self, request: Request) -> None:
        if not self.options.tokenizer or self.options.llama:
            return await request.answer_json({"tokens": []})
        try:
            body = msgspec.json.decode(request.body, type=openai.TokenizeBody)
        except msgspec.DecodeError as problem:
            return await request.answer_json(openai.validation_error(str(problem), request.body), 400)
        self.counted.append(msgspec.json.decode(request.body))
        if self.options.slow_tokenizer:
            await self.pass_gate()
        if body.messages is not msgspec.UNSET:
            if not self.options.chat_template:
                return await request.answer_json(openai.no_template(), 400)
            count = openai.count_messages(body.messages)
        else:
            count = openai.count_text(body.prompt if body.prompt is not msgspec.UNSET else "")
        answer = {"count": count, "max_model_len": self.options.max_model_len, "tokens": list(range(count))}
        return await request.answer_json({**answer, "token_strs": None})

    async def _chat(self, request: Request) -> None:
        try:
            body = msgspec.json.decode(request.body, type=openai.ChatBody)
        except msgspec.DecodeError as problem:
            return await request.answer_json(openai.validation_error(str(problem), request.body), 400)
        exchange = Exchange(
            len(self.requests), msgspec.json.decode(request.body), request.headers, request.received_ns, request=request
        )
        self.requests.append(exchange)
        self.notify()
        try:
            await self._answer(exchange, request, body, self._next_scenario())
        except (asyncio.CancelledError, ConnectionError):
            exchange.outcome = "aborted" if request.fin_ns is not None else "cut"
            raise
        finally:
            self.notify()

    async def _answer(self, exchange: Exchange, request: Request, body: openai.ChatBody, scenario: Scenario) -> None:
        if scenario.silent:
            await asyncio.get_running_loop().create_future()
        if scenario.close_before_answer:
            exchange.outcome = "cut"
            return request.cut()
        refused = self._refuse(body, scenario)
        if refused is not None or scenario.status != 200 or scenario.content_type != "application/json":
            status, said = refused or (scenario.status, scenario.body)
            exchange.status, exchange.outcome = status, "refused"
            data = b"" if said is None else said.encode() if isinstance(said, str) else msgspec.json.encode(said)
            return await request.answer(status, data, {"content-type": scenario.content_type, **scenario.headers})
        answer = Answer(self, exchange, request, body, scenario)
        await (answer.stream() if body.stream else answer.whole())
        return None

    def _refuse(self, body: openai.ChatBody, scenario: Scenario) -> tuple[int, Any] | None:
        """What vLLM would refuse whatever the scenario is."""
        if body.model not in self.options.models:
            message = f"The model `{body.model}` does not exist."
            return 404, openai.error_body(message, "NotFoundError", 404, "model")
        if self.options.stopping:
            return 500, openai.error_body(openai.STOPPING, "InternalServerError", 500)
        if not self.options.chat_template:
            return 400, openai.no_template()
        complaint = body.complaint()
        if complaint:
            return 400, openai.error_body(complaint, "BadRequestError", 400)
        if body.max_tokens and body.max_tokens > self.options.max_model_len:
            return 400, openai.too_many(self.options.max_model_len, body.max_tokens)
        prompt = openai.count_messages(body.messages)
        if prompt + (body.max_tokens or 1) > self.options.max_model_len:
            return 400, openai.too_long(self.options.max_model_len, prompt)
        return None

    # -- control -------------------------------------------------------------------------------------------------------

    async def _control(self, request: Request) -> None:
        try:
            wish = msgspec.json.decode(request.body, type=_Wish)
            plan = [PRESETS[wish.use]] if isinstance(wish.use, str) else [wish.use or []]
        except (msgspec.DecodeError, KeyError) as problem:
            return await request.answer_json({"error": str(problem), "presets": sorted(PRESETS)}, 400)
        if wish.server is not None:
            self.options = wish.server
        if wish.use:
            await self._set([scenario for scenarios in plan for scenario in scenarios])
        return await request.answer_json({"ok": True})

    async def _control_release(self, request: Request) -> None:
        wish = msgspec.json.decode(request.body or b"{}", type=dict[str, int | bool])
        await self._let(int(wish.get("n", 1)), everything=bool(wish.get("all", False)))
        await request.answer_json({"ok": True})

    async def _control_reset(self, request: Request) -> None:
        await self._reset(spare=request)
        await request.answer_json({"ok": True})

    async def _control_state(self, request: Request) -> None:
        await request.answer_json(self.state())

    async def _control_wait(self, request: Request) -> None:
        wanted = {name: int(value) for name, value in parse_qsl(request.query)}

        def met(fake: FakeVLLM) -> bool:
            counts = {**fake.state(), "requests": len(fake.requests)}
            return all(counts[name] >= value for name, value in wanted.items())

        try:
            await asyncio.to_thread(self.wait_for, met)
        except AssertionError as late:
            return await request.answer_json({"error": str(late)}, 504)
        return await request.answer_json(self.state())


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    use: str | list[Scenario] | None = None
    server: ServerOptions | None = None


@contextlib.contextmanager
def running(options: ServerOptions | None = None, port: int = 0) -> Iterator[FakeVLLM]:
    fake = FakeVLLM(options)
    fake.start(port)
    try:
        yield fake
    finally:
        fake.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake vLLM for browsers and benchmarks.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--model", action="append", help="may be given several times")
    parser.add_argument("--max-model-len", type=int, default=32768)
    parser.add_argument("--no-tokenizer", action="store_true", help="/tokenize answers as llama.cpp does")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--scenario", default="echo", choices=sorted(PRESETS))
    parser.add_argument("--rate", type=float, help="tokens per second, over the scenario's own")
    args = parser.parse_args()
    options = ServerOptions(
        models=args.model or ["fake-coder"],
        max_model_len=args.max_model_len,
        tokenizer=not args.no_tokenizer,
        api_key=args.api_key,
    )
    with running(options, args.port) as fake:
        fake.use(*(msgspec.structs.replace(each, rate=args.rate or each.rate) for each in PRESETS[args.scenario]))
        print(f"ready {fake.url}", flush=True)  # noqa: T201 - whoever started it waits for this line
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
