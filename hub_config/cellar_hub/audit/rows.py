"""What the audit knows: four kinds of row, of metadata alone. Pure.

A row is kept as its canonical JSON: these structs' fields in this order, as msgspec writes them. A later version may
add fields with a default at the end; it reads old rows, and verifies them by the bytes that were stored.
"""

from __future__ import annotations

from typing import Literal

import msgspec

LONGEST = 255  # characters of one value; names in JupyterHub are no longer
MOST = 50  # groups of a user, or details of an event
LARGEST = 2**53  # of a number: what every reader of JSON reads as it was written

Kind = Literal["chat", "completion", "embeddings"]
Outcome = Literal["complete", "length", "stopped", "error", "interrupted", "refused"]


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened", tag_field="row"):
    """A request that is about to reach a model server, durable before the first byte of its answer is relayed.

    `mode` and `turn` are what the client claims. `token_id` is the hub's number of the token, never the token.
    """

    request_id: str
    at: float  # seconds of the epoch, UTC
    user: str
    groups: tuple[str, ...]
    model: str
    kind: Kind
    mode: str = ""
    turn: str = ""
    question_mac: str = ""  # keyed HMAC of the last user message: `Keys.mac`
    client: str = ""  # address the request came from
    token_id: str = ""
    max_tokens: int | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True, tag="settled", tag_field="row"):
    """How a request ended. Tokens and milliseconds; None: not known."""

    request_id: str
    at: float
    status: int  # HTTP, as the client saw it
    outcome: Outcome
    error_code: str = ""
    prompt: int = 0
    completion: int = 0
    cached: int | None = None
    estimated: bool = False
    queued_ms: int | None = None
    ttft_ms: int | None = None
    total_ms: int | None = None
    answer_mac: str = ""


class Interrupted(msgspec.Struct, frozen=True, kw_only=True, tag="interrupted", tag_field="row"):
    """Found at a process's start: the request was open when it died. `at`: when it was found."""

    request_id: str
    at: float


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event", tag_field="row"):
    """Something that somebody did: a login, a revocation, an action of an admin."""

    at: float
    actor: str
    action: str  # like "user.block"
    subject: str = ""  # on whom or what
    detail: dict[str, str | int] = {}


Row = Opened | Settled | Event | Interrupted

_decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(Row)


def bounded(row: Row) -> Row:
    """The row with values that are short and printable: names come from outside, and numbers from model servers."""
    changed: dict[str, object] = {}
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if isinstance(value, str):
            changed[name] = plain(value)
        elif type(value) is int:
            changed[name] = min(max(value, -LARGEST), LARGEST)
        elif isinstance(value, tuple):
            changed[name] = tuple(plain(item) for item in value[:MOST])
        elif isinstance(value, dict):
            few = list(value.items())[:MOST]
            changed[name] = {plain(key): plain(item) if isinstance(item, str) else item for key, item in few}
    return msgspec.structs.replace(row, **changed)


def row_to_record(row: Row) -> str:
    """The canonical JSON of a `bounded` row."""
    return msgspec.json.encode(row).decode()


def parse_record(record: str) -> Row:
    """Raises ValueError (msgspec's)."""
    return _decoder.decode(record)


class Columns(msgspec.Struct, frozen=True):
    """What of a row is searched for, in columns beside its record."""

    at: float
    row_type: str
    request_id: str | None = None
    user_name: str | None = None
    subject: str | None = None
    model: str | None = None


def columns_of(row: Row) -> Columns:
    match row:
        case Opened():
            return Columns(row.at, "opened", row.request_id, row.user, None, row.model)
        case Settled():
            return Columns(row.at, "settled", row.request_id)
        case Interrupted():
            return Columns(row.at, "interrupted", row.request_id)
        case Event():
            return Columns(row.at, "event", None, row.actor, row.subject)


def plain(text: str) -> str:
    """At most LONGEST printable characters: no control, direction or surrogate characters, which could forge a line of
    a log or hide in a page."""
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
