"""From parts to messages."""

from __future__ import annotations

import msgspec

from cellar import prompts, wire
from cellar.context.records import Block, Prompt, PromptInput, SentTurn


def build_prompt(given: PromptInput) -> Prompt:
    """The messages of one turn, and the receipt of what is in them."""
    mask, count = given.redactor.mask, given.counter.count
    head = [Block("system", prompts.SYSTEM)]
    blocks = [
        Block(part.__struct_config__.tag if isinstance(part.__struct_config__.tag, str) else "file",
              mask(msgspec.json.encode(part).decode()))
        for part in given.parts
    ]  # fmt: skip
    blocks.append(Block("question", mask(given.question)))
    messages = [{"role": "system", "content": head[0].text}]
    for turn in given.history:
        messages.append({"role": "user", "content": "\n\n".join(block.text for block in turn.blocks)})
        messages.append({"role": "assistant", "content": turn.answer})
    messages.append({"role": "user", "content": "\n\n".join(block.text for block in blocks)})
    rows = tuple(
        wire.ReceiptPart(kind=block.kind, label=block.label, state="sent", tokens=count(block.text)[0])  # type: ignore[arg-type]
        for block in (*head, *blocks)
    )
    limit = given.max_tokens or min(4096, given.model.context_length // 4)
    receipt = wire.Receipt(
        model=given.model.id, parts=rows, prompt_tokens=sum(row.tokens for row in rows),
        budget=given.model.context_length - limit, context_length=given.model.context_length, max_tokens=limit,
    )  # fmt: skip
    return Prompt(messages=messages, max_tokens=limit, receipt=receipt, sent=SentTurn(blocks=tuple(blocks)))
