"""From parts to messages: the prompt of one turn and the receipt of what is in it.

Order, append-only, so that the model server's prefix cache holds all but the end (vLLM caches whole blocks of a common
prefix):

    system message      our prompt, the project's rules, the summary    \\  the same bytes as in the turn before
    earlier turns       exactly as they were sent, and their answers    /
    newest message      context that is new or changed, what the user points at, the mode, the question

Nothing before the newest message is rendered again. The head is kept with the turn that began it (`SentTurn.head`):
when rules change, the new ones are told in the newest message. When the budget is reached, the oldest turns leave in
one step, down to `DROP_TO` of it, and `SentTurn.dropped` makes the next prompts leave out the same ones; only then
the head is made anew. What only a turn that left had shown is sent again whole, because its digest left with it.
Where not even the last turn could stay whole (its notebook alone is bigger than that), the last questions and answers
stay without their context: the prefix is new at that point anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from cellar import prompts, wire
from cellar.context.budget import (
    BARE_SHARE,
    CONTEXT_SHARE,
    DROP_TO,
    MESSAGE_TOKENS,
    Budget,
    fit,
    fits_gently,
    need,
)
from cellar.context.clean import attribute, clean, clean_cut
from cellar.context.parts import items_of, pinned_cells
from cellar.context.reasons import english
from cellar.context.receipt import Ledger, row_kind
from cellar.context.records import CUT_LABEL, Block, Prompt, PromptInput, SentTurn
from cellar.context.scene import Rendered, Scene, envelope, masked_label
from cellar.errors import ContextTooLong

_RULES_SHARE = 0.15  # of the budget
_SUMMARY_SHARE = 0.25
_LEAST_TURN = 200  # tokens: a summary is not asked for less of a question and its answer
_CHARACTERS = 3  # per token, to turn a share of the budget into characters: rather too few
_GONE_PICTURE = "[a picture was here: this model does not see pictures]"


def build_prompt(given: PromptInput) -> Prompt:
    """The messages of one turn, the receipt, and what to keep of it. Raises ContextTooLong when the question does not
    fit even alone (detail: n_prompt, limit)."""
    return _Builder(given).build()


class _Kept(NamedTuple):
    """Of the history: turns from `first` on are sent, those before `bare` without their context."""

    first: int
    bare: int

    @classmethod
    def of(cls, history: Sequence[SentTurn]) -> _Kept:
        """As in the turn before."""
        if not history:
            return cls(0, 0)
        first = min(history[-1].dropped, len(history))
        return cls(first, min(max(history[-1].bare, first), len(history)))


class _Builder:
    """One prompt on its way. Lives for one call."""

    def __init__(self, given: PromptInput) -> None:
        self.given = given
        self.counter = given.counter
        self.redactor = given.redactor
        self.budget = Budget.of(given.model, given.max_tokens, given.mode)
        self.vision = given.model.vision
        self.items, self.unreadable = items_of(given)
        self.pinned = pinned_cells(given.parts)
        self.fresh_head = self._fresh_head()
        self.answers = [self.redactor.mask(turn.answer) or prompts.NO_ANSWER for turn in given.history]
        self.costs = [self._turn_cost(n, bare=False) for n in range(len(given.history))]
        self.short: dict[int, tuple[Block, str]] = {}  # question and answer of earlier turns that are sent cut
        self.closing = self._closing()
        self.copied = _copied(given.copied)

    # -- the parts of the prompt ---------------------------------------------------------------------------------------

    def _fresh_head(self) -> tuple[Block, ...]:
        limit = int(self.budget.prompt * _RULES_SHARE) * _CHARACTERS
        blocks = [Block("system", prompts.SYSTEM)]
        for rule in sorted(self.given.rules, key=lambda rule: (rule.path != "AGENTS.md", rule.path)):
            if not rule.text.strip():
                continue
            text, left_out = clean_cut(rule.text, limit, self.redactor, head=1.0)
            limit = max(0, limit - len(text))
            label = rule.path if not left_out else rule.path + CUT_LABEL
            body = envelope("rules", text, path=self.redactor.mask(rule.path))
            blocks.append(Block("rules", body, label=label, path=rule.path))
        if self.given.summary:
            limit = int(self.budget.prompt * _SUMMARY_SHARE) * _CHARACTERS
            text = clean_cut(self.given.summary, limit, self.redactor, head=0.8).text
            blocks.append(Block("summary", prompts.summary_block(text)))
        return tuple(blocks)

    def _kept_head(self) -> tuple[Block, ...] | None:
        """The head of the turns before, unless it belongs to another summary."""
        for turn in reversed(self.given.history):
            if turn.head:
                kept, fresh = ([b.text for b in head if b.kind == "summary"] for head in (turn.head, self.fresh_head))
                return turn.head if kept == fresh else None
        return None

    def _closing(self) -> tuple[Block, ...]:
        """What stands at the very end: the mode's own sentences, then the question."""
        mode, text = prompts.MODES[self.given.mode], prompts.expand_command(self.given.question)
        if self.given.mode == "compact":
            text = prompts.compact_question(text)
        question = Block("question", clean(text, self.redactor))
        return (Block("mode", mode, label=self.given.mode), question) if mode else (question,)

    def _changed_rules(self, head: Sequence[Block], known: dict[str, str]) -> tuple[Block, ...]:
        """Rules that are not those of the head, told once."""
        if self._rules_digest(self.fresh_head) == (known.get("rules") or self._rules_digest(head)):
            return ()
        now = "\n".join(block.text for block in self.fresh_head if block.kind == "rules")
        return (Block("rules", f"{prompts.RULES_CHANGED}\n{now or '(none)'}", label="changed rules"),)

    def _rules_digest(self, head: Sequence[Block]) -> str:
        return self.redactor.digest(*(block.text for block in head if block.kind == "rules")).hex()

    # -- what it costs -------------------------------------------------------------------------------------------------

    def _cost(self, blocks: Sequence[Block]) -> int:
        return sum(self.counter.weigh(block.text) + self.counter.picture(block.image) for block in blocks)

    def _turn_cost(self, number: int, *, bare: bool) -> int:
        blocks = self.given.history[number].blocks
        return (
            self._cost(blocks[-1:] if bare else blocks) + self.counter.weigh(self.answers[number]) + 2 * MESSAGE_TOKENS
        )

    def _history_cost(self, kept: _Kept) -> int:
        return sum(self._turn_cost(n, bare=True) for n in range(kept.first, kept.bare)) + sum(self.costs[kept.bare :])

    def _known(self, first: int) -> dict[str, str]:
        known: dict[str, str] = {}
        for turn in self.given.history[first:]:
            known.update(turn.digests)
        return known

    def _scene(self, known: dict[str, str]) -> Scene:
        return Scene(
            redactor=self.redactor,
            known=known,
            vision=self.vision,
            pinned=self.pinned,
            pinned_output=min(2_000, max(300, self.budget.prompt * 3 // 8)),
            folders=self.given.folders,
        )

    # -- how much of it ------------------------------------------------------------------------------------------------

    def build(self) -> Prompt:
        history = self.given.history
        kept = _Kept.of(history)
        old_head = self._kept_head()
        head, known = old_head or self.fresh_head, self._known(kept.bare)
        changed = self._changed_rules(head, known)
        fixed = self._fixed(head, changed)
        most = int(self.budget.prompt * CONTEXT_SHARE)
        room = min(self.budget.prompt - fixed - self._history_cost(kept), most)
        scene = self._scene(known)
        if room < most and kept.first < len(history) and not fits_gently(self.items, scene, room, self.counter):
            scene = msgspec.structs.replace(scene, more=False)
            if not fits_gently(self.items, scene, room, self.counter):
                kept, room = self._drop(kept)
                old_head, head, changed = None, self.fresh_head, ()
                scene, fixed = self._scene(self._known(kept.bare)), self._fixed(head, changed)
        if self.given.mode == "compact" and kept.first > 0:
            old_head, head, changed = None, self.fresh_head, ()
            fixed = self._fixed(head, changed)
            kept = self._condense(self.budget.prompt - fixed)
        if fixed > self.budget.prompt:
            raise ContextTooLong(
                f"the question needs {fixed} tokens with the system prompt, the model reads {self.budget.prompt} "
                f"besides {self.budget.max_tokens} for the answer",
                hint="Shorten the question, or choose a model with a longer context.",
                detail={"n_prompt": fixed, "limit": self.budget.prompt},
            )
        rendered = fit(self.items, scene, max(0, room), self.counter)
        return self._prompt(head, changed, kept, rendered, begins=old_head is None)

    def _fixed(self, head: Sequence[Block], changed: Sequence[Block]) -> int:
        notices = sum(self.counter.weigh(notice.path) + 12 for notice in self.given.notices)
        blocks = self._cost(head) + self._cost(changed) + self._cost(self.copied) + self._cost(self.closing)
        return blocks + notices + 2 * MESSAGE_TOKENS + 12 * len(self.items)

    def _drop(self, before: _Kept) -> tuple[_Kept, int]:
        """Which turns stay, and the room of the newest context then."""
        fixed = self._fixed(self.fresh_head, ())
        goal, count = int(self.budget.prompt * DROP_TO), len(self.given.history)

        def room_from(start: int) -> int | None:
            room = goal - fixed - sum(self.costs[start:])
            fits = room > 0 and need(self.items, self._scene(self._known(start)), room, self.counter) <= room
            return room if fits else None

        # the later the start the more room, all in all: halving finds a good start without trying every turn
        start, end = max(before.first + 1, before.bare), count
        while start < end:
            middle = (start + end) // 2
            start, end = (start, middle) if room_from(middle) is not None else (middle + 1, end)
        room = room_from(start) if start < count else None
        if room is not None:
            return _Kept(start, start), room
        spent, first = 0, count
        while first > before.first:
            spent += self._turn_cost(first - 1, bare=True)
            if spent > int(self.budget.prompt * BARE_SHARE):
                break
            first -= 1
        kept = _Kept(first, count)
        room = goal - fixed - self._history_cost(kept)
        if room <= 0:  # a long question: everything else makes way
            kept, room = _Kept(count, count), self.budget.prompt - fixed
        return kept, room

    def _condense(self, room: int) -> _Kept:
        """For a summary that cannot have the whole of the conversation: questions and answers as far back as there is
        room, the newest first, and none takes more than half of the room that is left. So even a turn that is longer
        than all that the model reads is summed up: by its head and its tail."""
        count = first = len(self.given.history)
        while first > 0 and room >= _LEAST_TURN:
            first -= 1
            room -= self._shortened(first, room // 2)
        return _Kept(first, count)

    def _shortened(self, number: int, room: int) -> int:
        """Cuts the question and the answer of a turn to about `room` tokens; what it costs then."""
        cost = self._turn_cost(number, bare=True)
        if cost <= room:
            return cost
        question, answer = self.given.history[number].blocks[-1], self.answers[number]
        asked = min(self.counter.weigh(question.text), room // 3)
        question = msgspec.structs.replace(question, text=self._cut(question.text, asked))
        answer = self._cut(answer, room - asked)
        self.short[number] = question, answer
        return self._cost((question,)) + self.counter.weigh(answer) + 2 * MESSAGE_TOKENS

    def _cut(self, text: str, tokens: int) -> str:
        limit = int(0.9 * len(text) * tokens / max(1, self.counter.weigh(text)))
        return clean_cut(text, limit, self.redactor, head=0.5).text

    # -- the result ----------------------------------------------------------------------------------------------------

    def _prompt(
        self,
        head: tuple[Block, ...],
        changed: tuple[Block, ...],
        kept: _Kept,
        rendered: list[Rendered],
        *,
        begins: bool,
    ) -> Prompt:
        focus = self._focus(rendered)
        context: list[Block] = [*changed, *self.copied]
        digests = {"rules": self._rules_digest(self.fresh_head)} if begins or changed else {}
        if self.given.copied is not None:
            digests |= {key: value for key, value in self.given.copied.digests.items() if key != "rules"}
        for item, one in zip(self.items, rendered, strict=True):
            digests.update(one.digests)
            label, path = masked_label(item, self.redactor), self.redactor.mask(item.path)
            if one.text:
                context.append(Block(item.kind, one.text, label=label, path=path))
            context.extend(Block(item.kind, p.caption, label=label, path=path, image=p.image) for p in one.pictures)
        blocks = (*context, *focus, *self.closing)
        history = self.given.history
        messages: list[dict[str, Any]] = [{"role": "system", "content": "\n\n".join(block.text for block in head)}]
        for number in range(kept.first, len(history)):
            messages.append(self._user(self._blocks(number, kept)))
            messages.append({"role": "assistant", "content": self._answer(number)})
        messages.append(self._user(blocks))
        sent = SentTurn(blocks=blocks, digests=digests, head=head if begins else (), dropped=kept.first, bare=kept.bare)
        turns = [block for number in range(kept.first, len(history)) for block in self._turn(number, kept)]
        texts = tuple(block.text for block in (*head, *turns, *blocks))
        pictures = sum(self.counter.picture(block.image) for block in (*turns, *blocks))
        new = self.redactor.found(block.text for block in (*sent.head, *blocks))
        receipt = self._receipt(head, changed, kept, rendered, focus, texts, new)
        return Prompt(
            messages=messages,
            max_tokens=self.budget.max_tokens,
            receipt=msgspec.structs.replace(receipt, exact=receipt.exact and not pictures),
            sent=sent,
            pictures=pictures,
            texts=texts,
        )

    def _blocks(self, number: int, kept: _Kept) -> tuple[Block, ...]:
        """What of an earlier turn's message is sent."""
        if number in self.short:
            return self.short[number][:1]
        blocks = self.given.history[number].blocks
        return blocks[-1:] if number < kept.bare else blocks

    def _answer(self, number: int) -> str:
        return self.short[number][1] if number in self.short else self.answers[number]

    def _turn(self, number: int, kept: _Kept | None) -> list[Block]:
        """An earlier turn as it is sent now (None: all of it), its answer included."""
        if kept is None:
            return [*self.given.history[number].blocks, Block("answer", self.answers[number])]
        return [*self._blocks(number, kept), Block("answer", self._answer(number))]

    def _user(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """The newest message or an earlier one: the same blocks give the same bytes."""
        if not any(block.image for block in blocks):
            return {"role": "user", "content": "\n\n".join(block.text for block in blocks)}
        if self.vision is False:
            texts = (block.text if block.image is None else _GONE_PICTURE for block in blocks)
            return {"role": "user", "content": "\n\n".join(texts)}
        content: list[dict[str, Any]] = []
        for block in blocks:
            content.append({"type": "text", "text": block.text})
            if block.image is not None:
                url = f"data:{block.image.mime};base64,{block.image.data}"
                content.append({"type": "image_url", "image_url": {"url": url}})
        return {"role": "user", "content": content}

    def _focus(self, rendered: Sequence[Rendered]) -> tuple[Block, ...]:
        lines = [line for one in rendered for line in one.focus]
        lines += [
            f"Left out, no room: {item.kind}: "
            + attribute(self.redactor.mask(item.path) or masked_label(item, self.redactor))
            for item, one in zip(self.items, rendered, strict=True)
            if one.state == "left_out" and not one.text
        ]
        for notice in self.unreadable:
            name = attribute(self.redactor.mask(", ".join(filter(None, (notice.path, notice.label)))))
            lines.append(f"Could not be read: {notice.kind}: {name} ({english((notice.reason,))})")
        return (Block("focus", envelope("focus", "\n".join(dict.fromkeys(lines)))),) if lines else ()

    # -- the receipt ---------------------------------------------------------------------------------------------------

    def _receipt(
        self,
        head: Sequence[Block],
        changed: Sequence[Block],
        kept: _Kept,
        rendered: Sequence[Rendered],
        focus: Sequence[Block],
        texts: Sequence[str],
        masked: tuple[wire.Masked, ...],
    ) -> wire.Receipt:
        ledger = Ledger(self.counter, self.redactor)
        rows = [ledger.row(block) for block in (*head, *changed)]
        if self.given.history:
            whole = [self._turn(number, kept=None) for number in range(len(self.given.history))]
            sent = [self._turn(number, kept) for number in range(kept.first, len(self.given.history))]
            rows.append(ledger.history(whole, sent, kept.bare - kept.first))
        rows += [ledger.row(block) for block in self.copied if block.kind != "focus"]
        rows += [ledger.item(item, one) for item, one in zip(self.items, rendered, strict=True)]
        rows += [
            wire.ReceiptPart(
                kind=row_kind(n.kind),
                label=n.label or n.path,
                path=n.path,
                state="unreadable",
                reasons=(n.reason,),
                detail=english((n.reason,)),
            )
            for n in self.unreadable
        ]
        rows += [ledger.row(block) for block in self.closing[:-1]]
        question = ledger.row(self.closing[-1])
        pointing = ledger.tokens([*focus, *(block for block in self.copied if block.kind == "focus")])
        rows.append(msgspec.structs.replace(question, tokens=question.tokens + pointing))
        overhead = MESSAGE_TOKENS * (2 + 2 * (len(self.given.history) - kept.first))
        return wire.Receipt(
            model=self.given.model.id,
            parts=tuple(rows),
            prompt_tokens=sum(row.tokens for row in rows) + overhead,
            budget=self.budget.prompt,
            context_length=self.budget.context_length,
            max_tokens=self.budget.max_tokens,
            exact=all(self.counter.count(text)[1] for text in texts),
            left_out_turns=kept.first,
            masked=masked,
        )


def _copied(sent: SentTurn | None) -> tuple[Block, ...]:
    """The context of a turn that is asked again: all but what this prompt says by itself."""
    if sent is None:
        return ()
    return tuple(block for block in sent.blocks if block.kind not in ("rules", "mode", "question"))
