"""One shell's line to the model server: settings, client, conversation; and the life of one question."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from cellar import wire
from cellar.client import ChatRequest, Delta, Finish, ModelClient, Queued, Reasoning, UsageSeen, make_http
from cellar.context import Prompt
from cellar.errors import CellarError, ModelNotFound, RequestRefused
from cellar.prompts import expand_command
from cellar.settings import Endpoint

from .dialogue import Dialogue
from .display import Answer, Display, State, make_display
from .endpoint import read_endpoint
from .formats import ASK
from .options import Format, Options
from .stream import Background
from .words import Spoken, Words

if TYPE_CHECKING:
    import httpx
    from cellar.client import ModelEvent
    from IPython.core.interactiveshell import InteractiveShell

JSON_ONLY = {"response_format": {"type": "json_object"}}
"""vLLM and llama.cpp hold the model to JSON with it; a server that does not know it refuses, and is asked without."""
FRESH = 10.0
"""Seconds that the list of models is taken as it is."""


@dataclass
class _Reading:
    """What has come so far."""

    pieces: list[str] = field(default_factory=list)
    usage: UsageSeen | None = None
    reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def state(self) -> State:
        if self.reason is None:
            return "interrupted"
        return "length" if self.reason == "length" else "complete"


class Session:
    def __init__(self, shell: InteractiveShell, environ: Mapping[str, str]) -> None:
        self._shell = shell
        self._environ = environ
        self._dialogue = Dialogue(environ)
        self._background = Background()
        self._models: list[wire.Model] = []
        self._listed_at = 0.0
        self._endpoint = Endpoint()
        self._client: ModelClient | None = None

    @property
    def url(self) -> str:
        return self._endpoint.base_url

    @property
    def key_withheld(self) -> bool:
        return self._endpoint.key_withheld

    def close(self) -> None:
        self._disconnect()
        self._background.close()

    def _connect(self) -> ModelClient:
        """The client of the settings as they are now: `os.environ` may have changed since the last question."""
        endpoint = read_endpoint(self._environ)
        if self._client is None or endpoint != self._endpoint:
            self._disconnect()
            self._endpoint = endpoint
            self._client = ModelClient(
                lambda: _make_http(endpoint), endpoint.base_url, endpoint.api_key, gateway=endpoint.gateway
            )
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._background.run(self._client.aclose())
        self._client, self._models = None, []

    def reset(self) -> None:
        self._dialogue.reset()

    def ask(
        self, options: Options, question: str, parts: Sequence[wire.ContextPart], words: Words
    ) -> tuple[Answer, CellarError | None]:
        """Show the answer while it comes. Part of an answer is kept whatever ended it: an interrupt gives the state
        `stopped`, a failure the state `error` and the failure itself."""
        client = self._connect()
        model = self._find_model(client, options.model)
        worded = _worded(question, options.format)
        limit = self._endpoint.max_tokens
        prompt = self._dialogue.prompt(model, worded, parts, max_tokens=limit, alone=options.context == "none")
        display = make_display(self._shell, options.format, model.id, self._environ)
        reading = _Reading()
        state: State = "error"
        failure: CellarError | None = None
        try:
            self._read(client, prompt, options.format, display, reading, words)
            state = reading.state()
        except KeyboardInterrupt:
            state = "stopped"
        except CellarError as error:
            failure = error
        finally:
            notes = notes_of(prompt.receipt, state, words)
            answer = Answer(reading.text, model.id, options.format, state, notes)
            display.finish(answer)
            self._dialogue.keep(prompt, reading.text, reading.usage, whole=state in ("complete", "length"))
        return answer, failure

    def describe_models(self, words: Words) -> str:
        self._list(self._connect())
        lines = [words.say("models_title", url=self.url)]
        default = self._endpoint.model or next((model.id for model in self._models), "")
        for model in self._models:
            key = "models_row" if model.context_length else "models_row_unknown"
            row = words.say(key, id=model.id, context=model.context_length)
            lines.append(f"  {row}" + (f" ({words.say('default')})" if model.id == default else ""))
        return "\n".join(lines)

    def describe_usage(self, words: Words) -> str:
        return "\n".join([self._describe_spent(words), *self._describe_destinations(words)])

    def _describe_destinations(self, words: Words) -> list[str]:
        """What this workspace may reach in the building. Only a gateway knows; one that is away is no failure here."""
        client = self._connect()
        if not self._endpoint.gateway:
            return []
        try:
            found = self._background.run(client.me()).destinations
        except CellarError:
            return []
        kinds = (("destinations", True), ("destinations_not_ready", False))
        listed = [(key, [f"{each.name}:{each.port}" for each in found if each.ready is ready]) for key, ready in kinds]
        return [words.say(key, listed=", ".join(names)) for key, names in listed if names]

    def _describe_spent(self, words: Words) -> str:
        spent = self._dialogue.spent
        if spent.untold and not spent.told:
            return words.say("usage_unknown", questions=spent.questions)
        return words.say(
            "usage",
            questions=spent.questions,
            prompt=spent.prompt,
            cached=spent.cached,
            completion=spent.completion,
        )

    def _list(self, client: ModelClient) -> None:
        self._models = self._background.run(client.models())
        self._listed_at = time.monotonic()

    def _find_model(self, client: ModelClient, name: str | None) -> wire.Model:
        """The named one, else CELLAR_MODEL, else the first. The list is asked again for a name it does not have, and
        now and then: a kernel lives for days, and another model may be served meanwhile."""
        name = name or self._endpoint.model or None
        stale = time.monotonic() - self._listed_at > FRESH
        if not self._models or stale or (name and all(model.id != name for model in self._models)):
            self._list(client)
        if not self._models:
            raise Spoken("no_model")
        for model in self._models:
            if name is None or model.id == name:
                return model
        raise ModelNotFound(f"The model server has no model {name!r}", detail={"model": name} if name else None)

    def _read(
        self, client: ModelClient, prompt: Prompt, format: Format, display: Display, reading: _Reading, words: Words
    ) -> None:
        request = ChatRequest(model=prompt.receipt.model, messages=prompt.messages, max_tokens=prompt.max_tokens)
        strict = msgspec.structs.replace(request, extra=JSON_ONLY) if format == "json" else request
        try:
            self._read_request(client, strict, display, reading, words)
        except RequestRefused:
            if strict is request:
                raise
            self._read_request(client, request, display, reading, words)  # this server does not know response_format

    def _read_request(
        self, client: ModelClient, request: ChatRequest, display: Display, reading: _Reading, words: Words
    ) -> None:
        with self._background.stream(client.stream_chat(request)) as batches:
            for batch in batches:
                self._take(batch, display, reading, words)

    def _take(self, batch: list[ModelEvent], display: Display, reading: _Reading, words: Words) -> None:
        """What came together is shown together."""
        came: list[str] = []
        for event in batch:
            match event:
                case Delta(text):
                    came.append(text)
                case Reasoning(text):
                    display.reasoning(text)
                case Queued(_, ahead):
                    display.status(words.say("queued", ahead=ahead))
                case UsageSeen():
                    reading.usage = event
                case Finish(reason):
                    reading.reason = reason
        if came:
            text = "".join(came)
            reading.pieces.append(text)
            display.text(text)


def _make_http(endpoint: Endpoint) -> httpx.AsyncClient:
    return make_http(
        endpoint.base_url,
        ca_bundle=endpoint.ca_bundle,
        proxy=endpoint.proxy,
        read_timeout=endpoint.read_timeout,
        max_connections=2,
    )


def _worded(question: str, format: Format) -> str:
    text = expand_command(question)
    return f"{text}\n\n{ASK[format]}" if ASK[format] else text


def notes_of(receipt: wire.Receipt, state: State, words: Words) -> tuple[str, ...]:
    notes = [words.say(state)] if state == "length" else []
    if receipt.masked:
        notes.append(words.say("masked", count=len(receipt.masked)))
    less = _less(receipt, words)
    return (*notes, less) if less else tuple(notes)


def _less(receipt: wire.Receipt, words: Words) -> str:
    """One line on what the model did not get to read, "" when it read everything."""
    parts = [part for part in receipt.parts if part.kind != "history"]
    left_out = [part.label for part in parts if part.state == "left_out"]
    cut = [part.label for part in parts if part.state == "cut"]
    said = [words.say("left_out", labels=", ".join(left_out))] if left_out else []
    if cut:
        said.append(words.say("cut", labels=", ".join(cut)))
    if receipt.left_out_turns:
        said.append(words.say("left_out_turns", count=receipt.left_out_turns))
    return " ".join(said)
