"""A request as the client wrote it -> as the model server gets it, and what the gateway must know of it. Pure.

Unknown fields are kept: what vLLM learns tomorrow works today. Refused is what could be read in two ways (the same key
twice, text that is not UTF-8, numbers that are none), what would let the model server fetch an address (pictures by
http), what is a program or a pickle to it (templates, embeddings), what names another request's picture, and tools
where policy does not look for them. Ours, whatever the client writes: `max_tokens`
within the policy, usage at the end of a stream, `cache_salt`, `priority`, the names of request and session.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, NoReturn

import msgspec

from .queue import CLASSES, Class
from .refused import bad_request

Kind = Literal["chat", "completion", "embeddings"]

MAX_N = 4
"""Answers to one question, or prompts in one request times answers to each."""
MAX_PROMPTS = 64
SMALL_COMPLETION = 256
"""Up to so many tokens in all, a completion is ghost text."""
DEFAULT_COMPLETION_TOKENS = 16
"""OpenAI's (and vLLM's) default of `/v1/completions`."""
LONGEST_OF_TINY = 512
"""Tokens of a tiny model's answer at most, whatever the policy says: it rambles, and the panel offers Continue."""
BYTES_PER_TOKEN = 3
IMAGE_TOKENS = 1200
MAX_DEPTH_ERROR = "The request's JSON is nested too deeply"

_OURS = frozenset({"cache_salt", "priority", "request_id", "session_id", "kv_transfer_params", "data_parallel_rank"})
_ALIASES = frozenset({"n_predict", "n_cmpl", "id_slot"})
"""llama.cpp's own names: of `max_tokens` and `n`, which they override there, and of a slot with somebody's cache."""
_NOT_TAKEN = frozenset({"chat_template", "prompt_embeds"})
"""A program for the server's template engine (CVE-2025-61620), and a tensor to be unpickled (CVE-2025-62164)."""
_NOT_TEMPLATES = frozenset({"chat_template", "tokenize", "tools"})
"""Of `chat_template_kwargs`: a template by the back door, work that blocks vLLM (CVE-2025-62426), unseen tools."""
_MEDIA = frozenset({"image_url", "audio_url", "video_url", "input_audio", "file"})
_TENSORS = "_embeds"
"""How the names of a part end that is a tensor to be unpickled: image_embeds, audio_embeds, prompt_embeds."""
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_PARTS = ("text", *_MEDIA)


class Asked(msgspec.Struct, kw_only=True):
    """What the gateway must know. `fields` is what will be sent but for `cache_salt` and `priority`."""

    fields: dict[str, Any]
    kind: Kind
    model: str
    stream: bool
    wants_usage: bool  # the client asked for the usage event
    max_tokens: int  # of all answers together; 0: embeddings
    prompt: int  # tokens, estimated
    klass: Class
    question: bytes  # the last user message, for the audit's keyed hash; never kept
    tools: bool

    @property
    def reserve(self) -> int:
        """Tokens that this request may cost at most, as far as can be told."""
        return self.prompt + self.max_tokens

    def body(self, *, cache_salt: str = "", priority: int | None = None) -> bytes:
        ours: dict[str, Any] = {"cache_salt": cache_salt} if cache_salt else {}
        if priority is not None:
            ours["priority"] = priority
        return msgspec.json.encode({**self.fields, **ours})


def parse_request(
    data: bytes,
    kind: Kind,
    *,
    max_tokens: int,
    context_length: Callable[[str], int | None] = lambda _: None,
    is_tiny: Callable[[str], bool] = lambda _: False,
    wish: str = "",
) -> Asked:
    """Raises `Refused` (400). `max_tokens`: the policy's cap for one answer; `context_length`: of a model, if known;
    `is_tiny`: whether a model is one that repeats itself rather than ends;
    `wish`: the class that the client asks for (`X-Cellar-Class`)."""
    fields = parse_object(data)
    model = model_of(fields)
    _check_harmless(fields)
    stream = _switch(fields, "stream") and kind != "embeddings"
    for name in (_OURS | _ALIASES) & fields.keys():
        del fields[name]
    _drop_extras(fields)
    question, prompt, prompts = _read_prompt(fields, kind)
    tokens = 0
    if kind != "embeddings":
        cap = min(max_tokens, LONGEST_OF_TINY) if is_tiny(model) else max_tokens
        each = _set_max_tokens(fields, kind, cap, context_length(model))
        tokens = each * _answers(fields, prompts)
    wants_usage = _ask_for_usage(fields) if stream else True
    return Asked(
        fields=fields,
        kind=kind,
        model=model,
        stream=stream,
        wants_usage=wants_usage,
        max_tokens=tokens,
        prompt=prompt,
        klass=_class(kind, tokens, wish),
        question=question,
        tools=bool(fields.get("tools") or fields.get("functions")),
    )


def parse_tokenize(data: bytes) -> dict[str, Any]:
    """The fields of a request to /tokenize. Raises `Refused` (400): a server loads pictures to count their tokens."""
    fields = parse_object(data)
    model_of(fields)
    _check_harmless(fields)
    if fields.get("messages") is not None:
        _read_messages(fields["messages"])
    return fields


def model_of(fields: dict[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("The request names no model", param="model")
    return model


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object without a doubled key anywhere, written in UTF-8, with numbers that are numbers."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise bad_request(MAX_DEPTH_ERROR) from None
    except ValueError:  # not JSON, not UTF-8, a number of thousands of digits; the message would quote the request
        raise bad_request("The request is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise bad_request("The request is not a JSON object")
    try:
        msgspec.json.encode(value)
    except (UnicodeEncodeError, RecursionError, OverflowError, TypeError):
        raise bad_request("The request has characters or numbers that JSON cannot carry") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise bad_request("The request has a key twice in one object")
    return found


def _no_number(_: str) -> NoReturn:
    raise bad_request("The request has a number that is none (NaN, Infinity)")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0.0:
        raise bad_request("The request has a number that is too large")
    return value


def _switch(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None:
        fields.pop(name, None)
        return False
    if not isinstance(value, bool):
        raise bad_request(f"{name} must be true or false", param=name)
    return value


def _count(fields: dict[str, Any], name: str, most: int = 10**9) -> int | None:
    """A whole number from 1; null counts as absent."""
    value = fields.get(name)
    if value is None:
        fields.pop(name, None)
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not value >= 1:
        raise bad_request(f"{name} must be a whole number above 0", param=name)
    if value > most:
        raise bad_request(f"{name} must be at most {most}", param=name)
    return value


def _set_max_tokens(fields: dict[str, Any], kind: Kind, cap: int, context_length: int | None) -> int:
    """Cap the wish, or set what is missing: within the policy, and for a chat within a quarter of the context, because
    servers refuse prompt and answer that together do not fit."""
    wishes = {name: _count(fields, name) for name in ("max_completion_tokens", "max_tokens")}
    wish = next((each for each in wishes.values() if each is not None), None)
    if wish is None:
        wish = DEFAULT_COMPLETION_TOKENS if kind == "completion" else cap
        if kind == "chat" and context_length is not None:
            wish = min(wish, max(16, context_length // 4))
    least = fields.get("min_tokens")
    given = min(wish, cap)
    if isinstance(least, int) and least > given:
        fields["min_tokens"] = given
    fields["max_tokens"] = given
    if wishes["max_completion_tokens"] is not None:
        fields["max_completion_tokens"] = given
    return given


def _answers(fields: dict[str, Any], prompts: int) -> int:
    """Answers in all; `best_of` and beams cost as much as answers."""
    n = max(_count(fields, name, MAX_N) or 1 for name in ("n", "best_of"))
    if n * prompts > max(MAX_N, prompts):
        raise bad_request(f"Not more than {MAX_N} answers in one request", param="n")
    return n * prompts


def _ask_for_usage(fields: dict[str, Any]) -> bool:
    """Have the server tell the usage; whether the client wanted to see it."""
    options = fields.get("stream_options")
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise bad_request("stream_options must be an object", param="stream_options")
    wants = options.get("include_usage") is True
    kept = options if wants else {name: value for name, value in options.items() if name != "continuous_usage_stats"}
    fields["stream_options"] = {**kept, "include_usage": True}
    return wants


def _drop_extras(fields: dict[str, Any]) -> None:
    """vLLM takes some of what is ours from here, too."""
    extra = fields.get("vllm_xargs")
    if isinstance(extra, dict):
        fields["vllm_xargs"] = {name: value for name, value in extra.items() if name not in _OURS}


def _check_harmless(fields: dict[str, Any]) -> None:
    more = fields.get("chat_template_kwargs")
    found = [*(_NOT_TAKEN & fields.keys()), *(_NOT_TEMPLATES & more.keys() if isinstance(more, dict) else ())]
    if found:
        raise bad_request(f"{found[0]} is not taken here", param=found[0])


def _class(kind: Kind, tokens: int, wish: str) -> Class:
    """From what is seen; a client may only lower itself."""
    seen: Class = "completion" if kind == "completion" and tokens <= SMALL_COMPLETION else "chat"
    if kind == "embeddings":
        seen = "agent"
    asked = next((each for each in CLASSES if each == wish.strip().lower()), seen)
    return max(seen, asked, key=CLASSES.index)


# ---------------------------------------------------------------------------------------------------------------------
# The prompt: how long it is, and what the person asked


_BESIDE = ("tools", "functions", "documents", "chat_template_kwargs")
"""What a chat's template may write into the prompt beside its messages."""


def _read_prompt(fields: dict[str, Any], kind: Kind) -> tuple[bytes, int, int]:
    """(the question, tokens, prompts)."""
    if kind == "chat":
        question, size, images = _read_messages(fields.get("messages"))
        more = sum(len(msgspec.json.encode(fields[name])) for name in _BESIDE if name in fields)
        return question, to_tokens(size + more) + images * IMAGE_TOKENS, 1
    name = "prompt" if kind == "completion" else "input"
    if "messages" in fields:  # vLLM would read them in place of the other, pictures and all
        raise bad_request(f"messages are not taken beside {name}", param="messages")
    value = fields.get(name)
    if isinstance(value, str):
        return value.encode(), to_tokens(_size(value)), 1
    if not isinstance(value, list) or not value:
        raise bad_request(f"{name} must be a text or a list", param=name)
    question = msgspec.json.encode(value)
    if all(isinstance(each, int) for each in value):
        return question, len(value), 1
    if (kind == "completion" and len(value) > MAX_N) or len(value) > MAX_PROMPTS:
        raise bad_request(f"Too many entries in {name}", param=name)
    if all(isinstance(each, str) for each in value):
        return question, sum(to_tokens(_size(each)) for each in value), len(value)
    if all(isinstance(each, list) for each in value):
        return question, sum(len(each) for each in value), len(value)
    raise bad_request(f"{name} must be a text or a list of texts", param=name)


def _read_messages(messages: object) -> tuple[bytes, int, int]:
    """(the last user message, bytes of text, pictures)."""
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages must be a list with at least one message", param="messages")
    size = images = 0
    question: object = ""
    for message in messages:
        if not isinstance(message, dict):
            raise bad_request("A message must be an object", param="messages")
        if message.get("tools"):
            raise bad_request("Tools are not taken within a message", param="messages")
        content = message.get("content")
        if message.get("role") == "user":
            question = content
        if isinstance(content, str):
            size += _size(content)
        elif isinstance(content, list):
            text, pictures = _read_parts(content)
            size, images = size + text, images + pictures
        elif content is not None:
            raise bad_request("A message's content must be a text or a list of parts", param="messages")
        size += _rest(message, ("content",), "role", _ROLES)
    return question.encode() if isinstance(question, str) else msgspec.json.encode(question), size, images


def _read_parts(parts: list[Any]) -> tuple[int, int]:
    size = images = 0
    for part in parts:
        if not isinstance(part, dict):
            raise bad_request("A part of a message must be an object", param="messages")
        if any(str(name).endswith(_TENSORS) for name in (*part, part.get("type"))):
            raise bad_request("Pictures and sound must be data: addresses", param="messages")
        text, media = part.get("text"), _MEDIA & part.keys()
        if isinstance(text, str):
            size += _size(text)
        if part.get("uuid") is not None:
            raise bad_request("Pictures and sound must not be named", param="messages")
        for name in media:
            images += 1
            _no_address(part[name])
        size += _rest(part, ("text", *media) if isinstance(text, str) else tuple(media), "type", _PARTS)
    return size, images


def _rest(value: dict[str, Any], counted: tuple[str, ...], kind: str, usual: tuple[str, ...]) -> int:
    """Bytes of JSON beside what is counted already: a template may write any field into the prompt (refusals, thoughts,
    calls, names), a `kind` with a word of the client's own, too."""
    rest = {
        name: each
        for name, each in value.items()
        if each is not None and name not in counted and (name != kind or each not in usual)
    }
    return len(msgspec.json.encode(rest)) if rest else 0


def _no_address(media: object) -> None:
    """Pictures travel inside the request; a model server that fetched them would reach where the user must not."""
    if isinstance(media, dict) and media.get("uuid") is not None:
        raise bad_request("Pictures and sound must not be named", param="messages")
    url = media.get("url") if isinstance(media, dict) else media
    if isinstance(url, str) and not url.startswith("data:"):
        raise bad_request("Pictures and sound must be data: addresses", param="messages")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def to_tokens(size: int) -> int:
    """Tokens of so many UTF-8 bytes, estimated high."""
    return -(-size // BYTES_PER_TOKEN)
