"""From a turn to the request that leaves: files read, rules read, prompt built. Runs in a thread."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from cellar import prompts, wire
from cellar.context import Prompt, PromptInput, RedactionState, Redactor, SentTurn, TokenCounter
from cellar.conversation import History

if TYPE_CHECKING:
    from .files import Files


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a prompt is asked to hold."""

    model: wire.Model
    mode: wire.Mode
    question: str
    history: History
    context: Sequence[wire.ContextPart] = ()
    copied: SentTurn | None = None
    continues: bool = False
    max_tokens: int | None = None


def mask(
    parts: Sequence[wire.ContextPart], redaction: RedactionState
) -> tuple[tuple[wire.ContextPart, ...], RedactionState]:
    """The parts as they may be kept, and the redaction state after it."""
    from cellar.context.parts import masked_parts

    state = copy.deepcopy(redaction)
    return masked_parts(parts, Redactor(state, os.environ)), state


def _question(order: Order) -> str:
    if order.continues:
        return prompts.CONTINUE
    if order.mode == "compact":
        return prompts.compact_question(order.question)
    return prompts.expand_command(order.question)


_MASKED = re.compile(r"«secret:\d+»")
_BEGINNING = 8_000  # characters; a title is of the first half, and what is cut at the end of this may be a secret


def without_secrets(text: str) -> str:
    """The beginning of a question as it may stand in a list: no number, the prompt has not given one yet."""
    return _MASKED.sub("•••", Redactor(environ=os.environ).mask(text[:_BEGINNING]))


def build(
    order: Order, files: Files, counter: TokenCounter, redaction: RedactionState
) -> tuple[Prompt, RedactionState]:
    """The prompt, and the redaction state after it; the state that was given stays as it is."""
    from cellar.context import build_prompt

    state = copy.deepcopy(redaction)
    gathered = files.gather(order.context)
    prompt = build_prompt(
        PromptInput(
            model=order.model,
            question=_question(order),
            mode=order.mode,
            history=order.history.turns,
            summary=order.history.summary,
            parts=gathered.parts,
            copied=order.copied,
            folders=gathered.folders,
            notices=gathered.notices,
            rules=files.rules(),
            counter=counter,
            redactor=Redactor(state, os.environ),
            max_tokens=order.max_tokens,
        )
    )
    return prompt, state
