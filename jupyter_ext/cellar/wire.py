"""The contract: every message between browser, workspace server and (later) gateway.

Frozen structs, JSON by msgspec, field names as they stand here. What a browser posts is strict (an unknown field or a
wrong type is refused with its path); what a server sends may grow, so readers ignore fields they do not know. Fields
with a default are left out of the JSON when they hold it. `labextension/src/wire/types.ts` says the same in TypeScript;
the golden files in tests/contract keep both honest.

Words: a *conversation* is a tree of *turns*; a turn is one question and its answer; an answer is made of *parts*;
*context* is what travels with a question; a *receipt* lists what left the workspace.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

# ---------------------------------------------------------------------------------------------------------------------
# Limits of what a browser may post (characters unless said otherwise). A longer value is refused with 413 or 400.

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_TEXT = 1_000_000
MAX_PARTS = 64
MAX_CELLS = 5_000

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
RequestKey = Annotated[str, msgspec.Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Name = Annotated[str, msgspec.Meta(max_length=256)]

Mode = Literal["ask", "edit", "agent", "compact"]
TurnState = Literal[
    "pending",  # waits on this server for the conversation's running turn
    "held",  # waits for a click: the turn before it ended in Stop or an error
    "queued",  # admitted nowhere yet: the gateway says "n ahead"
    "running",  # sent; prefilling or streaming
    "complete",
    "length",
    "stopped",
    "interrupted",
    "tool_limit",
    "error",
]
FINAL_STATES: frozenset[str] = frozenset({"complete", "length", "stopped", "interrupted", "tool_limit", "error"})
FinishReason = Literal["complete", "length", "stopped", "interrupted", "tool_limit"]


class Posted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a client sends: strict."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a server sends: may grow."""


# ---------------------------------------------------------------------------------------------------------------------
# Context: what travels with a question. Outputs are reduced to text (and images) at the edge that owns them, the
# browser or the kernel, and cut there head and tail; `cut` counts the characters left out. An output that may travel
# shorter another time has a `mark`, which names its content.


class Image(Posted):
    mime: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: Annotated[str, msgspec.Meta(max_length=8_000_000)]  # base64, no data: prefix


class Output(Posted):
    kind: Literal["stdout", "stderr", "result", "display", "error"]
    text: Text = ""  # for an error: the traceback (ANSI allowed, it is stripped), its last line "Name: message"
    image: Image | None = None
    cut: int = 0
    mark: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Cell(Posted):
    id: Name
    kind: Literal["code", "markdown", "raw"]
    source: Text = ""
    execution_count: int | None = None
    outputs: tuple[Output, ...] = ()


class NotebookPart(Posted, tag="notebook"):
    """The live notebook, unsaved edits included. `path` is relative to the server's root."""

    path: Path
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=MAX_CELLS)]
    language: Name = "python"
    active_cell: Name | None = None
    auto: bool = False


class CellsPart(Posted, tag="cells"):
    """Single cells, added by hand (@cell, drag and drop, the cell toolbar)."""

    path: Path
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(min_length=1, max_length=MAX_CELLS)]
    language: Name = "python"
    auto: bool = False


class SelectionPart(Posted, tag="selection"):
    """Selected text of a cell or a file; lines are 1-based and inclusive."""

    path: Path
    text: Text
    cell_id: Name | None = None
    start_line: int | None = None
    end_line: int | None = None
    language: Name = ""
    auto: bool = False


class FilePart(Posted, tag="file"):
    """A file of the workspace. The server reads it, unless `text` carries the editor's unsaved state."""

    path: Path
    text: Text | None = None
    cut: int = 0  # bytes left out of the middle of `text`
    auto: bool = False


class FolderPart(Posted, tag="folder"):
    """A folder of the workspace: the server lists it (`.gitignore` honoured) and adds the small text files that fit."""

    path: Path
    auto: bool = False


class ErrorPart(Posted, tag="error"):
    """The last error: the cell that raised it, its traceback among its outputs."""

    path: Path
    cell: Cell
    language: Name = "python"
    auto: bool = False


class ImagePart(Posted, tag="image"):
    """A pasted or uploaded picture."""

    name: Name
    image: Image
    auto: bool = False


class GonePart(Posted, tag="gone"):
    """What was attached and was no longer there when the question was sent: nothing of it travels but its name."""

    kind: Literal["cells", "selection", "error"]
    path: Path
    label: Name
    auto: bool = False


ContextPart = NotebookPart | CellsPart | SelectionPart | FilePart | FolderPart | ErrorPart | ImagePart | GonePart
ContextParts = Annotated[tuple[ContextPart, ...], msgspec.Meta(max_length=MAX_PARTS)]


# ---------------------------------------------------------------------------------------------------------------------
# What a browser posts


class TurnRequest(Posted):
    """`POST turns`.

    `parent_id` left out: after the conversation's last turn (behind the pending ones); null: a new first turn, a branch
    of the root; an id: a branch after that turn. `copy_of` takes context (and text, when `text` is left out) from an
    earlier turn: regenerate and edit-and-resend. `continue_of` goes on where that turn's answer was cut.
    """

    request_key: RequestKey
    mode: Mode = "ask"
    conversation_id: Id | None = None
    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    model: Name | None = None
    text: Text | None = None
    context: ContextParts | None = None
    copy_of: Id | None = None
    continue_of: Id | None = None


class TurnPatch(Posted):
    """`PATCH turns/{id}`: edit a pending turn, or let a held one go."""

    text: Text | None = None
    context: ContextParts | None = None
    release: bool = False


class PreviewRequest(Posted):
    """`POST context/preview`: what would this question cost? Answers a `Receipt`."""

    conversation_id: Id | None = None
    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    mode: Mode = "ask"
    model: Name | None = None
    text: Text = ""
    context: ContextParts = ()


class ConversationRequest(Posted):
    """`POST conversations`: a new conversation that begins with the summary a `compact` turn made."""

    from_turn: Id


class ConversationPatch(Posted):
    """`PATCH conversations/{id}`: rename; or show another branch (`head_id` is the last turn of it)."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    head_id: Id | None = None


# ---------------------------------------------------------------------------------------------------------------------
# Parts of an answer


class TextPart(Sent, tag="text"):
    text: str


class ReasoningPart(Sent, tag="reasoning"):
    text: str


AnswerPart = TextPart | ReasoningPart


# ---------------------------------------------------------------------------------------------------------------------
# Receipt: exactly what left the workspace for one turn


class Masked(Sent):
    """One secret that was replaced. `placeholder` is stable within the conversation."""

    placeholder: str
    kind: str  # "aws-key", "private-key", "url-password", "environment", ...
    count: int


class Reason(Sent):
    """Why a row is as it is: one of `cellar.context.reasons`, and its numbers. The panel words it."""

    code: str
    values: tuple[int, ...] = ()


class ReceiptPart(Sent):
    """One row. `tokens` were sent for it; `left_out_tokens` were not (cut, or it did not fit at all)."""

    kind: Literal[
        "system", "rules", "summary", "history", "notebook", "cells", "selection", "file", "folder", "error", "image",
        "question",
    ]  # fmt: skip
    label: str
    state: Literal["sent", "changes", "unchanged", "cut", "left_out", "unreadable"]
    tokens: int = 0
    left_out_tokens: int = 0
    path: str = ""
    reasons: tuple[Reason, ...] = ()
    detail: str = ""  # the reasons in English: "12 of 40 cells changed", "binary file"
    masked: int = 0


class Receipt(Sent):
    """`prompt_tokens` is the sum until `usage` corrects it; `exact` says that the server's tokenizer counted."""

    model: str
    parts: tuple[ReceiptPart, ...]
    prompt_tokens: int
    budget: int  # tokens the prompt may have
    context_length: int  # of the model
    max_tokens: int  # kept free for the answer
    exact: bool = False
    left_out_turns: int = 0
    masked: tuple[Masked, ...] = ()  # in what is new with this turn; the history's row counts those sent before


class Usage(Sent):
    prompt: int = 0
    completion: int = 0
    cached: int | None = None  # prompt tokens the server had in its prefix cache, when it tells
    ttft_ms: float | None = None
    total_ms: float | None = None


class ErrorInfo(Sent):
    """`code` is one of `cellar.errors`; the panel words it in the user's language. `message` is English, for logs."""

    code: str
    message: str
    hint: str = ""
    retry_after: float | None = None  # seconds
    request_id: str = ""
    detail: dict[str, int | float | str] = {}  # numbers that the wording needs: n_prompt, limit, resets_at


# ---------------------------------------------------------------------------------------------------------------------
# Events of a turn (SSE: `id:` is the cursor to go on from, `data:` one of these)


class SnapshotEvent(Sent, tag="snapshot"):
    """Everything the answer has so far, in place of all text before it."""

    parts: tuple[AnswerPart, ...] = ()


class PendingEvent(Sent, tag="pending"):
    """The turn waits on this server: `held` for a click, else for the turn before it."""

    held: bool = False


class QueuedEvent(Sent, tag="queued"):
    position: int
    ahead: int


class StartedEvent(Sent, tag="started"):
    model: str


class ReceiptEvent(Sent, tag="receipt"):
    receipt: Receipt


class TextEvent(Sent, tag="text"):
    delta: str


class ReasoningEvent(Sent, tag="reasoning"):
    delta: str


class UsageEvent(Sent, tag="usage"):
    usage: Usage


class FinishedEvent(Sent, tag="finished"):
    """The end. `stopped_by`: who stopped it (`user`, or `orphan`: nobody was reading)."""

    reason: FinishReason
    stopped_by: Literal["", "user", "orphan"] = ""


class ErrorEvent(Sent, tag="error"):
    """The end, too."""

    error: ErrorInfo


Event = (
    SnapshotEvent
    | PendingEvent
    | QueuedEvent
    | StartedEvent
    | ReceiptEvent
    | TextEvent
    | ReasoningEvent
    | UsageEvent
    | FinishedEvent
    | ErrorEvent
)


# ---------------------------------------------------------------------------------------------------------------------
# Answers of the API


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
    id: str
    level: Literal["info", "warning", "error"]
    text: str


class Status(Sent):
    version: str
    model_server: ModelServer
    models: tuple[Model, ...]
    default_model: str | None
    policy: Policy
    announcements: tuple[Announcement, ...] = ()


class UsageReport(Sent):
    """`GET usage`: tokens the user spent, and the quota if there is one (None: no limit)."""

    prompt_today: int
    completion_today: int
    turns_today: int
    limit: int | None = None
    resets_at: float | None = None


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
