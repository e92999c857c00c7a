"""How a model server or gateway says no -> one class of `cellar.errors`. Pure: status, headers and body in, error out.

The bodies known here: vLLM's and the gateway's `{"error": {"message", "type", "param", "code"}}` (code: the status, or
a word), vLLM's 401 `{"error": "Unauthorized"}`, llama.cpp's `{"error": {..., "n_prompt_tokens", "n_ctx"}}`, FastAPI's
`{"detail": ...}`, and pages of HTML from whatever proxy stands between.

A server's own message is quoted only for statuses that are decided before anything reads the prompt (401, 403, 413,
429): validation messages repeat their input, and a prompt must not reach a log or an error that way.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from cellar.errors import (
    CellarError,
    ContextTooLong,
    Forbidden,
    ModelFailed,
    ModelLoading,
    ModelNotFound,
    ModelServerDown,
    ModelTimeout,
    NoVision,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    TooLarge,
    Unauthorized,
)

MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an error body that are read; the rest is thrown away with the connection."""

_LIMIT = re.compile(r"maximum (?:context|model) length (?:is|of) (\d+)")
_PROMPT = re.compile(
    r"(?:requested|request has|you have|contains|contains at least|resulted in|prompt \(length|has) (\d+)(?:\)| |$)"
)
_BLIND = re.compile(  # vLLM without a vision model, vLLM told to take none, llama.cpp, others
    r"is not a multimodal model|at most 0 image|image input is not supported|does not support (?:image|vision)",
    re.IGNORECASE,
)
# Both at the message's beginning: further on it may repeat what was sent.
_NO_TEMPLATE = re.compile(r"As of transformers v[\d.]+, default chat template is no longer allowed")
# vLLM that was told to stop lets answers end and takes no question any more, with 500; so it does when its engine died.
_STOPPED = re.compile(r"cannot schedule new futures after shutdown|EngineCore encountered an issue")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_. -]{0,60}")
_QUOTED = frozenset({401, 403, 413, 429})


def retry_after_seconds(value: str | None) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3): seconds or an HTTP date; None when absent or nonsense."""
    if not value:
        return None
    try:
        if _SECONDS.fullmatch(value):
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def refusal(status: int, headers: Mapping[str, str], body: bytes, *, model: str = "") -> CellarError:
    """The error for an answer with a status that is not 2xx."""
    fields = _fields(body)
    return _error(
        status,
        fields,
        model=model,
        retry_after=retry_after_seconds(headers.get("retry-after")),
        request_id=_short(headers.get("x-request-id", "")),
    )


def error_event(error: object, *, model: str = "") -> CellarError:
    """The error for `data: {"error": ...}` under HTTP 200: its `code` counts as the status."""
    fields = _object(error)
    return _error(_status(fields), fields, model=model, retry_after=None, request_id="")


def _error(
    status: int, fields: dict[str, Any], *, model: str, retry_after: float | None, request_id: str
) -> CellarError:
    """One rule after the other; the first that fits names the class."""
    about: dict[str, Any] = {
        "retry_after": _number(fields.get("retry_after")) if retry_after is None else retry_after,
        "request_id": request_id,
    }
    words = f"{fields.get('type', '')} {fields.get('code', '')}".lower()
    message = str(fields.get("message", ""))
    said = _short(message) if status in _QUOTED else ""
    if status == 401:
        return Unauthorized(said or "The model server does not accept the key or token", **about)
    if status == 403:
        if said:
            return Forbidden(said, **about)
        return Forbidden("The model server does not allow this", detail={"why": "model_server"}, **about)
    if status == 429 or "quota_exceeded" in words:
        return _too_many(said, fields, words, about)
    too_long = _context_too_long(status, fields, message, words)
    if too_long is not None:
        return ContextTooLong("The question is longer than the model can read", detail=too_long, **about)
    if status in (400, 422, 500, 501) and _BLIND.search(message[:300]):
        return NoVision("The model does not see pictures", **about)
    if status == 400 and _NO_TEMPLATE.match(message):
        about["detail"] = {"status": status, "why": "no_chat_template"}
        return RequestRefused("This model completes text and cannot chat: it has no chat template", **about)
    if status == 500 and _STOPPED.match(message):
        return ModelServerDown("The model server has stopped", detail={"status": status, "why": "stopped"}, **about)
    if status == 404:
        return _not_found(fields, message, words, model, about)
    if status == 413:
        return TooLarge(said or "The request is larger than the model server accepts", **about)
    if status == 503:
        return _unavailable(message, words, about)
    if status == 504 or "model_timeout" in words:
        return ModelTimeout("The model server did not answer in time", **about)
    about["detail"] = {"status": status}
    kind = _kind(fields)
    if 300 <= status < 400:
        return RequestRefused("The model server redirects to another address", hint="Set that as base URL", **about)
    if 400 <= status < 500:
        return RequestRefused(f"The model server refused the request (HTTP {status}{kind})", **about)
    return ModelFailed(f"The model server failed (HTTP {status}{kind})", **about)


def _too_many(said: str, fields: dict[str, Any], words: str, about: dict[str, Any]) -> CellarError:
    if "quota_exceeded" not in words:
        return RateLimited(said or "Too many requests", **about)
    detail = fields.get("detail")
    numbers = {**fields, **detail} if isinstance(detail, dict) else fields
    kept = {name: numbers[name] for name in ("used", "limit", "resets_at") if _number(numbers.get(name)) is not None}
    if "resets_at" not in kept and isinstance(numbers.get("resets_at"), str):
        kept["resets_at"] = _short(numbers["resets_at"])
    return QuotaExceeded(said or "The token quota is used up", detail=kept, **about)


def _context_too_long(
    status: int, fields: dict[str, Any], message: str, words: str
) -> dict[str, int | float | str] | None:
    """The numbers (`n_prompt`, `limit`) when this is about the model's context length; None when it is not."""
    if status not in (400, 413, 422, 500):
        return None
    limit_said = _LIMIT.search(message)
    named = "exceed_context_size" in words or "context_length_exceeded" in words
    if not named and not limit_said and fields.get("param") not in ("input_tokens", "input_text"):
        return None
    prompt: object = fields.get("n_prompt_tokens")
    limit: object = fields.get("n_ctx")
    if limit is None and limit_said:
        limit = int(limit_said[1])
    if prompt is None:
        counts = [int(found) for found in _PROMPT.findall(message)]
        prompt = counts[0] if counts else None
    return {name: value for name, value in (("n_prompt", prompt), ("limit", limit)) if isinstance(value, int)}


def _not_found(fields: dict[str, Any], message: str, words: str, model: str, about: dict[str, Any]) -> CellarError:
    if fields.get("param") == "model" or "model_not_found" in words or "model" in message.lower():
        return ModelNotFound(
            f"The model server has no model {model!r}" if model else "The model server has no such model",
            detail={"model": model} if model else None,
            **about,
        )
    return RequestRefused(
        "The model server does not know this address (HTTP 404)",
        hint="Does the base URL end in /v1, and is it an OpenAI-compatible server?",
        detail={"status": 404},
        **about,
    )


def _unavailable(message: str, words: str, about: dict[str, Any]) -> CellarError:
    if "loading" in message.lower() or "model_loading" in words:
        return ModelLoading("The model is being loaded", **about)
    if "model_down" in words:  # the gateway's words, these and the next
        return ModelServerDown("The model server cannot be reached", **about)
    if any(word in words for word in ("hub_down", "database_down", "gateway_unavailable")):
        return ModelServerDown("The gateway cannot work at the moment", **about)
    waits = "queue" in words or "queue" in message.lower() or "service unavailable" in words  # vLLM's own limits
    if waits or about["retry_after"] is not None:
        return QueueFull("The model server has too many requests waiting", **about)
    return ModelFailed("The model server is not available (HTTP 503)", **about)


# ---------------------------------------------------------------------------------------------------------------------
# Reading bodies that may be anything


def _fields(body: bytes) -> dict[str, Any]:
    """The error object of a body: `{"message": str, "type": ..., "code": ..., ...}`; empty when there is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return {}
    if not isinstance(found, dict):
        return {}
    return _object(found.get("error", found.get("detail", found)))


def _object(error: object) -> dict[str, Any]:
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else {}


def _status(fields: dict[str, Any]) -> int:
    """The status an error event stands for; words become the status their refusal would have had."""
    code = fields.get("code")
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    words = f"{fields.get('type', '')} {code}".lower()
    for word, status in _STATUS_OF_WORD:
        if word in words:
            return status
    return 500


_STATUS_OF_WORD = (
    ("quota_exceeded", 429),
    ("rate_limit", 429),
    ("queue_full", 503),
    ("model_loading", 503),
    ("model_down", 503),
    ("hub_down", 503),
    ("database_down", 503),
    ("gateway_unavailable", 503),
    ("model_timeout", 504),
    ("model_not_found", 404),
    ("notfounderror", 404),
    ("exceed_context_size", 400),
    ("context_length_exceeded", 400),
    ("invalid_request_error", 400),
    ("badrequest", 400),
    ("unauthorized", 401),
    ("authentication", 401),
    ("permission", 403),
    ("forbidden", 403),
)


def _kind(fields: dict[str, Any]) -> str:
    """ ", BadRequestError" when the server names its error in one plain word."""
    kind = fields.get("type")
    return f", {kind}" if isinstance(kind, str) and _WORD.fullmatch(kind) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _short(text: str) -> str:
    """One printable line of at most 300 characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    return line if len(line) <= 300 else line[:299] + "…"
