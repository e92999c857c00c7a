"""vLLM's side of the OpenAI API as far as Cellar uses it: what it accepts, and the exact shapes it answers with.

Stricter than vLLM 0.33, which ignores unknown fields: a misspelt field is a bug of ours that nobody would see.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class _TextPart(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="text"):
    text: str


class _ImageUrl(msgspec.Struct, forbid_unknown_fields=True):
    url: Annotated[str, Meta(pattern=r"^data:image/(png|jpeg|gif|webp);base64,")]
    detail: str | UnsetType = UNSET


class _ImagePart(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="image_url"):
    image_url: _ImageUrl


class ChatMessage(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_TextPart | _ImagePart]
    name: str | UnsetType = UNSET

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text if isinstance(part, _TextPart) else "<image>" for part in self.content)

    @property
    def last_text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return next((part.text for part in reversed(self.content) if isinstance(part, _TextPart)), "")


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool = False
    continuous_usage_stats: bool = False


# At most 128 characters, none of which could leave a path.
Salt = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^@/\\\x00]*$")]


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    stream: bool = False
    stream_options: _StreamOptions | UnsetType = UNSET
    max_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    max_completion_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(gt=0, le=1)] | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    min_p: float | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    n: Literal[1] = 1
    stop: str | Annotated[list[str], Meta(max_length=4)] | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    response_format: dict[str, Any] | UnsetType = UNSET
    chat_template_kwargs: dict[str, Any] | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    include_reasoning: bool | UnsetType = UNSET
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    cache_salt: Salt | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    ignore_eos: bool = False
    user: str | UnsetType = UNSET

    def complaint(self) -> str:
        """What a chat template would raise: roles that do not alternate; empty when all is well."""
        roles = [message.role for message in self.messages]
        if roles[0] in ("system", "developer"):
            roles = roles[1:]
        if not roles or any(role != ("user", "assistant")[i % 2] for i, role in enumerate(roles)):
            return (
                "Conversation roles must alternate user/assistant/user/assistant/... after an optional system message"
            )
        if self.continue_final_message == self.add_generation_prompt:
            return "Cannot set both `continue_final_message` and `add_generation_prompt`"
        if self.continue_final_message != (roles[-1] == "assistant"):
            return "The last message must be the user's, or the assistant's with `continue_final_message`"
        return ""


class TokenizeBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    messages: list[ChatMessage] | UnsetType = UNSET
    add_special_tokens: bool = True
    add_generation_prompt: bool = True


_PIECES = re.compile(r"\s?[^\W_]{1,5}|\s+|[^\w\s]|_")
TEMPLATE_TOKENS = 4  # what the chat template adds around each message


def count_text(text: str) -> int:
    """Tokens of our tokenizer: words of up to five letters with the blank before them."""
    return sum(1 for _ in _PIECES.finditer(text))


def count_messages(messages: list[ChatMessage]) -> int:
    return sum(TEMPLATE_TOKENS + count_text(message.text) for message in messages) + TEMPLATE_TOKENS


def error_body(message: str, kind: str, code: int, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def validation_error(problem: str, body: bytes) -> dict[str, Any]:
    """As pydantic words it: with the input, which a client must not repeat."""
    said = body[:2000].decode("utf-8", "replace")
    return error_body(f"1 validation error:\n  {{'msg': {problem!r}, 'input': {said!r}}}", "Bad Request", 400)


STOPPING = "cannot schedule new futures after shutdown"
ENGINE_DIED = "EngineCore encountered an issue. See stack trace (above) for the root cause."


def no_template() -> dict[str, Any]:
    return error_body(
        "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if "
        "the tokenizer does not define one.",
        "BadRequestError",
        400,
    )


def too_long(limit: int, prompt: int) -> dict[str, Any]:
    return error_body(
        f"This model's maximum context length is {limit} tokens. However, your prompt contains {prompt} input tokens. "
        "Please reduce the length of the input prompt.",
        "BadRequestError",
        400,
        "input_tokens",
    )


def too_many(limit: int, asked: int) -> dict[str, Any]:
    return error_body(
        f"max_tokens={asked} cannot be greater than max_model_len={limit}. Please request fewer output tokens. "
        f"(parameter=max_tokens, value={asked})",
        "BadRequestError",
        400,
        "max_tokens",
    )


def llama_models(models: list[str], n_ctx: int) -> dict[str, Any]:
    """/v1/models of llama.cpp with SmolLM2-135M, shortened."""
    meta = {"vocab_type": 2, "n_vocab": 49152, "n_ctx": n_ctx, "n_ctx_train": 8192, "n_params": 134515008}
    modalities = {"input_modalities": ["text"], "output_modalities": ["text"]}
    rows = [{"id": model, "object": "model", "owned_by": "llamacpp", "meta": meta} for model in models]
    return {"object": "list", "data": [{**row, "architecture": modalities} for row in rows]}


class ChunkWriter:
    """The events of one streamed answer, byte for byte as vLLM writes them (characters are not escaped)."""

    def __init__(self, id: str, model: str, created: int, newline: str) -> None:
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._end = newline + newline

    def event(self, value: dict[str, Any]) -> bytes:
        return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}{self._end}".encode()

    def delta(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "token_ids": None}
        return self.event({**self._head, "choices": [choice]})

    def usage(self, prompt: int, completion: int, cached: int | None) -> bytes:
        return self.event({**self._head, "choices": [], "usage": usage(prompt, completion, cached)})

    def comment(self, text: str) -> bytes:
        return f": {text}{self._end}".encode()

    def done(self) -> bytes:
        return f"data: [DONE]{self._end}".encode()


def usage(prompt: int, completion: int, cached: int | None) -> dict[str, Any]:
    details = None if cached is None else {"cached_tokens": cached}
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": details,
    }
