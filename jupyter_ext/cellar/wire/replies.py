"""What the API answers."""

from __future__ import annotations

from typing import Literal

from cellar.wire.terms import Mode, Sent, TurnState
from cellar.wire.turn import AnswerPart, ErrorInfo, QueuedEvent, Receipt, Usage


class TurnCreated(Sent):
    turn_id: str
    conversation_id: str
    state: TurnState


class Pill(Sent):
    """What was attached to a question, as its message shows it."""

    kind: str
    label: str
    path: str = ""
    auto: bool = False
    cell: str = ""  # id of the one cell that it points at; of a notebook the active one


class Turn(Sent):
    """One question and its answer as the API shows them. Times are Unix seconds."""

    id: str
    conversation_id: str
    parent_id: str | None
    state: TurnState
    mode: Mode
    text: str
    created: float
    model: str = ""
    pills: tuple[Pill, ...] = ()
    parts: tuple[AnswerPart, ...] = ()
    finished: float | None = None
    receipt: Receipt | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    stopped_by: Literal["", "user", "orphan"] = ""
    continue_of: str | None = None
    queue: QueuedEvent | None = None
    cursor: str | None = None  # of a turn that is not final: read events after it


class ConversationSummary(Sent):
    id: str
    title: str
    created: float
    updated: float
    turns: int
    size: int = 0  # bytes on disk
    running: str | None = None  # id of the turn whose answer is being written
    excerpt: str = ""  # where a search found its words


class Conversation(Sent):
    """`turns` in order of creation, all branches; the branch shown ends at `head_id`."""

    id: str
    title: str
    created: float
    updated: float
    turns: tuple[Turn, ...]
    head_id: str | None = None


class Model(Sent):
    id: str
    context_length: int
    vision: bool | None = None  # None: the server does not tell
    tokenizer: bool = False  # the server counts tokens


class ModelServer(Sent):
    state: Literal["up", "loading", "down"]
    message: str = ""
    tiny: bool = False  # the embedded demonstration model: say so
    address: str = ""  # where one that is down was looked for; empty on a hub, whose users cannot change it


FeatureName = Literal[
    "attach_files",  # files and folders of the workspace, and uploads into it
    "export",
    "images",  # also those in a notebook's outputs
    "search",  # of the workspace, for `@`
]


class Feature(Sent):
    """A switch an admin may set: off is shown with a lock. `reason` is the admin's own sentence."""

    enabled: bool
    reason: str = ""


class Policy(Sent):
    """What an admin says; a feature that is not named is on."""

    features: dict[FeatureName, Feature]
    history: Literal["disk", "memory"]


class Announcement(Sent):
    """`text` is plain text. `ends`: seconds of the epoch, after which it is not shown; None: it is."""

    id: str
    level: Literal["info", "warning", "error"]
    text: str
    ends: float | None = None
    dismissible: bool = True


class Status(Sent):
    version: str
    model_server: ModelServer
    models: tuple[Model, ...]
    default_model: str | None
    policy: Policy
    announcements: tuple[Announcement, ...] = ()


class Quota(Sent):
    """Tokens of a calendar day or month; `resets_at` in seconds of the epoch."""

    window: Literal["day", "month"]
    used: int
    limit: int
    resets_at: float


class Reachable(Sent):
    """A destination in the building that this workspace may reach. `ready` is false when no forwarder serves it."""

    name: str
    port: int
    ready: bool = True


class UsageReport(Sent):
    """`GET usage`: what the user spent, and the quotas if there are any. On a hub the gateway counts, over all of the
    user's workspaces and kernels; else this server counts its own turns. `destinations`: only on a hub."""

    prompt_today: int
    completion_today: int
    turns_today: int
    quotas: tuple[Quota, ...] = ()
    destinations: tuple[Reachable, ...] = ()


class SearchHit(Sent):
    kind: Literal["file", "folder", "symbol"]
    path: str
    name: str
    line: int | None = None


class SearchResult(Sent):
    hits: tuple[SearchHit, ...]
    truncated: bool = False


class ErrorBody(Sent):
    """Every refusal of the API: `{"error": {...}}`."""

    error: ErrorInfo
