"""The rows of a receipt: what each part of a prompt cost, what was left out of it, what was masked in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from cellar import wire
from cellar.context.reasons import english, reason
from cellar.context.records import CUT_LABEL, Block
from cellar.context.redaction import Redactor
from cellar.context.scene import Item, Rendered, masked_label
from cellar.context.tokens import TokenCounter

_CHARACTERS = 3.5  # per token, for what was left out and never counted
_KINDS = frozenset(
    (
        *("system", "rules", "summary", "history", "notebook", "cells", "selection", "file", "folder", "error"),
        *("image", "question"),
    )
)


class Ledger:
    """Makes rows. Labels are masked: a receipt is kept, and the last line of a traceback may hold anything."""

    def __init__(self, counter: TokenCounter, redactor: Redactor) -> None:
        self.counter = counter
        self.redactor = redactor

    def tokens(self, blocks: Sequence[Block]) -> int:
        return sum(self.counter.count(block.text)[0] + self.counter.picture(block.image) for block in blocks)

    def row(self, block: Block) -> wire.ReceiptPart:
        return wire.ReceiptPart(
            kind=row_kind(block.kind),
            label=block.label.removesuffix(CUT_LABEL),
            path=block.path,
            state="cut" if block.label.endswith(CUT_LABEL) else "sent",
            tokens=self.tokens((block,)),
            masked=self.redactor.count(block.text),
        )

    def item(self, item: Item, one: Rendered) -> wire.ReceiptPart:
        pictures = sum(self.counter.picture(p.image) + self.counter.count(p.caption)[0] for p in one.pictures)
        return wire.ReceiptPart(
            kind=item.kind,
            label=masked_label(item, self.redactor),
            path=item.path,
            state=one.state,
            tokens=self.counter.count(one.text)[0] + pictures,
            left_out_tokens=round(one.left_out / _CHARACTERS + 0.49),
            reasons=one.reasons,
            detail=english(one.reasons),
            masked=self.redactor.count(one.text),
        )

    def history(self, whole: Sequence[Sequence[Block]], sent: Sequence[Sequence[Block]], bare: int) -> wire.ReceiptPart:
        """`whole` are all earlier turns with their answers, `sent` those that stayed; the first `bare` of these without
        their context."""
        gone = len(whole) - len(sent)
        reasons = []
        if gone:
            reasons.append(reason("turns_left_out", gone))
        if bare:
            reasons.append(reason("turns_bare", bare))
        tokens = sum(self.tokens(turn) for turn in sent)
        return wire.ReceiptPart(
            kind="history",
            label=f"{len(sent)} earlier turn{'' if len(sent) == 1 else 's'}",
            state="left_out" if not sent else "cut" if reasons else "sent",
            tokens=tokens,
            left_out_tokens=sum(self.tokens(turn) for turn in whole) - tokens,
            reasons=tuple(reasons),
            detail=english(reasons),
            masked=sum(self.redactor.count(block.text) for turn in sent for block in turn),
        )


def row_kind(kind: str) -> Any:
    """A block's kind as a receipt's: the mode's sentences are the system's."""
    return cast(Any, kind if kind in _KINDS else "system")
