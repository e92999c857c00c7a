"""How a model server says no, and the class that becomes. No class is out of reach, and no prompt is in a message."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import httpx
import msgspec
import pytest
from cellar import errors
from cellar.client import ModelClient, make_http
from cellar.errors import CellarError, ContextTooLong, ModelServerError, QuotaExceeded, RateLimited, all_errors
from cellar.refusals import MAX_ERROR_BYTES, error_event, refusal, retry_after_seconds
from cellar.transport import transport_error

from tests.core.conftest import ask, everything
from tests.fakes import openai
from tests.fakes.scenarios import PRESETS, Scenario
from tests.fakes.vllm import FakeVLLM

LIMIT = "This model's maximum context length is 4096 tokens"
TOO_LARGE = "'max_tokens' or 'max_completion_tokens' is too large: 2000."
VLLM_TOO_LONG = (
    LIMIT + ". However, your prompt contains 5000 input tokens. Please reduce the length of the input prompt.",
    LIMIT + ". However, your prompt contains at least 5000 input tokens.",
    LIMIT + ". However, you requested 5000 tokens (4000 in the messages, 1000 in the completion).",
    f"{TOO_LARGE} {LIMIT} and your request has 5000 input tokens (2000 > 4096 - 5000).",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len`",
)


def error(status: int, body: Any, headers: dict[str, str] | None = None) -> CellarError:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return refusal(status, httpx.Headers(headers or {}), data, model="coder")


def said(message: str, kind: str = "BadRequestError", code: int | str = 400, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


CASES: list[tuple[int, Any, dict[str, str], str]] = [
    (401, {"error": "Unauthorized"}, {}, "Unauthorized"),
    (403, said("not for your group", "forbidden", 403), {}, "Forbidden"),
    (404, said("The model `x` does not exist.", "NotFoundError", 404, param="model"), {}, "ModelNotFound"),
    (404, {"detail": "Not Found"}, {}, "RequestRefused"),
    (404, said("File Not Found", "not_found_error", 404), {}, "RequestRefused"),
    (413, b"<html>413 Request Entity Too Large</html>", {}, "TooLarge"),
    (422, said("bad field", "UnprocessableEntityError", 422), {}, "RequestRefused"),
    (400, said("whatever"), {}, "RequestRefused"),
    (400, said("fake-coder is not a multimodal model"), {}, "NoVision"),
    (400, said("At most 0 image(s) may be provided in one prompt."), {}, "NoVision"),
    (500, said("image input is not supported - hint: you may need to provide the mmproj"), {}, "NoVision"),
    (400, said("At most 1 image(s) may be provided in one prompt."), {}, "RequestRefused"),
    (400, said("too long text", param="input_text"), {}, "ContextTooLong"),
    (429, said("slow", "rate_limit_exceeded", 429), {"retry-after": "7"}, "RateLimited"),
    (429, b"", {}, "RateLimited"),
    (429, said("used up", "limits", "quota_exceeded"), {}, "QuotaExceeded"),
    (503, said("Queue is full", "Service Unavailable", 503), {}, "QueueFull"),
    (503, b"", {"retry-after": "5"}, "QueueFull"),
    (503, said("Loading model", "unavailable_error", 503), {}, "ModelLoading"),
    (503, b"<html>no backend</html>", {}, "ModelFailed"),
    (500, said("EngineCore died", "InternalServerError", 500), {}, "ModelFailed"),
    (500, said(openai.ENGINE_DIED, "InternalServerError", 500), {}, "ModelServerDown"),
    (500, said(openai.STOPPING, "InternalServerError", 500), {}, "ModelServerDown"),
    (400, openai.no_template(), {}, "RequestRefused"),
    (502, b"<html>Bad Gateway</html>", {}, "ModelFailed"),
    (501, said("no", "NotImplementedError", 501), {}, "ModelFailed"),
    (302, b"", {"location": "/login"}, "RequestRefused"),
    (418, b"\xff\xfe not json", {}, "RequestRefused"),
    (400, b'["a", "list"]', {}, "RequestRefused"),
]


@pytest.mark.parametrize(("status", "body", "headers", "name"), CASES)
def test_a_refusal_becomes_its_class(status: int, body: Any, headers: dict[str, str], name: str) -> None:
    found = error(status, body, headers)
    assert type(found).__name__ == name
    assert found.message and len(found.message) <= 300


@pytest.mark.parametrize("message", VLLM_TOO_LONG)
def test_vllm_says_how_much_too_long(message: str) -> None:
    found = error(400, said(message))
    assert isinstance(found, ContextTooLong)
    assert found.detail == {"n_prompt": 5000, "limit": 4096}


def test_llama_cpp_says_how_much_too_long() -> None:
    found = error(400, said("too long", "exceed_context_size_error", n_prompt_tokens=6031, n_ctx=4096))
    assert isinstance(found, ContextTooLong)
    assert found.detail == {"n_prompt": 6031, "limit": 4096}


@pytest.mark.parametrize("wrap", [lambda numbers: numbers, lambda numbers: {"detail": numbers}])
def test_a_quota_says_its_numbers(wrap: Any) -> None:
    numbers = {"used": 120, "limit": 100, "resets_at": 1893456000}
    found = error(429, said("Used up", "quota_exceeded", 429, **wrap(numbers)))
    assert isinstance(found, QuotaExceeded)
    assert found.detail == numbers


def test_retry_after_and_request_id_are_kept() -> None:
    found = error(429, b"", {"Retry-After": "7", "X-Request-Id": "req-9"})
    assert isinstance(found, RateLimited)
    assert (found.retry_after, found.request_id) == (7.0, "req-9")


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_seconds("1.5") == 1.5
    assert 25 < (retry_after_seconds(email.utils.formatdate(time.time() + 30, usegmt=True)) or 0) <= 30
    assert retry_after_seconds("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    for nonsense in ("", None, "soon", "in a very long while", "nan", "inf", "-1"):
        assert retry_after_seconds(nonsense) is None


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"message": "x", "code": 429}, "RateLimited"),
        ({"message": "x", "code": "429", "type": "quota_exceeded"}, "QuotaExceeded"),
        ({"message": "x", "code": "quota_exceeded"}, "QuotaExceeded"),
        ({"message": "wait", "code": "queue_full"}, "QueueFull"),
        ({"message": "x", "code": 503, "retry_after": 9}, "QueueFull"),
        ({"message": "x", "code": 403}, "Forbidden"),
        ({"message": "x", "code": 404, "param": "model"}, "ModelNotFound"),
        ({"message": VLLM_TOO_LONG[0], "code": 400}, "ContextTooLong"),
        ({"message": "CUDA error", "code": 500}, "ModelFailed"),
        ({"message": "no code at all"}, "ModelFailed"),
        ({"message": "strange", "code": [1]}, "ModelFailed"),
        ("only a string", "ModelFailed"),
        (17, "ModelFailed"),
    ],
)
def test_an_error_event_is_mapped_by_its_code_as_if_it_were_the_status(event: Any, name: str) -> None:
    assert type(error_event(event)).__name__ == name


@pytest.mark.parametrize(
    ("code", "name"), [(429, "RateLimited"), ("quota_exceeded", "QuotaExceeded"), (503, "QueueFull")]
)
async def test_an_error_after_the_queue_is_mapped_too(
    model: FakeVLLM, gateway_client: ModelClient, code: int | str, name: str
) -> None:
    refused = {"message": "The queue is full", "code": code}
    model.use(Scenario(queue=[(2, 1)], text="x", error_after=0, error=refused))
    with pytest.raises(ModelServerError) as raised:
        await everything(gateway_client)
    assert type(raised.value).__name__ == name


PRESET_CLASSES = {
    "rate_limited": "RateLimited",
    "quota": "QuotaExceeded",
    "blind": "NoVision",
    "unauthorized": "Unauthorized",
    "forbidden": "Forbidden",
    "loading": "ModelLoading",
    "queue_full": "QueueFull",
    "too_long": "ContextTooLong",
    "too_large": "TooLarge",
    "broken": "ModelFailed",
    "not_a_stream": "ModelFailed",
    "error_in_stream": "ModelFailed",
    "engine_died": "ModelServerDown",
    "stopping": "ModelServerDown",
    "no_template": "RequestRefused",
}


@pytest.mark.parametrize("preset", PRESET_CLASSES)
async def test_a_servers_trouble_is_raised_as_its_class(model: FakeVLLM, client: ModelClient, preset: str) -> None:
    model.use(preset)
    with pytest.raises(CellarError) as raised:
        await everything(client)
    assert type(raised.value).__name__ == PRESET_CLASSES[preset]
    await model.until(lambda m: m.running == 0)


def test_a_server_that_stops_and_a_model_that_cannot_chat_are_told_from_other_refusals() -> None:
    assert error(500, said(openai.STOPPING)).detail["why"] == "stopped"
    assert error_event({"message": openai.ENGINE_DIED, "code": 500}).detail["why"] == "stopped"
    assert error(400, openai.no_template()).detail["why"] == "no_chat_template"


async def test_an_error_in_the_stream_carries_the_request_id(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(text="x", error_after=0, headers={"X-Request-Id": "req-7"}))
    with pytest.raises(errors.ModelFailed) as raised:
        await everything(client)
    assert raised.value.request_id == "req-7"


async def test_an_unknown_model_is_named(model: FakeVLLM, client: ModelClient) -> None:
    model.options.models = ["other"]
    with pytest.raises(errors.ModelNotFound, match="fake-coder"):
        await everything(client)


async def test_json_in_place_of_a_stream_is_read_as_the_error_it_is(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(status=201, body=said("slow", code=429)))
    with pytest.raises(RateLimited):
        await everything(client)


@pytest.mark.parametrize(
    "body", ["hello\n\n", "", "data: {not json\n\n", 'data: {"choices":[{"delta":{"content":5}}]}\n\n']
)
async def test_a_body_that_is_no_answer_fails(model: FakeVLLM, client: ModelClient, body: str) -> None:
    model.use(Scenario(status=201, content_type="text/event-stream", body=body))
    with pytest.raises(errors.ModelFailed):
        await everything(client)


async def test_the_prompt_is_in_no_error_although_the_server_repeats_it(model: FakeVLLM, client: ModelClient) -> None:
    with pytest.raises(errors.RequestRefused) as raised:
        await everything(client, ask("my secret plan", extra={"no_such_field": 1}))
    shown = repr(raised.value) + repr(raised.value.info()) + str(raised.value.__cause__)
    assert "secret" not in shown and "no_such_field" not in shown


async def test_an_endless_error_body_is_cut(model: FakeVLLM, client: ModelClient) -> None:
    model.use(Scenario(status=500, content_type="text/plain", body="x" * (50 * MAX_ERROR_BYTES)))
    with pytest.raises(errors.ModelFailed, match="HTTP 500"):
        await everything(client)
    await model.until(lambda it: it.running == 0)
    assert model.requests[0].outcome in ("refused", "aborted")


@pytest.mark.parametrize(
    "url", ["http://name.invalid/v1", "ftp://127.0.0.1/v1", "http://[broken/v1", "localhost:8001/v1"]
)
async def test_an_address_that_leads_nowhere_is_a_server_that_is_down(url: str) -> None:
    client = ModelClient(make_http(url), url)
    assert (await client.health()).state == "down"
    await client.aclose()


async def test_a_key_that_no_header_can_carry_is_refused(model: FakeVLLM) -> None:
    client = ModelClient(make_http(model.url), model.url, "two\nlines")
    with pytest.raises(errors.RequestRefused):
        await everything(client)
    await client.aclose()


def subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(httpx.TransportError))
def test_every_failure_of_httpx_is_one_of_ours(kind: type[httpx.TransportError]) -> None:
    assert isinstance(transport_error(kind("boom")), ModelServerError)


def test_every_model_server_error_can_happen() -> None:
    """By a status, an event or the transport; the base class itself is never raised."""
    raised = {name for *_, name in CASES} | {
        type(transport_error(kind("x"))).__name__ for kind in subclasses(httpx.TransportError)
    }
    assert raised >= {kind.__name__ for kind in all_errors(ModelServerError)} - {"ModelServerError"}


def test_codes_are_unique_words() -> None:
    codes = [kind.code for kind in all_errors() if kind not in (errors.RequestError,)]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = errors.__doc__ or ""
    assert [kind.__name__ for kind in all_errors() if kind.__name__ not in drawn] == []


def test_every_refusing_preset_of_the_fake_is_tested() -> None:
    refusing = {name for name, plan in PRESETS.items() if plan[0].status != 200} - {"busy_then_ok"}
    assert refusing <= set(PRESET_CLASSES)
