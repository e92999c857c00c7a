"""What goes into a prompt and what comes out: plain records, no behaviour.

Both edges fill a `PromptInput`: the workspace server with a branch of a conversation, the magics with no history and a
`NotebookPart` made from `In` and `Out`. Both send `Prompt.messages` and keep `Prompt.sent` (the server stores it with
the turn, gives it its `answer` when the turn ends, and passes it back as history). Everything in a `SentTurn` is masked
already: no secret is written to disk by keeping it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cellar import wire
from cellar.context.redaction import Redactor
from cellar.context.tokens import TokenCounter

CUT_LABEL = " (cut)"  # behind the label of a rules block that was sent in part


class Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a message exactly as it was sent. `kind` is a receipt kind, or `focus` (what the user points at now),
    or `mode`. A block with an image carries its caption in `text`."""

    kind: str
    text: str
    label: str = ""
    path: str = ""
    image: wire.Image | None = None


class Rule(msgspec.Struct, frozen=True):
    """The project's own rules: AGENTS.md or a file of .cellar/rules."""

    path: str
    text: str


class Folder(msgspec.Struct, frozen=True):
    """What the edge found in a `FolderPart`'s folder: names relative to it, and the small text files that it read."""

    path: str
    entries: tuple[str, ...]
    files: tuple[wire.FilePart, ...] = ()
    truncated: bool = False  # more entries than listed


class Notice(msgspec.Struct, frozen=True):
    """A part that the edge could not read; it becomes an `unreadable` row of the receipt and a line for the model."""

    path: str
    reason: wire.Reason
    kind: str = "file"


class SentTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A turn as it was sent, for the prompts after it.

    `digests` says which content this turn showed (keyed hashes, no content). `head` is what stood before the history
    (system, rules, summary) when this turn's prompt began a new prefix, and empty when it used the head of an earlier
    turn. `dropped` is how many of the history's oldest turns were left out, and `bare` up to which turn only question
    and answer were kept: the next prompt does the same, so that its prefix stays the same, until the budget is reached
    again. Both count from the history's first turn, which is the first after the branch's last `compact` turn.
    """

    blocks: tuple[Block, ...]
    answer: str = ""
    digests: dict[str, str] = {}
    head: tuple[Block, ...] = ()
    dropped: int = 0
    bare: int = 0

    def question(self) -> str:
        """The question as it was sent (masked)."""
        return self.blocks[-1].text if self.blocks else ""


class PromptInput(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a prompt is made of.

    `history` is the branch from its root (or from the turn after its last `compact` turn, whose answer is then
    `summary`) to the parent of the new turn. A `FilePart` has its text by now; one without text, and no notice for its
    path, is reported as unreadable. `max_tokens` None: a share of the model's context length.
    """

    model: wire.Model
    question: str
    mode: wire.Mode = "ask"
    history: Sequence[SentTurn] = ()
    summary: str | None = None
    parts: Sequence[wire.ContextPart] = ()
    folders: Mapping[str, Folder] = {}
    notices: Sequence[Notice] = ()
    rules: Sequence[Rule] = ()
    copied: SentTurn | None = None  # a turn with the same history whose context is sent again, byte for byte
    counter: TokenCounter = msgspec.field(default_factory=TokenCounter)
    redactor: Redactor = msgspec.field(default_factory=Redactor)
    max_tokens: int | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """`messages` in OpenAI's shape. `sent` is to be kept with the turn; put the answer in with
    `msgspec.structs.replace(sent, answer=...)`."""

    messages: list[dict[str, Any]]
    max_tokens: int
    receipt: wire.Receipt
    sent: SentTurn
    pictures: int = 0  # estimated tokens of the pictures among the receipt's
    texts: tuple[str, ...] = ()  # every text of this prompt: give `counter.missing(texts)` to the server's tokenizer
